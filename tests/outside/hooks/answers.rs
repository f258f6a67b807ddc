//! Webhooks that are answered in the sender's protocol.

use crate::hooks::issue_hook;
use arizuko_proto::v1::{Header, HttpResponse};
use arizuko_tests::{http::Answer, prelude::*};
use tokio::task::JoinHandle;

const TWIML: &str = "<Response><Message>Thank you.</Message></Response>";

/// Sends a delivery in the background: the test goes on before it is answered.
fn deliver(hook: &Visitor, query: &str, delivery: &str) -> JoinHandle<Answer> {
    let request = hook.request(Method::POST, query).header("webhook-id", delivery.to_owned());
    tokio::spawn(send(request.body("{}")))
}

async fn answer_of(delivery: JoinHandle<Answer>) -> Answer {
    within("the answer to a delivery", delivery).await.expect("it is sent")
}

fn is_twiml(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (201, TWIML));
    assert_eq!(answer.header("content-type"), "text/xml");
    assert_eq!(answer.header("x-slack-no-retry"), "1");
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("sandbox; default-src 'none'"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[apply(embedded_and_pair)]
async fn the_first_response_answers_the_sender_while_the_turn_goes_on(stack: Stack) {
    let link = stack.issue_hook("acme", "twilio", "").await;
    let [here, there] = BOTH.map(|gateway| stack.caller(&link, gateway));
    let mut agent = stack.attach("acme", B).await;
    let waiting = deliver(&here, "?wait=20", "1");
    let mut held = agent.turn().await;
    let no_retry = Header { name: "X-Slack-No-Retry".to_owned(), value: "1".into() };
    let twiml = HttpResponse { headers: vec![no_retry], ..response(201, "text/xml", TWIML) };
    agent.append(&mut held, respond(twiml)).await;
    is_twiml(&answer_of(waiting).await);
    let path = format!("/{}", held.turn.turn_id);
    assert_eq!(there.json(&path).await["status"], "running");

    // Neither this attempt nor the next one answers again.
    let other = || respond(response(200, "text/plain", "another response"));
    agent.append(&mut held, other()).await;
    agent.leave().await;
    let mut agent = stack.attach("acme", A).await;
    let mut held = agent.turn().await;
    assert_eq!(held.turn.attempt, 2);
    agent.append(&mut held, other()).await;
    let repeat = answer_of(deliver(&there, "?wait=20", "1")).await;
    is_twiml(&repeat);
    assert_eq!(repeat.header("idempotency-replayed"), "true");
    agent.answer(held, "what the reply says").await;
    let read = there.json(&path).await;
    assert_eq!(
        (&read["status"], read["assistant"].as_array().map(Vec::len)),
        (&json!("done"), Some(1))
    );
    assert_eq!(
        names(&there.open(&format!("{path}/sse"), Cursor::Start).await.ok().rest().await),
        ["restart", "message", "turn_done"]
    );
}

#[apply(embedded_and_pair)]
async fn a_link_may_wait_for_senders_that_choose_no_query(stack: Stack) {
    let [here, there] = issue_hook(&stack, "slack", &["--wait", "20s"]).await;
    let shown = stack.arizuko(&["token", "show", "hook:acme/slack"]).await.expect(0).out;
    assert!(shown.contains("wait") && shown.contains("20s"), "{shown}");
    let mut agent = stack.attach("acme", B).await;
    // `wait=yes` is a parameter of the sender's own.
    let waiting = deliver(&here, "?wait=yes", "1");
    agent.answer_next("without a response").await;
    let answer = answer_of(waiting).await.expect(200).json();
    assert_fields(&answer, json!({"status": "done", "error": null}));
    assert_eq!(answer["assistant"][0]["content"], "without a response");

    // If the URL says how long to wait, this overrides the webhook's own setting.
    let queued = answer_of(deliver(&there, "?wait=0", "2")).await.expect(202).json();
    assert_eq!(queued["status"], "queued");
    let accepted = agent.turn().await;
    let running = answer_of(deliver(&there, "?wait=1", "2")).await.expect(202).json();
    assert_eq!((&running["turn_id"], &running["status"]), (&queued["turn_id"], &json!("running")));
    agent.finish(&accepted).await;

    let edit = ["token", "edit", "hook:acme/slack", "--clear", "wait"];
    stack.arizuko(&edit).await.expect(0);
    answer_of(deliver(&there, "", "3")).await.expect(202);
    for wrong in ["500ms", "51s"] {
        let told = stack.arizuko(&["token", "edit", "hook:acme/slack", "--wait", wrong]).await;
        let told = told.expect(1).err;
        assert!(told.contains("from 1 second to 50 seconds"), "{told}");
    }
}

#[apply(embedded)]
async fn a_program_and_an_endpoint_answer(stack: Stack) {
    let caller = async |folder: &str| {
        let link = stack.issue_hook(folder, "any", "").await;
        stack.caller(&link, A)
    };
    let hook = caller("acme/program").await;
    let mut program = stack.agent("acme/program", &["--cgi", "--handoff", "75="]).await;
    let waiting = deliver(&hook, "?wait=20", "1");
    let mut run = program.turn().await;
    run.print("Status: 201 Created\r\nContent-Type: text/xml\r\nX-Slack-No-Retry: 1\r\n\r\n").await;
    run.reply(TWIML).await;
    is_twiml(&answer_of(waiting).await);
    for (printed, exit) in [("no headers", 0), ("Content-Type: text/plain\n\nhalf of", 1)] {
        let waiting = deliver(&hook, "?wait=20", printed.split(' ').next().unwrap_or_default());
        let mut run = program.turn().await;
        run.print(printed).await;
        run.exit(exit).await;
        assert_eq!(answer_of(waiting).await.expect(200).json()["status"], "failed", "{printed}");
    }
    // What the same program prints for a visitor is the reply.
    let posted = stack.visit("acme/program").await;
    let said = posted.say("hello").await;
    program.turn().await.reply("a reply").await;
    assert_eq!(transcript(&posted.read(&said.turn).await)[0].1, "a reply");

    let mut endpoint = Endpoint::start().await;
    let mut http = stack.operators_command();
    http.args(["agent", "http", "--folder", "acme/endpoint", "--url", endpoint.url()]);
    let _http = Process::start("agent", http, &stack.logs());
    stack.attended("acme/endpoint").await;
    let waiting = deliver(&caller("acme/endpoint").await, "?wait=20", "1");
    let mut asked = endpoint.asked().await;
    asked.begin("application/x-ndjson").await;
    // In Discord's protocol, type 5 means that the answer comes later.
    asked.piece("{\"response\":{\"body\":{\"type\":5}}}\n").await;
    let answer = answer_of(waiting).await.expect(200);
    assert_eq!(answer.json(), json!({"type": 5}));
    assert_eq!(answer.header("content-type"), "application/json");
    asked.end().await;
}

#[apply(embedded)]
async fn an_agent_on_a_module_answers(language: Language, stack: Stack) {
    let link = stack.issue_hook("acme", "any", "").await;
    let hook = stack.caller(&link, A);
    let mut module = language.agent(&stack, "1", &[]).await;
    let waiting = deliver(&hook, "?wait=20", "1");
    let mut run = module.turn().await;
    let headers = json!({"X-Slack-No-Retry": "1"});
    let step =
        json!({"body": TWIML, "status": 201, "content_type": "text/xml", "headers": headers});
    run.step(json!({"respond": step})).await;
    is_twiml(&answer_of(waiting).await);
    run.exit(0).await;
}

#[apply(embedded)]
async fn a_response_that_could_harm_fails_the_turn(stack: Stack) {
    let link = stack.issue_hook("acme", "any", "").await;
    let hook = stack.caller(&link, A);
    let mut agent = stack.attach("acme", B).await;
    let cookie = Header { name: "Set-Cookie".to_owned(), value: "a=b".into() };
    for (delivery, refused, why) in [
        ("1", response(200, "text/html", "<script>alert(1)</script>"), "text/html"),
        ("2", response(302, "text/plain", ""), "302"),
        ("3", HttpResponse { headers: vec![cookie], ..response(200, "", "") }, "set-cookie"),
        ("4", response(200, "", &"x".repeat(64 << 10)), "over its limit"),
    ] {
        let waiting = deliver(&hook, "?wait=20", delivery);
        let mut held = agent.turn().await;
        agent.push(&mut held, vec![delta("m1", "before "), respond(refused)]).await;
        let answer = answer_of(waiting).await.expect(200);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.json()["status"], "failed", "{why}");
        let turn = public_id::turn(&held.turn.turn_id);
        let shown = stack.arizuko(&["turn", "show", &turn]).await.expect(0).out;
        assert!(shown.to_lowercase().contains(why), "{shown}");
    }
    let chat = stack.visit("acme").await;
    let posted = chat.say("hello").await;
    let mut held = agent.turn().await;
    agent.push(&mut held, vec![respond(response(200, "", "only for webhooks"))]).await;
    assert_eq!(chat.end_of(&posted.turn).await["status"], "failed");
}

//! `arizuko agent http`: each turn is a POST to an endpoint, which is the test itself.

use arizuko_tests::prelude::*;

const LINES: &str = "application/x-ndjson";

/// Starts an endpoint, an agent of `acme` that calls it, and a visitor.
async fn start(stack: &Stack, flags: &[&str]) -> (Endpoint, Process, Visitor) {
    let endpoint = Endpoint::start().await;
    let mut agent = stack.operators_command();
    agent.args(["agent", "http", "--folder", "acme", "--url"]);
    agent.arg(format!("{}/reply?v=1", endpoint.url()));
    agent.args(flags).env("ARIZUKO_HTTP_TOKEN", "a-long-token");
    let agent = Process::start("agent", agent, &stack.logs());
    stack.attended("acme").await;
    let visitor = stack.visitor(&stack.issue("acme").await, B);
    (endpoint, agent, visitor)
}

async fn seen_of(visitor: &Visitor, posted: &Posted) -> Vec<Event> {
    visitor.read(&posted.turn).await
}

/// Returns the texts of the messages, and how the turn ended.
fn reply(seen: &[Event]) -> (Vec<String>, &Value) {
    let texts = transcript(seen).into_iter().map(|(_, text)| text).collect();
    let done = seen.last().filter(|event| event.name == "turn_done");
    (texts, &done.expect("a last frame").data["status"])
}

#[apply(embedded_and_pair)]
async fn a_visitor_reads_the_endpoints_answer_as_it_arrives(stack: Stack) {
    let (mut endpoint, _agent, visitor) = start(&stack, &[]).await;
    let posted = visitor.say("hello").await;
    let mut asked = endpoint.asked().await;
    assert_eq!(asked.path, "/reply?v=1");
    assert_eq!(asked.header("authorization"), "Bearer a-long-token");
    assert_eq!(asked.header("content-type"), "application/json");
    assert_eq!(asked.header("idempotency-key"), format!("{}.1", public_id::turn(&posted.turn)));
    assert_fields(
        &asked.body,
        json!({"content": "hello", "turn_id": public_id::turn(&posted.turn)}),
    );
    let mut live = visitor.listen(&posted.turn).await;
    asked.begin("text/plain; charset=utf-8").await;
    asked.piece("It comes ").await;
    let first = live.through("delta").await;
    assert_eq!(first[0].data["text"], "It comes ");
    asked.piece("as it is made.\n").await;
    asked.end().await;
    live.rest().await;
    let seen = seen_of(&visitor, &posted).await;
    assert_eq!(reply(&seen), (vec!["It comes as it is made.".into()], &json!("done")));

    let first = posted.turn;
    let posted = visitor.say_in(&posted.conversation, "more").await;
    let asked = endpoint.asked().await;
    let history = asked.body["history"].as_array().expect("a history");
    let said: Vec<_> = history.iter().map(|one| (&one["author"], &one["content"])).collect();
    assert_eq!(
        said,
        [
            (&json!("AUTHOR_USER"), &json!("hello")),
            (&json!("AUTHOR_ASSISTANT"), &json!("It comes as it is made."))
        ]
    );
    // Neither the request nor the agent's log has an id that gives access.
    let log = fs::read_to_string(stack.logs().join("agent.log")).expect("it is text");
    let all = format!("{} {:?} {} {log}", asked.path, asked.headers, asked.body);
    assert!(asked.body.to_string().contains(&public_id::turn(&first)), "{all}");
    for own in [&first, &posted.turn, &posted.conversation] {
        assert!(!all.contains(own), "{own} in {all}");
    }
    // An empty answer is an answer, too.
    asked.answer("204 No Content", "", "").await;
    assert_eq!(names(&seen_of(&visitor, &posted).await), ["turn_done"]);
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");

    let message = json!({
        "content": "other",
        "conversation": posted.conversation,
        "supersedes": posted.turn,
    });
    let newest = visitor.post_json(&message).await.posted();
    let asked = endpoint.asked().await;
    let replaced = public_id::turn(&posted.turn);
    assert_fields(&asked.body, json!({"content": "other", "supersedes": replaced}));
    asked.answer("204 No Content", "", "").await;
    visitor.end_of(&newest.turn).await;
    visitor.say_in(&posted.conversation, "last").await;
    let asked = endpoint.asked().await;
    assert!(asked.body["history"].to_string().contains(&replaced), "{}", asked.body);
    assert!(!asked.body.to_string().contains(&posted.turn), "{}", asked.body);
}

#[apply(embedded)]
async fn an_endpoint_answers_with_json_objects(stack: Stack) {
    let (mut endpoint, agent, visitor) = start(&stack, &[]).await;
    let said = [
        json!({"status": "reading"}),
        json!({"delta": "Hel"}),
        json!({"delta": "lo"}),
        json!({"message": "Hello!"}),
        json!({"delta": "And more."}),
    ];
    let lines: String = said.iter().map(|one| format!("{one}\n")).collect();
    let events: String = said.iter().map(|one| format!("data: {one}\n\n")).collect();
    for (kind, body) in [(LINES, lines), ("text/event-stream", events)] {
        let posted = visitor.say("hello").await;
        endpoint.asked().await.answer("200 OK", kind, &body).await;
        let seen = seen_of(&visitor, &posted).await;
        assert_eq!(seen[0].data["text"], "reading");
        let texts = vec!["Hello!".into(), "And more.".into()];
        assert_eq!(reply(&seen), (texts, &json!("done")), "{kind}");
    }
    let posted = visitor.say("hello").await;
    let one = "{\n  \"message\": \"All at once.\"\n}";
    endpoint.asked().await.answer("200 OK", "application/json", one).await;
    let seen = seen_of(&visitor, &posted).await;
    assert_eq!(reply(&seen), (vec!["All at once.".into()], &json!("done")));

    // 4,000 tokens are reserved for each turn, until the endpoint says how many the turn used.
    stack.arizuko(&["token", "edit", "web:acme", "--budget-tokens", "5k/day"]).await.expect(0);
    for _ in 0..2 {
        let posted = visitor.say("hello").await;
        let used = json!({"usage": {"input_tokens": 90, "output_tokens": 10}}).to_string();
        endpoint.asked().await.answer("200 OK", LINES, &used).await;
        assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");
    }

    let posted = visitor.say("hello").await;
    let failed = json!({"error": "We are closed.", "detail": "no such tenant"}).to_string();
    endpoint.asked().await.answer("200 OK", LINES, &failed).await;
    let standing = visitor.end_of(&posted.turn).await;
    assert_fields(&standing, json!({"status": "failed", "error": "We are closed."}));
    assert!(agent.said().contains("no such tenant"), "{}", agent.said());
}

#[apply(embedded)]
async fn a_request_is_signed_by_standard_webhooks(stack: Stack) {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let file = stack.folder().join("signing");
    write_secret(&file, secret);
    let flags = ["--signing-secret-file", file.to_str().expect("text")];
    let (mut endpoint, _agent, visitor) = start(&stack, &flags).await;
    visitor.say("grüß dich").await;
    let asked = endpoint.asked().await;
    assert_eq!(asked.header("webhook-id"), asked.header("idempotency-key"));
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers = names.map(|name| format!("{name}={}", asked.header(name)));
    let body = asked.body.to_string();
    let [id, time, signature] = &headers;
    python("verify.py", &[secret, &body, id, time, signature]).await.expect(0);
    let other = body.replace("dich", "sie");
    python("verify.py", &[secret, &other, id, time, signature]).await.expect(1);
}

#[apply(embedded)]
async fn an_endpoint_hands_a_turn_off(stack: Stack) {
    let (mut endpoint, _agent, visitor) = start(&stack, &[]).await;
    let mut people = stack.attach("acme/people", B).await;
    let posted = visitor.say("a human, please").await;
    let mut asked = endpoint.asked().await;
    asked.begin(LINES).await;
    asked.piece("{\"delta\":\"I fetch somebody.\"}\n").await;
    asked.piece("{\"handoff\":\"acme/people\",\"note\":\"wants money back\"}\n").await;
    let held = people.turn().await;
    assert_eq!(held.turn.turn_id, posted.turn);
    assert_eq!(held.turn.said[0].content, "I fetch somebody.");
    let handed = held.turn.handed.clone().expect("it comes from the endpoint");
    assert_eq!((&*handed.folder, &*handed.note), ("acme", "wants money back"));
    people.answer(held, "Here I am.").await;
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");

    let posted = visitor.say("elsewhere, please").await;
    let elsewhere = "{\"handoff\":\"other\"}";
    endpoint.asked().await.answer("200 OK", LINES, elsewhere).await;
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "failed");
}

#[apply(embedded)]
async fn a_request_is_retried_only_before_the_answer_begins(stack: Stack) {
    let (mut endpoint, agent, visitor) = start(&stack, &[]).await;
    let posted = visitor.say("hello").await;
    let first = endpoint.asked().await;
    let (key, body) = (first.header("idempotency-key").to_owned(), first.body.clone());
    first.answer("503 Service Unavailable\r\nretry-after: 0", "text/plain", "").await;
    let mut second = endpoint.asked().await;
    second.begin("text/plain").await;
    drop(second);
    let third = endpoint.asked().await;
    assert_eq!((third.header("idempotency-key"), &third.body), (&*key, &body));
    third.answer("200 OK", "text/plain", "Here.").await;
    let seen = seen_of(&visitor, &posted).await;
    assert_eq!(reply(&seen), (vec!["Here.".into()], &json!("done")));

    let posted = visitor.say("hello").await;
    let mut asked = endpoint.asked().await;
    assert_ne!(asked.header("idempotency-key"), key);
    asked.begin("text/plain").await;
    asked.piece("Half").await;
    drop(asked);
    let seen = seen_of(&visitor, &posted).await;
    assert_eq!(reply(&seen), (vec!["Half".into()], &json!("failed")));
    let standing = visitor.end_of(&posted.turn).await;
    assert_eq!(standing["error"], "The reply was cut off. Please ask again.");
    assert!(agent.said().contains("cut off: "), "{}", agent.said());
}

#[apply(embedded)]
async fn cancelling_a_turn_ends_its_request(stack: Stack) {
    let (mut endpoint, _agent, visitor) = start(&stack, &[]).await;
    let posted = visitor.say("hello").await;
    let mut asked = endpoint.asked().await;
    asked.begin("text/plain").await;
    asked.piece("Once upon").await;
    visitor.listen(&posted.turn).await.through("delta").await;
    visitor.cancel(&posted.turn).await;
    asked.hung_up().await;
}

#[apply(embedded)]
async fn an_invalid_answer_fails_the_turn_with_a_plain_error(stack: Stack) {
    let flags = ["--retry-for", "1s", "--timeout", "1s"];
    let (mut endpoint, agent, visitor) = start(&stack, &flags).await;
    let vague = "The agent could not answer.";
    for (head, kind, body, told) in [
        ("200 OK", "text/html", "<h1>Sign in</h1>", "text/html"),
        ("200 OK", LINES, "{\"text\":\"hello\"}\n", "unknown field"),
        ("200 OK", LINES, "{\"delta\":\"hel", "in the middle"),
        ("404 Not Found", "text/plain", "no such path", "no such path"),
        ("401 Unauthorized", "text/plain", "not a-long-token", "not [the key]"),
    ] {
        let posted = visitor.say("hello").await;
        endpoint.asked().await.answer(head, kind, body).await;
        let standing = visitor.end_of(&posted.turn).await;
        assert_fields(&standing, json!({"status": "failed", "error": vague}));
        assert!(agent.said().contains(told), "{told}: {}", agent.said());
    }
    // A silent endpoint times out.
    let posted = visitor.say("hello").await;
    let _silent = endpoint.asked().await;
    let standing = visitor.end_of(&posted.turn).await;
    assert_eq!(standing["error"], "The agent is out of reach. Please try again later.");
    assert!(agent.said().contains("sends nothing"), "{}", agent.said());
}

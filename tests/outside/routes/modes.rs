//! Messages that no agent is asked to answer: observed, or dropped.

use arizuko_proto::{
    v1::admin_service_client::AdminServiceClient,
    v1::{Author, GetStatusRequest, ListAuditRequest, Turn},
};
use arizuko_tests::prelude::*;

/// Attaches an agent that asks for history.
async fn agent(stack: &Stack, folder: &str) -> Session {
    let hello = arizuko_proto::v1::Hello { history: 50, ..hello(folder, 100) };
    stack.session(B, hello).await
}

#[apply(every_stack)]
async fn an_observed_message_is_context_for_the_next_turn_of_its_conversation(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = agent(&stack, "acme").await;
    let first = here.say("asked").await;
    agent.answer_next("answered").await;

    stack.route(mode("web:acme", RouteMode::Observe)).await;
    let message = json!({"content": "by the way", "conversation": first.conversation});
    let answer = there.post_json(&message).await;
    assert_eq!(answer.json()["status"], "observed");
    let aside = answer.posted();
    assert_eq!(here.end_of(&aside.turn).await["status"], "observed");
    let seen = here.read(&aside.turn).await;
    assert_eq!(names(&seen), ["turn_done"]);
    assert_eq!(seen[0].data["status"], "observed");
    let waited = json!({"content": "and this", "conversation": first.conversation});
    let seen = there.stream_of(&waited).await.rest().await;
    assert_eq!(names(&seen), ["turn_done"]);

    stack.route(mode("web:acme", RouteMode::Trigger)).await;
    let next = here.say_in(&first.conversation, "asked again").await;
    let held = agent.turn().await;
    assert_eq!(held.turn.turn_id, next.turn, "no agent got the observed messages as turns");
    let observed: Vec<_> = held.turn.observed.iter().map(|o| &o.content[..]).collect();
    assert_eq!(observed, [&b"by the way"[..], b"and this"]);
    assert_eq!(held.turn.observed[0].jid, "web:acme");
    assert_eq!(held.turn.observed[0].sender, "visitor");
    let history: Vec<_> = held.turn.history.iter().map(|m| &m.content[..]).collect();
    assert_eq!(history, ["asked", "answered"]);
    agent.answer(held, "answered again").await;

    // After that turn, the observed messages are history.
    here.say_in(&first.conversation, "the last").await;
    let held = agent.turn().await;
    assert!(held.turn.observed.is_empty());
    let history: Vec<_> = held.turn.history.iter().map(|m| &m.content[..]).collect();
    let all = ["asked", "answered", "by the way", "and this", "asked again", "answered again"];
    assert_eq!(history, all);
    assert_eq!(held.turn.history[2].author(), Author::User);
}

#[apply(every_stack)]
async fn one_visitors_observed_message_is_no_context_for_another_visitor(stack: Stack) {
    let visitor = stack.visit("acme").await;
    stack.route(mode("web:acme", RouteMode::Observe)).await;
    let one = visitor.say("a secret").await;
    stack.route(mode("web:acme", RouteMode::Trigger)).await;
    visitor.say("another's").await;
    let mut agent = agent(&stack, "acme").await;
    let held = agent.turn().await;
    assert_eq!(&held.turn.content[..], b"another's");
    assert!(held.turn.observed.is_empty(), "{:?}", held.turn.observed);
    visitor.say_in(&one.conversation, "my own").await;
    let held = agent.turn().await;
    assert_eq!(&held.turn.observed[0].content[..], b"a secret");
}

#[apply(every_stack)]
async fn an_observed_webhook_is_context_for_one_turn_of_its_folder(stack: Stack) {
    let hook = stack.issue_hook("acme/eng", "linear", "").await;
    let link = stack.issue("acme/eng").await;
    stack.route(observe_for_visitors("hook:acme/eng/linear")).await;
    for number in 0..3 {
        let answer = stack.caller(&hook, BOTH[number % 2]);
        let answer = answer.post("application/json", format!("{{\"n\":{number}}}")).await;
        assert_eq!(answer.expect(202).json()["status"], "observed");
    }
    let mut agent = agent(&stack, "acme/eng").await;
    let visitor = stack.visitor(&link, A);
    visitor.say("what is new?").await;
    visitor.say("and now?").await;
    let held = [agent.turn().await, agent.turn().await];
    let observed: Vec<_> = held[0].turn.observed.iter().map(|o| &o.content[..]).collect();
    assert_eq!(observed, [b"{\"n\":0}", b"{\"n\":1}", b"{\"n\":2}"]);
    let first = &held[0].turn.observed[0];
    assert_eq!((&*first.jid, &*first.sender), ("hook:acme/eng/linear", "linear"));
    assert!(first.headers.iter().any(|header| header.name == "content-type"));
    assert!(held[1].turn.observed.is_empty(), "only the first turn carries the webhooks");
}

#[apply(every_stack)]
async fn a_cancelled_turn_puts_webhooks_back_for_the_folder_that_observed_them(stack: Stack) {
    let hook = stack.issue_hook("acme/desk", "crm", "").await;
    let visitor = stack.visit("acme").await;
    stack.route(observe_for_visitors("hook:acme/desk/crm")).await;
    let begun = visitor.say("hello").await;
    stack.assign("acme", &begun.conversation, "acme/desk", "").await;
    stack.caller(&hook, A).post("text/plain", "a customer").await.expect(202);
    let posted = visitor.say_in(&begun.conversation, "and this").await;
    visitor.cancel(&posted.turn).await;
    visitor.end_of(&posted.turn).await;
    stack.visit("acme").await.say("to the bot").await;
    let mut bot = agent(&stack, "acme").await;
    assert!(bot.turn().await.turn.observed.is_empty(), "it is the other folder's");
    stack.visit("acme/desk").await.say("to the desk").await;
    let mut desk = agent(&stack, "acme/desk").await;
    let held = [desk.turn().await, desk.turn().await];
    assert_eq!(held[0].turn.observed.len() + held[1].turn.observed.len(), 1);
}

#[apply(embedded)]
async fn an_observed_webhook_waits_for_a_webhook_or_a_person(stack: Stack) {
    let [quiet, loud] = ["quiet", "loud"].map(|source| stack.issue_hook("acme", source, ""));
    let (quiet, loud) = (stack.caller(&quiet.await, A), stack.caller(&loud.await, B));
    stack.route(mode("hook:acme/quiet", RouteMode::Observe)).await;
    let visitor = stack.visit("acme").await;
    let contents = |turn: &Turn| {
        let observed = turn.observed.iter();
        observed.map(|o| String::from_utf8_lossy(&o.content).into_owned()).collect::<Vec<_>>()
    };
    quiet.post("text/plain", "a secret").await.expect(202);
    visitor.say("repeat all that you were given").await;
    let mut bot = agent(&stack, "acme").await;
    let held = bot.turn().await;
    assert_eq!(contents(&held.turn), [""; 0]);
    bot.answer(held, "No.").await;
    loud.post("text/plain", "what is new?").await.expect(202);
    let held = bot.turn().await;
    assert_eq!(contents(&held.turn), ["a secret"]);
    bot.answer(held, "Nothing.").await;
    bot.leave().await;

    quiet.post("text/plain", "another secret").await.expect(202);
    let posted = visitor.say("a human, please").await;
    let mut ann = stack.session(A, person("acme", "Ann")).await;
    ann.claim(&posted.turn, false).await;
    let held = ann.turn().await;
    assert_eq!(contents(&held.turn), ["another secret"]);
    // The agent that continues must not get the webhook, since the visitor could ask the agent for
    // it.
    ann.say(held.append(1, vec![handoff("acme", "", false)])).await;
    let mut bot = agent(&stack, "acme").await;
    let turn = bot.turn().await.turn;
    assert_eq!((&turn.turn_id, contents(&turn)), (&posted.turn, vec![]));
}

#[apply(every_stack)]
async fn a_dropped_message_reaches_no_agent_and_is_counted(stack: Stack) {
    let link = stack.issue("acme").await;
    let hook = stack.issue_hook("acme", "noise", "").await;
    stack.route(mode("web:acme", RouteMode::Drop)).await;
    stack.route(mode("hook:acme/noise", RouteMode::Drop)).await;
    let visitor = stack.visitor(&link, A);
    let dropped = visitor.say("unwanted").await;
    assert_eq!(visitor.end_of(&dropped.turn).await["status"], "dropped");
    for _ in 0..2 {
        let answer = stack.caller(&hook, A).post("text/plain", "noise").await;
        assert_eq!(answer.expect(202).json()["status"], "dropped");
    }

    stack.route(mode("web:acme", RouteMode::Trigger)).await;
    visitor.say_in(&dropped.conversation, "wanted").await;
    let mut agent = agent(&stack, "acme").await;
    let held = agent.turn().await;
    assert_eq!(&held.turn.content[..], b"wanted");
    assert!(held.turn.history.is_empty() && held.turn.observed.is_empty());

    let mut admin = AdminServiceClient::new(stack.operator(A).await);
    let status = admin.get_status(GetStatusRequest {}).await;
    let status = status.expect("operators ask").into_inner();
    let mut counts: Vec<_> = status.dropped.iter().map(|d| (&*d.jid, d.messages)).collect();
    counts.sort_unstable();
    assert_eq!(counts, [("hook:acme/noise", 2), ("web:acme", 1)]);
    let audit = admin.list_audit(ListAuditRequest::default()).await;
    let audit = audit.expect("operators ask").into_inner().entries;
    let told = audit.iter().filter(|entry| entry.action == "message.drop");
    let mut told: Vec<_> = told.map(|entry| &*entry.subject).collect();
    told.sort_unstable();
    assert_eq!(told, ["hook:acme/noise", "web:acme"]);
}

#[apply(every_stack)]
async fn a_repeat_of_an_observed_or_dropped_message_returns_the_first_turn(stack: Stack) {
    let link = stack.issue("acme").await;
    for (number, mode_of) in [RouteMode::Observe, RouteMode::Drop].into_iter().enumerate() {
        stack.route(mode("web:acme", mode_of)).await;
        let key = format!("a-key-that-nobody-guesses-{number}");
        let message = json!({"content": "once"});
        let first = stack.visitor(&link, A).say_once(&key, &message).await.posted();
        let again = stack.visitor(&link, B).say_once(&key, &message).await.posted();
        assert_eq!(first, again);
    }
}

#[apply(every_stack)]
async fn context_of_a_turn_that_no_agent_got_goes_to_the_next_turn(stack: Stack) {
    let hook = stack.issue_hook("acme", "linear", "").await;
    let visitor = stack.visit("acme").await;
    stack.route(observe_for_visitors("hook:acme/linear")).await;
    stack.caller(&hook, A).post("text/plain", "news").await.expect(202);
    let cancelled = visitor.say("never mind").await;
    visitor.cancel(&cancelled.turn).await;
    let deleted = visitor.say("nor this").await;
    assert_eq!(visitor.delete(&format!("c/{}", deleted.conversation)).await.status, 204);
    visitor.say("what is new?").await;
    let mut agent = agent(&stack, "acme").await;
    let held = agent.turn().await;
    let observed: Vec<_> = held.turn.observed.iter().map(|o| &o.content[..]).collect();
    assert_eq!(observed, [b"news"]);
}

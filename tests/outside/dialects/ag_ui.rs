//! `/chat/{token}/ag-ui`, read by AG-UI's client.

use super::order;
use arizuko_tests::prelude::*;

/// Returns a client's argument with more fields.
fn with(stack: &Stack, link: &Link, more: Value) -> Value {
    let mut order = order(Library::AgUi, stack, link, "hello");
    for (name, value) in more.as_object().expect("fields") {
        order[name] = value.clone();
    }
    order
}

#[apply(pair)]
async fn a_thread_goes_on_in_its_conversation(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let run = random_id();
    let begin = with(&stack, &link, json!({"run": run}));
    // A run that is sent again is the same turn.
    let mut client = Library::AgUi.start(&stack, &[begin.clone(), begin]);
    let mut held = agent.turn().await;
    let conversation = held.turn.conversation.clone();
    agent.append(&mut held, status("looking")).await;
    assert_eq!(client.told().await["status"]["text"], "looking");
    agent.append(&mut held, message("m1", "one")).await;
    agent.finish(&held).await;
    let mut messages = Value::Null;
    for _ in 0..2 {
        let (text, end) = client.rest().await;
        assert_eq!((&*text, &end["metadata"]["turn_id"]), ("one", &json!(held.turn.turn_id)));
        assert_eq!(end["messages"][1]["content"], "one");
        assert_eq!(end["messages"][1]["metadata"]["conversation"], conversation);
        messages = end["messages"].clone();
    }

    // The client sends all messages, and those of the agent name the conversation. A thread with
    // the conversation's id names it, too.
    let by_message = with(&stack, &link, json!({"messages": messages, "send": "more"}));
    let by_thread = with(&stack, &link, json!({"thread": conversation, "send": "more"}));
    let mut client = Library::AgUi.start(&stack, &[by_message, by_thread]);
    for _ in 0..2 {
        let held = agent.turn().await;
        assert_eq!((&*held.turn.content, &held.turn.conversation), (&b"more"[..], &conversation));
        agent.say(held.fail("The model is tired.")).await;
        let (_, end) = client.rest().await;
        assert_fields(
            &end,
            json!({"error": "TURN_FAILED", "message": "The agent could not answer."}),
        );
    }
}

//! `/chat/{token}/ai`, read by Vercel's AI SDK.

use super::order;
use arizuko_tests::prelude::*;

/// Returns a client's argument with more fields.
fn with(stack: &Stack, link: &Link, more: Value) -> Value {
    let mut order = order(Library::Ai, stack, link, "hello");
    for (name, value) in more.as_object().expect("fields") {
        order[name] = value.clone();
    }
    order
}

#[apply(pair)]
async fn a_chat_goes_on_in_its_conversation_and_resumes_its_reply(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", B).await;
    // A chat that has no conversation yet has nothing to resume.
    let nothing = with(&stack, &link, json!({"send": null}));
    let begin = with(&stack, &link, json!({}));
    let mut client = Library::Ai.start(&stack, &[nothing, begin]);
    assert_fields(&client.told().await, json!({"done": "ready", "error": null, "messages": []}));
    let held = agent.turn().await;
    let conversation = held.turn.conversation.clone();
    let turn = held.turn.turn_id.clone();
    agent.answer(held, "one").await;
    let (text, end) = client.rest().await;
    assert_eq!((&*text, &end["messages"][1]["id"]), ("one", &json!(turn)));

    // The SDK sends all messages. The last one names the conversation.
    let go_on = with(&stack, &link, json!({"messages": end["messages"], "send": "more"}));
    let mut client = Library::Ai.start(&stack, &[go_on]);
    let mut held = agent.turn().await;
    assert_eq!((&*held.turn.content, &held.turn.conversation), (&b"more"[..], &conversation));
    agent.append(&mut held, status("looking")).await;
    assert_eq!(client.told().await["data-status"]["text"], "looking");
    agent.append(&mut held, delta("m1", "t")).await;
    assert_eq!(client.told().await["text"], "t");
    drop(client);

    // Another page has the conversation's id, and goes on with the reply.
    let resume = with(&stack, &link, json!({"send": null, "id": conversation}));
    let mut client = Library::Ai.start(&stack, std::slice::from_ref(&resume));
    assert_eq!(client.told().await["text"], "t");
    agent.append(&mut held, delta("m1", "wo")).await;
    agent.finish(&held).await;
    let (text, end) = client.rest().await;
    assert_eq!(text, "wo");
    assert_eq!(
        end["messages"][0]["parts"][0],
        json!({"type": "text", "text": "two", "state": "done"})
    );

    let mut client = Library::Ai.start(&stack, &[resume]);
    assert_fields(&client.told().await, json!({"done": "ready", "error": null, "messages": []}));
}

#[apply(embedded)]
async fn a_reply_is_made_anew_and_the_old_one_is_superseded(stack: Stack) {
    let link = stack.issue("acme").await;
    let knowing = Hello { history: 50, ..hello("acme", 100) };
    let mut agent = stack.session(A, knowing).await;
    let mut client = Library::Ai.start(&stack, &[with(&stack, &link, json!({}))]);
    let first = agent.turn().await;
    let (conversation, turn) = (first.turn.conversation.clone(), first.turn.turn_id.clone());
    agent.answer(first, "one").await;
    let (_, mut end) = client.rest().await;

    // The SDK leaves out the reply that is to be made anew, which would name the conversation.
    let mut replaced = turn;
    let by_id = json!({"messageId": replaced});
    let (said, all) = (["hello", "two"], ["hello", "two", "more", "four"]);
    for (anew, reply, history) in [(by_id, "two", &said[..]), (json!({}), "four", &all[..])] {
        let more = json!({"send": null, "messages": end["messages"], "regenerate": anew});
        let mut client = Library::Ai.start(&stack, &[with(&stack, &link, more)]);
        let held = agent.turn().await;
        assert_eq!((&held.turn.conversation, &held.turn.supersedes), (&conversation, &replaced));
        agent.answer(held, reply).await;
        let (text, shown) = client.rest().await;
        assert_eq!((&*text, shown["error"].is_null()), (reply, true));

        let more = json!({"messages": shown["messages"], "send": "more"});
        let mut client = Library::Ai.start(&stack, &[with(&stack, &link, more)]);
        let held = agent.turn().await;
        let known = held.turn.history.iter().map(|message| &*message.content);
        assert_eq!(known.collect::<Vec<_>>(), history);
        replaced.clone_from(&held.turn.turn_id);
        agent.answer(held, "three").await;
        (_, end) = client.rest().await;
    }
}

//! Unprompted messages: agents and people speak in a conversation outside a turn.

use arizuko_proto::{
    v1::agent_service_client::AgentServiceClient,
    v1::{Author, ReadConversationRequest, SendMessageRequest},
};
use arizuko_tests::prelude::*;
use tonic::Status;

fn speech(folder: &str, conversation: &str, content: &str) -> SendMessageRequest {
    SendMessageRequest {
        folder: folder.to_owned(),
        conversation: conversation.to_owned(),
        content: content.to_owned(),
        ..SendMessageRequest::default()
    }
}

async fn send(channel: Channel, speech: SendMessageRequest) -> Result<String, Status> {
    let mut agents = AgentServiceClient::new(channel);
    let sent = agents.send_message(speech).await?;
    Ok(sent.into_inner().turn_id)
}

#[apply(every_stack)]
async fn an_unprompted_message_reaches_an_open_page_and_the_history(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let posted = here.say("tell me when it is done").await;
    let hello = Hello { history: 50, ..hello("acme", 100) };
    let mut agent = stack.session(A, hello).await;
    agent.answer_next("I will").await;
    let mut live = there.follow(&posted.conversation).await;
    live.take(3).await;
    let turn = stack.speak("acme", &posted.conversation, "It is done.").await;
    let seen = live.take(2).await;
    assert_eq!(names(&seen), ["message", "turn_done"]);
    assert_eq!(seen[0].data["content"], "It is done.");
    assert_eq!(seen[0].data["author"], "assistant");
    assert_eq!(seen[0].data["turn_id"], turn.as_str());
    assert_eq!((&seen[0].data["n"], &seen[1].data["n"]), (&1.into(), &2.into()));

    let history = here.get(&format!("c/{}", posted.conversation)).await;
    let turns = history.expect(200).json()["turns"].clone();
    assert_eq!(turns[1]["turn_id"], turn.as_str());
    assert_eq!(turns[1]["user"], Value::Null);
    assert_eq!(turns[1]["status"], "done");
    assert_eq!(turns[1]["assistant"][0]["content"], "It is done.");
    let snapshot = here.json(&turn).await;
    assert_eq!(snapshot["assistant"][0]["content"], "It is done.");
    assert_eq!(here.read(&turn).await, seen);
    assert_eq!(there.end_of(&turn).await["status"], "done");

    // The agent finds the message in its history too.
    here.say_in(&posted.conversation, "thanks").await;
    let held = agent.turn().await;
    let said: Vec<_> = held.turn.history.iter().map(|m| &*m.content).collect();
    assert_eq!(said, ["tell me when it is done", "I will", "It is done."]);
    let read = stack.read("acme", &posted.conversation).await;
    let said: Vec<_> = read.iter().map(|m| &*m.content).collect();
    assert_eq!(said, ["tell me when it is done", "I will", "It is done.", "thanks"]);
}

#[apply(every_stack)]
async fn an_unprompted_message_of_a_person_carries_their_name(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let speech = SendMessageRequest {
        name: "Ana".to_owned(),
        ..speech("acme", &posted.conversation, "I am Ana.")
    };
    let turn = send(stack.operator(A).await, speech).await.expect("it is allowed");
    let seen = visitor.read(&turn).await;
    assert_fields(&seen[0].data, json!({"author": "person", "name": "Ana"}));
    let read = stack.read("acme", &posted.conversation).await;
    assert_eq!((read[1].author(), &*read[1].name), (Author::Person, "Ana"));
}

#[apply(every_stack)]
async fn a_folder_without_a_part_in_the_conversation_cannot_speak_or_read(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let id = &posted.conversation;
    let own = stack.agent_key("acme").await;
    let other = stack.agent_key("acme/other").await;
    let foreign = stack.agent_key("else").await;
    let below = stack.key(KeyKind::Agent, "acme", KeyReach::Subtree, false).await.key;
    let gateway = stack.key(KeyKind::Gateway, "", KeyReach::Unspecified, false).await.key;
    let control = stack.control(B);
    let refused = async |key: &str, folder: &str| {
        let channel = connect(&control, Some(key)).await;
        let sent = send(channel.clone(), speech(folder, id, "hi")).await;
        let read = AgentServiceClient::new(channel)
            .read_conversation(ReadConversationRequest {
                folder: folder.to_owned(),
                conversation: id.clone(),
                limit: 0,
            })
            .await;
        let why = sent.err().map(|status| reason(&status));
        assert_eq!(why, read.err().map(|status| reason(&status)));
        why
    };
    assert_eq!(refused(&own, "").await, None);
    assert_eq!(refused(&below, "acme").await, None);
    assert_eq!(refused(&own, "acme/other").await, Some(ErrorReason::NotAllowed));
    assert_eq!(refused(&gateway, "acme").await, Some(ErrorReason::NotAllowed));
    for (key, folder) in [(&other, ""), (&foreign, ""), (&below, "acme/other")] {
        assert_eq!(refused(key, folder).await, Some(ErrorReason::NotFound), "{folder}");
    }
    // Once the folder has an open turn of the conversation, it can speak and read.
    let target = Some("acme/other".to_owned());
    stack.route(Route { target, ..route("web:acme") }).await;
    visitor.say_in(id, "more").await;
    assert_eq!(refused(&other, "").await, None);
}

#[apply(every_stack)]
async fn an_invalid_message_is_refused_with_a_reason(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_SPEECH_RATE", "5")]).await;
    let link = stack.issue("acme").await;
    let posted = stack.visitor(&link, A).say("hello").await;
    let id = posted.conversation.as_str();
    let channel = stack.operator(B).await;
    let why = async |speech: SendMessageRequest| {
        let sent = send(channel.clone(), speech).await;
        reason(&sent.expect_err("it is refused"))
    };
    assert_eq!(why(speech("acme", id, " \n")).await, ErrorReason::Invalid);
    assert_eq!(why(speech("acme", "not an id", "x")).await, ErrorReason::Invalid);
    assert_eq!(why(speech("", id, "x")).await, ErrorReason::Invalid);
    assert_eq!(why(speech("acme", &"A".repeat(22), "x")).await, ErrorReason::NotFound);
    assert_eq!(why(speech("acme", id, &"x".repeat(70_000))).await, ErrorReason::TooLarge);
    for _ in 0..5 {
        send(channel.clone(), speech("acme", id, "x")).await.expect("it is allowed");
    }
    assert_eq!(why(speech("acme", id, "x")).await, ErrorReason::RateLimited);
    stack.revoke(&link.token_id).await;
    assert_eq!(why(speech("acme", id, "x")).await, ErrorReason::NotFound);
}

#[apply(every_stack)]
async fn a_repeat_with_the_same_idempotency_key_sends_nothing_new(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let speech = |content: &str| SendMessageRequest {
        idempotency_key: "once".to_owned(),
        ..speech("acme", &posted.conversation, content)
    };
    let first = send(stack.operator(A).await, speech("x")).await.expect("it is allowed");
    let again = send(stack.operator(B).await, speech("x")).await.expect("it is allowed");
    assert_eq!(first, again);
    let other = send(stack.operator(B).await, speech("y")).await;
    assert_eq!(reason(&other.expect_err("another body")), ErrorReason::IdempotencyMismatch);
    assert_eq!(stack.read("acme", &posted.conversation).await.len(), 2);
}

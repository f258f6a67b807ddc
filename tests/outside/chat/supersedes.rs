//! A message that replaces the last one of its conversation.

use super::history::history;
use arizuko_tests::{http::Answer, prelude::*};
use futures_util::future::join_all;

/// Posts a message that replaces the message of a turn.
async fn replace(visitor: &Visitor, turn: &str, conversation: &str, content: &str) -> Answer {
    let message = json!({"content": content, "conversation": conversation, "supersedes": turn});
    visitor.post_json(&message).await
}

#[apply(every_stack)]
async fn agents_get_the_history_without_what_was_replaced(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.session(B, Hello { history: 10, ..hello("acme", 10) }).await;
    let first = here.say("one").await;
    let conversation = &first.conversation;
    agent.answer_next("re one").await;
    let wrong = here.say_in(conversation, "tow").await;
    agent.answer_next("re tow").await;
    let right = replace(&there, &wrong.turn, conversation, "two").await.posted();
    let held = agent.turn().await;
    assert_eq!(held.turn.supersedes, wrong.turn);
    let said: Vec<_> = held.turn.history.iter().map(|message| &*message.content).collect();
    assert_eq!(said, ["one", "re one"]);
    agent.answer(held, "re two").await;
    here.end_of(&right.turn).await;
    // A message that replaces another can be replaced, too.
    let third = replace(&here, &right.turn, conversation, "three").await.posted();
    let held = agent.turn().await;
    let said: Vec<_> = held.turn.history.iter().map(|message| &*message.content).collect();
    assert_eq!(said, ["one", "re one"]);
    agent.answer(held, "re three").await;
    here.end_of(&third.turn).await;

    // The log keeps all of them, and says which has replaced which.
    let kept = history(&there, conversation, "").await;
    let turns = kept["turns"].as_array().expect("turns");
    let replaced: Vec<_> = turns
        .iter()
        .map(|turn| (&turn["user"]["content"], &turn["user"]["supersedes"], &turn["superseded_by"]))
        .collect();
    let none = &Value::Null;
    assert_eq!(
        replaced,
        [
            (&json!("one"), none, none),
            (&json!("tow"), none, &json!(right.turn)),
            (&json!("two"), &json!(wrong.turn), &json!(third.turn)),
            (&json!("three"), &json!(right.turn), none),
        ]
    );
    let mut stream = here.follow(conversation).await;
    let mut users = Vec::new();
    for _ in 0..4 {
        let user = stream.through("user").await.pop().expect("a message");
        users.push(user.data["supersedes"].clone());
    }
    assert_eq!(users, [json!(null), json!(null), json!(wrong.turn), json!(right.turn)]);
    let shown = stack.arizuko(&["conversation", "show", conversation]).await.expect(0).out;
    let [old, new] = [&wrong.turn, &right.turn].map(|turn| public_id::turn(turn));
    assert!(shown.contains(&format!("{old}  done, superseded by {new}\n")), "{shown}");
}

#[apply(every_stack)]
async fn only_the_last_turn_can_be_replaced_and_only_once_it_has_ended(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let open = here.say("one").await;
    let conversation = &open.conversation;
    replace(&there, &open.turn, conversation, "x").await.refused(400, "INVALID");
    agent.answer_next("re one").await;
    here.end_of(&open.turn).await;
    let last = here.say_in(conversation, "two").await;
    agent.answer_next("re two").await;
    here.end_of(&last.turn).await;
    replace(&there, &open.turn, conversation, "x").await.refused(400, "INVALID");
    let elsewhere = there.say("other").await;
    agent.answer_next("re other").await;
    there.end_of(&elsewhere.turn).await;
    replace(&here, &elsewhere.turn, conversation, "x").await.refused(404, "NOT_FOUND");
    replace(&here, &"A".repeat(22), conversation, "x").await.refused(404, "NOT_FOUND");
    replace(&here, "no id", conversation, "x").await.refused(400, "INVALID");
    let new = json!({"content": "x", "supersedes": last.turn});
    here.post_json(&new).await.refused(404, "NOT_FOUND");
    let kept = history(&there, conversation, "").await;
    let turns = kept["turns"].as_array().expect("turns");
    assert_eq!(turns.len(), 2, "nothing was taken");
    assert!(turns.iter().all(|turn| turn["superseded_by"].is_null()));
}

#[apply(every_stack)]
async fn of_many_that_replace_one_turn_at_once_one_is_taken(stack: Stack) {
    let visitors = stack.visit_both("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let first = visitors[0].say("one").await;
    agent.answer_next("re one").await;
    visitors[0].end_of(&first.turn).await;
    let (turn, conversation) = (&first.turn, &first.conversation);
    let posts = (0..8).map(|n| {
        let visitor = &visitors[n % 2];
        async move { replace(visitor, turn, conversation, "x").await.status }
    });
    let mut answers = join_all(posts).await;
    answers.sort();
    assert_eq!(answers.iter().filter(|status| status.as_u16() == 202).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|status| [202, 400].contains(&status.as_u16())), "{answers:?}");
}

#[apply(every_stack)]
async fn a_repeat_with_the_same_key_replaces_once(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let first = here.say("one").await;
    agent.answer_next("re one").await;
    here.end_of(&first.turn).await;
    let message = json!({
        "content": "two",
        "conversation": first.conversation,
        "supersedes": first.turn,
    });
    let posted = here.say_once("the-same-key", &message).await.posted();
    let again = there.say_once("the-same-key", &message).await.posted();
    assert_eq!(posted.turn, again.turn);
}

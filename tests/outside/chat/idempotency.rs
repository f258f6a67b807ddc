//! `Idempotency-Key`: a repeated message makes no second turn.

use arizuko_tests::prelude::*;
use futures_util::future::join_all;
use std::collections::HashSet;

const KEY: &str = "0123456789abcdefghijkl";

#[apply(every_stack)]
async fn a_repeat_returns_the_first_turn(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let message = json!({"content": "hello"});
    let first = here.say_once(KEY, &message).await;
    let again = there.say_once(KEY, &message).await;
    let replayed = [&first, &again].map(|answer| answer.header("idempotency-replayed").to_owned());
    assert_eq!(replayed, ["", "true"]);
    // The draft standard of this header puts the key in quotation marks.
    let quoted = here.say_once(&format!("\"{KEY}\""), &message).await;
    assert_eq!(quoted.json()["turn_id"], again.json()["turn_id"]);
    assert_eq!(first.json()["user"], again.json()["user"]);
    assert_eq!(first.posted(), again.posted());
    let mut agent = stack.attach("acme", B).await;
    let held = agent.turn().await;
    let turn = held.turn.turn_id.clone();
    agent.answer(held, "once").await;
    let late = here.say_once(KEY, &message).await;
    assert_eq!(late.json()["status"], "done");
    assert_eq!(late.posted().turn, turn);
}

#[apply(every_stack)]
async fn concurrent_repeats_at_both_gateways_make_one_turn(stack: Stack) {
    let visitors = stack.visit_both("acme").await;
    let message = json!({"content": "hello"});
    let repeats = (0..16).map(|n| visitors[n % 2].say_once(KEY, &message));
    let turns: HashSet<_> =
        join_all(repeats).await.into_iter().map(|answer| answer.posted().turn).collect();
    assert_eq!(turns.len(), 1, "{turns:?}");
}

#[apply(every_stack)]
async fn the_same_key_with_another_message_is_refused(stack: Stack) {
    let visitor = stack.visit("acme").await;
    visitor.say_once(KEY, &json!({"content": "one"})).await.posted();
    visitor.say_once(KEY, &json!({"content": "two"})).await.refused(422, "IDEMPOTENCY_MISMATCH");
}

#[apply(every_stack)]
async fn a_key_short_enough_to_guess_opens_no_conversation(stack: Stack) {
    let visitor = stack.visit("acme").await;
    for key in ["1", "0123456789abcdefghijk"] {
        visitor.say_once(key, &json!({"content": "x"})).await.refused(400, "INVALID");
    }
    visitor.say_once(&"k".repeat(256), &json!({"content": "x"})).await.refused(400, "INVALID");
    let posted = visitor.say_once(KEY, &json!({"content": "x"})).await.posted();
    let more = json!({"content": "y", "conversation": posted.conversation});
    let first = visitor.say_once("1", &more).await.posted();
    assert_eq!(visitor.say_once("1", &more).await.posted(), first);
}

#[apply(every_stack)]
async fn a_key_is_scoped_to_its_link_and_conversation(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let other = stack.visit("acme").await;
    let first = visitor.say_once(KEY, &json!({"content": "x"})).await.posted();
    let elsewhere = other.say_once(KEY, &json!({"content": "y"})).await.posted();
    assert_ne!(first.turn, elsewhere.turn);
    assert_ne!(first.conversation, elsewhere.conversation);
    let within = json!({"content": "z", "conversation": first.conversation});
    let within = visitor.say_once(KEY, &within).await.posted();
    assert_ne!(within.turn, first.turn);
}

#[apply(every_stack)]
async fn a_repeat_is_answered_even_past_the_limits(kind: Kind) {
    let stack =
        Stack::with(kind, &[("ARIZUKO_ADDRESS_RATE", "1"), ("ARIZUKO_LINK_TURNS", "1")]).await;
    let visitor = stack.visit("acme").await;
    let message = json!({"content": "x"});
    let first = visitor.say_once(KEY, &message).await.posted();
    visitor.post_json(&message).await.expect(429);
    assert_eq!(visitor.say_once(KEY, &message).await.posted(), first);
}

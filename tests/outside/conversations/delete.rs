//! Deletions of conversations by operators.

use super::{ROOM, cnv, listed};
use arizuko_tests::prelude::*;

/// Runs `arizuko conversation delete` with these arguments. Returns how many conversations and
/// turns it deleted.
async fn deleted(stack: &Stack, arguments: &[&str]) -> (u64, u64) {
    let delete = [&["conversation", "delete", "--yes", "--json"], arguments].concat();
    let deleted = stack.arizuko(&delete).await.expect(0).json();
    let count = |name: &str| deleted[name].as_u64().expect("a number");
    (count("conversations"), count("turns"))
}

#[apply(every_stack)]
async fn one_conversation_is_deleted_with_all_that_was_said(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let posted = visitor.say("forget me").await;
    agent.answer_next("I do").await;
    let mut live = visitor.follow(&posted.conversation).await;
    visitor.say_in(&posted.conversation, "and this").await;
    let held = agent.turn().await;
    let kept = visitor.say("keep me").await;

    let id = cnv(&posted);
    let told = stack.arizuko(&["conversation", "delete", &id]).await.expect(0).out;
    assert_eq!(told, "deleted 1 conversation with 2 messages and their replies\n");
    // The turn under way is cancelled, and the open stream ends.
    let cancelled = |heard: &Heard| {
        matches!(heard, Heard::Cancel(c) if c.turn_id == held.turn.turn_id).then_some(())
    };
    agent.hear_of("Cancel", cancelled).await;
    live.rest().await;
    visitor.get(&format!("c/{}", posted.conversation)).await.expect(404);
    visitor.get(&posted.turn).await.expect(404);
    assert_eq!(listed(&stack, &["acme"]).await, [cnv(&kept)]);
    stack.arizuko(&["turn", "show", &posted.turn]).await.expect(1);
    stack.arizuko(&["conversation", "delete", &id]).await.expect(1);
    let audit = stack.arizuko(&["audit", "acme", "--json"]).await.expect(0).json();
    let entries = audit["entries"].as_array().expect("a list").iter();
    let noted = entries.filter(|entry| entry["action"] == "conversation.delete");
    assert_eq!(noted.map(|entry| entry["subject"].clone()).collect::<Vec<_>>(), [json!(id)]);
}

#[apply(embedded_and_one_redis)]
async fn the_conversations_of_an_address_are_deleted_after_its_link_was_revoked(kind: Kind) {
    let stack = Stack::with(kind, &ROOM).await;
    let old = stack.visitor(&stack.issue_with("acme", "old", LinkOptions::default()).await, A);
    let new = stack.visit("acme").await;
    for number in 0..5 {
        old.say(&format!("old {number}")).await;
    }
    let kept = new.say("new").await;
    stack.revoke("web:acme/old").await;
    assert_eq!(deleted(&stack, &["--jid", "web:acme/old"]).await, (5, 5));
    assert_eq!(deleted(&stack, &["--jid", "web:acme/old"]).await, (0, 0));
    assert_eq!(listed(&stack, &["acme"]).await, [cnv(&kept)]);
    assert_eq!(deleted(&stack, &["acme"]).await, (1, 1));
}

#[apply(embedded_and_one_redis)]
async fn conversations_that_were_not_active_for_long_are_deleted(kind: Kind) {
    let stack = Stack::with(kind, &ROOM).await;
    let visitor = stack.visit("acme").await;
    let old = visitor.say("old").await;
    let revived = visitor.say("old, too").await;
    let other = stack.visit("other").await.say("another tenant's").await;
    assert_eq!(deleted(&stack, &["acme", "--before", "1h"]).await, (0, 0));
    sleep(Duration::from_millis(2_100)).await;
    visitor.say_in(&revived.conversation, "active again").await;
    assert_eq!(deleted(&stack, &["acme", "--before", "2s"]).await, (1, 1));
    assert_eq!(listed(&stack, &["acme"]).await, [cnv(&revived)]);
    assert_eq!(listed(&stack, &["other"]).await, [cnv(&other)]);
    stack.arizuko(&["conversation", "show", &cnv(&old)]).await.expect(1);
    for wrong in [&["--before", "1h"][..], &[], &["acme", "--before", "soon"]] {
        let delete = [&["conversation", "delete", "--yes"], wrong].concat();
        stack.arizuko(&delete).await.expect(2);
    }
}

#[apply(embedded_and_one_redis)]
async fn a_long_conversation_is_deleted_in_parts_and_takes_no_room_afterwards(kind: Kind) {
    let settings =
        [&ROOM[..], &[("ARIZUKO_LINK_RATE", "100000"), ("ARIZUKO_LINK_BYTES", "4000000")]].concat();
    let stack = Stack::with(kind, &settings).await;
    stack.arizuko(&["route", "set", "web:acme", "--mode", "drop"]).await.expect(0);
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("begin").await;
    for _ in 0..700 {
        visitor.say_in(&posted.conversation, "more").await;
    }
    // Before the deletion, the link has room for fewer than 300 more messages.
    assert_eq!(deleted(&stack, &[&cnv(&posted)]).await, (1, 701));
    for _ in 0..700 {
        visitor.say("again").await;
    }
}

#[apply(embedded_and_one_redis)]
async fn a_conversation_of_many_open_turns_is_deleted(kind: Kind) {
    let settings = [&ROOM[..], &[("ARIZUKO_CONVERSATION_TURNS", "1000")]].concat();
    let stack = Stack::with(kind, &settings).await;
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("wait").await;
    for _ in 0..220 {
        visitor.say_in(&posted.conversation, "and wait").await;
    }
    assert_eq!(deleted(&stack, &[&cnv(&posted)]).await, (1, 221));
}

#[apply(embedded)]
async fn a_deletion_asks_at_a_terminal(stack: Stack) {
    let posted = stack.visit("acme").await.say("hello").await;
    let id = cnv(&posted);
    for (answer, code) in [("no", 1), ("yes", 0)] {
        let mut person = stack.at_terminal(&["conversation", "delete", &id]);
        person.ends_with("[y/N] ").await;
        assert_eq!(listed(&stack, &["acme"]).await, std::slice::from_ref(&id));
        person.enter(answer);
        assert_eq!(person.gone().await.code(), Some(code), "{answer}");
    }
    assert!(listed(&stack, &["acme"]).await.is_empty());
}

//! Attach, frame by frame: repeats, gaps, and refusals.

use arizuko_proto::{
    v1::agent_service_client::AgentServiceClient,
    v1::{Accept, AgentFrame, AttachRequest},
};
use arizuko_tests::prelude::*;

/// Sends a visitor's message. Returns the visitor, the session that holds the turn, and the turn.
pub(super) async fn held(stack: &Stack) -> (arizuko_tests::http::Visitor, Session, Held) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    visitor.say("hello").await;
    let held = agent.turn().await;
    (visitor, agent, held)
}

pub(super) async fn lost(agent: &mut Session, turn: &str) {
    let lost =
        |heard: &Heard| matches!(heard, Heard::Lost(lost) if lost.turn_id == turn).then_some(());
    agent.hear_of("Lost", lost).await;
}

#[apply(every_stack)]
async fn a_repeated_append_is_acknowledged_and_stored_once(stack: Stack) {
    let (visitor, mut agent, mut held) = held(&stack).await;
    let three = || vec![delta("m1", "a"), delta("m1", "b"), delta("m1", "c")];
    for _ in 0..3 {
        assert_eq!(agent.append_at(&held, 1, three()).await.next_seq, 4);
    }
    // Of a repeat that overlaps, only the new frames are stored.
    let overlap = vec![delta("m1", "c"), delta("m1", "d")];
    assert_eq!(agent.append_at(&held, 3, overlap).await.next_seq, 5);
    assert_eq!(agent.append_at(&held, 2, vec![delta("m1", "b")]).await.next_seq, 5);
    held.seq = 5;
    agent.finish(&held).await;
    let seen = visitor.read(&held.turn.turn_id).await;
    assert_eq!(transcript(&seen)[0].1, "abcd");
    assert_eq!(names(&seen), ["delta", "delta", "delta", "delta", "turn_done"]);
}

#[apply(every_stack)]
async fn frames_after_a_gap_are_not_stored_and_the_answer_names_the_next_seq(stack: Stack) {
    let (visitor, mut agent, mut held) = held(&stack).await;
    assert_eq!(agent.append_at(&held, 2, vec![delta("m1", "b")]).await.next_seq, 1);
    assert_eq!(agent.append_at(&held, 1, vec![delta("m1", "a")]).await.next_seq, 2);
    assert_eq!(agent.append_at(&held, u64::MAX, vec![delta("m1", "z")]).await.next_seq, 2);
    held.seq = 2;
    agent.finish(&held).await;
    let seen = visitor.read(&held.turn.turn_id).await;
    assert_eq!(transcript(&seen)[0].1, "a");
}

/// One commit may store several waiting messages of the agent. The whole reply must still have what
/// earlier commits stored.
#[apply(every_stack)]
async fn frames_and_a_finish_that_are_sent_at_once_end_the_reply(stack: Stack) {
    let (visitor, mut agent, mut held) = held(&stack).await;
    agent.append(&mut held, delta("m1", "one ")).await;
    agent.push(&mut held, vec![delta("m1", "two "), delta("m2", "and")]).await;
    agent.push(&mut held, vec![delta("m1", "three")]).await;
    agent.finish(&held).await;
    let seen = visitor.read(&held.turn.turn_id).await;
    assert_eq!(names(&seen), ["delta", "delta", "delta", "delta", "turn_done"]);
    let stored = visitor.json(&held.turn.turn_id).await;
    let contents = [0, 1].map(|at| stored["assistant"][at]["content"].clone());
    assert_eq!(contents, ["one two three", "and"]);
}

#[apply(every_stack)]
async fn finish_needs_the_frames_before_it_and_may_be_repeated(stack: Stack) {
    let (visitor, mut agent, mut held) = held(&stack).await;
    held.seq = 3;
    agent.say(held.finish()).await;
    let early = agent.appended(&held).await;
    assert_eq!((early.next_seq, early.finished), (1, false));
    let both = vec![delta("m1", "a"), delta("m1", "b")];
    assert_eq!(agent.append_at(&held, 1, both).await.next_seq, 3);
    // Sends Finish many times, since a repeat may arrive just when the turn's worker ends.
    for _ in 0..100 {
        agent.finish(&held).await;
    }
    let seen = visitor.read(&held.turn.turn_id).await;
    assert_eq!(names(&seen), ["delta", "delta", "turn_done"]);
}

#[apply(every_stack)]
async fn frames_of_another_attempt_or_session_are_answered_with_lost(stack: Stack) {
    let (visitor, mut agent, held) = held(&stack).await;
    let turn = held.turn.turn_id.clone();
    let mut other = stack.attach("acme", A).await;
    other.say(held.append(1, vec![delta("m1", "not mine")])).await;
    lost(&mut other, &turn).await;
    other.say(held.finish()).await;
    lost(&mut other, &turn).await;
    for attempt in [0, 2, u32::MAX] {
        let mut wrong = Held { turn: held.turn.clone(), seq: 1 };
        wrong.turn.attempt = attempt;
        agent.say(wrong.append(1, vec![delta("m1", "not this attempt")])).await;
        lost(&mut agent, &turn).await;
    }
    agent.answer(held, "mine").await;
    let seen = visitor.read(&turn).await;
    assert_eq!(names(&seen), ["message", "turn_done"]);
    assert_eq!(transcript(&seen)[0].1, "mine");
}

#[apply(every_stack)]
async fn frames_that_break_the_contract_end_the_stream(stack: Stack) {
    for frame in [delta("", "x"), delta(&"i".repeat(65), "x"), message("", "x")] {
        let (visitor, mut agent, held) = held(&stack).await;
        agent.say(held.append(1, vec![frame])).await;
        let ended = agent.ended().await.expect("a reason");
        assert_eq!(reason(&ended), ErrorReason::Invalid);
        let cancel = format!("{}/cancel", held.turn.turn_id);
        visitor.post_to(&cancel).await.expect(200);
    }
    let (_, mut agent, held) = held(&stack).await;
    agent.say(held.append(0, vec![delta("m1", "x")])).await;
    let ended = agent.ended().await.expect("a reason");
    assert_eq!(reason(&ended), ErrorReason::Invalid);
}

#[apply(every_stack)]
async fn what_only_a_newer_agent_knows_is_ignored(stack: Stack) {
    // A message or frame of an unknown kind is read as one without content.
    let unknown = || AgentFrame { body: None };
    let (visitor, mut agent, mut held) = held(&stack).await;
    agent.send(AttachRequest { message: None }).await;
    agent.append(&mut held, unknown()).await;
    let frames = vec![delta("m1", "a"), unknown(), delta("m1", "b"), unknown()];
    assert_eq!(agent.append_at(&held, 2, frames).await.next_seq, 6);
    held.seq = 6;
    agent.finish(&held).await;
    let seen = visitor.read(&held.turn.turn_id).await;
    assert_eq!(names(&seen), ["delta", "delta", "turn_done"]);
    assert_eq!(transcript(&seen)[0].1, "ab");
}

#[apply(every_stack)]
async fn a_reply_past_its_limit_fails_the_turn(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_TURN_BYTES", "10000")]).await;
    let long = "x".repeat((64 << 10) + 1);
    for (first, second) in [("x".repeat(6_000), "y".repeat(6_000)), ("x".into(), long)] {
        let (visitor, mut agent, mut held) = held(&stack).await;
        agent.append(&mut held, delta("m1", &first)).await;
        agent.push(&mut held, vec![delta("m1", &second)]).await;
        let turn = held.turn.turn_id.clone();
        let cancelled =
            |heard: &Heard| matches!(heard, Heard::Cancel(c) if c.turn_id == turn).then_some(());
        agent.hear_of("Cancel", cancelled).await;
        let seen = visitor.read(&turn).await;
        assert_eq!(names(&seen), ["delta", "turn_done"]);
        assert_eq!(seen[1].data["status"], "failed");
        assert_eq!(seen[1].data["error"], "The reply was too long.");
    }
}

#[apply(every_stack)]
async fn a_stream_begins_with_hello_and_has_only_one(stack: Stack) {
    for first in [Some(Said::Accept(Accept::default())), None] {
        let mut agent = AgentServiceClient::new(stack.operator(A).await);
        let stream = agent.attach(tokio_stream::iter([AttachRequest { message: first }])).await;
        let status = match stream {
            Ok(stream) => stream.into_inner().message().await.err(),
            Err(status) => Some(status),
        };
        assert_eq!(reason(&status.expect("a refusal")), ErrorReason::Invalid);
    }
    let mut agent = stack.attach("acme", A).await;
    agent.say(Said::Hello(hello("acme", 1))).await;
    assert_eq!(reason(&agent.ended().await.expect("a reason")), ErrorReason::Invalid);
    for wrong in [hello("a b", 1), Hello { name: "n".repeat(101), ..hello("acme", 1) }] {
        let refused =
            Session::try_open(stack.operator(B).await, wrong).await.err().expect("a refusal");
        assert_eq!(reason(&refused), ErrorReason::Invalid);
    }
}

//! POST `/chat/{token}/{turn}/cancel`.

use arizuko_tests::prelude::*;

/// Waits until the agent gets Cancel for a turn.
async fn hears_cancel(agent: &mut Session, turn: &str) {
    let heard =
        |heard: &Heard| matches!(heard, Heard::Cancel(c) if c.turn_id == turn).then_some(());
    agent.hear_of("Cancel", heard).await;
}

#[apply(every_stack)]
async fn cancel_ends_a_turn_at_once_and_tells_the_agent(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let posted = here.say("hello").await;
    let mut agent = stack.attach("acme", B).await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "one")).await;
    let mut events = there.listen(&posted.turn).await;
    events.take(1).await;

    let cancelled = there.post_to(&format!("{}/cancel", posted.turn)).await.expect(200).json();
    assert_eq!(cancelled, json!({"turn_id": posted.turn, "status": "cancelled"}));
    let last = events.rest().await;
    assert_eq!(names(&last), ["turn_done"]);
    assert_eq!(last[0].data["status"], "cancelled");
    hears_cancel(&mut agent, &posted.turn).await;

    // Later frames of the agent are refused, and no reader sees them.
    agent.say(held.append(held.seq, vec![delta("m1", "too late")])).await;
    hears_cancel(&mut agent, &posted.turn).await;
    let snapshot = here.json(&posted.turn).await;
    assert_eq!(snapshot["assistant"][0]["content"], "one");
    assert_eq!(names(&here.read(&posted.turn).await), ["delta", "turn_done"]);

    let next = here.say_in(&posted.conversation, "next").await;
    let held = agent.turn().await;
    assert_eq!(held.turn.turn_id, next.turn, "the conversation goes on");
}

#[apply(every_stack)]
async fn cancel_ends_a_queued_turn(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let first = visitor.say("one").await;
    let second = visitor.say_in(&first.conversation, "two").await;
    visitor.cancel(&first.turn).await;
    let seen = visitor.read(&first.turn).await;
    assert_eq!(names(&seen), ["turn_done"]);
    let mut agent = stack.attach("acme", B).await;
    let held = agent.turn().await;
    assert_eq!(held.turn.turn_id, second.turn);
    agent.answer(held, "2").await;
}

#[apply(every_stack)]
async fn a_repeated_or_late_cancel_changes_nothing(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("one").await;
    let cancel = format!("{}/cancel", posted.turn);
    for _ in 0..3 {
        assert_eq!(visitor.post_to(&cancel).await.expect(200).json()["status"], "cancelled");
    }
    assert_eq!(visitor.read(&posted.turn).await.len(), 1, "one last frame");

    let mut agent = stack.attach("acme", B).await;
    let answered = visitor.say("two").await;
    agent.answer_next("2").await;
    let cancel = format!("{}/cancel", answered.turn);
    assert_eq!(visitor.post_to(&cancel).await.expect(200).json()["status"], "done");
    visitor.get(&cancel).await.refused(405, "METHOD_NOT_ALLOWED");
}

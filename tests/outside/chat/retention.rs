//! Retention: frames expire, and visitors delete conversations.

use super::history::history;
use arizuko_tests::prelude::*;

/// Makes frames expire soon.
const SHORT_LIVED_FRAMES: [(&str, &str); 1] = [("ARIZUKO_KEEP_FRAMES", "200ms")];

/// Waits until a turn's frames have expired.
async fn forgotten(visitor: &Visitor, turn: &str) {
    until("the frames to expire", async || {
        visitor.get(&format!("{turn}?after=0")).await.status == 410
    })
    .await;
}

#[apply(every_stack)]
async fn a_cursor_from_history_stays_valid_after_the_frames_expire(kind: Kind) {
    let stack = Stack::with(kind, &SHORT_LIVED_FRAMES).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let posted = visitor.say("hello").await;
    agent.answer_next("hello").await;
    forgotten(&visitor, &posted.turn).await;

    let page = history(&visitor, &posted.conversation, "").await;
    assert_eq!(page["turns"][0]["assistant"][0]["content"], "hello");
    let cursor = page["cursor"].as_str().expect("a cursor");
    let path = format!("c/{}/sse", posted.conversation);
    let mut events = visitor.open(&path, Cursor::After(cursor)).await.ok();
    let next = visitor.say_in(&posted.conversation, "and on").await;
    let seen = events.take(1).await;
    assert_eq!(names(&seen), ["user"], "the stream continues from the cursor: {}", raw(&seen));
    assert_eq!(seen[0].data["turn_id"], next.turn.as_str());
}

#[apply(every_stack)]
async fn frames_expire_and_messages_stay(kind: Kind) {
    let stack = Stack::with(kind, &SHORT_LIVED_FRAMES).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let posted = visitor.say("hello").await;
    let held = agent.turn().await;
    let mut live = visitor.listen(&posted.turn).await;
    live.greeting().await;
    agent.answer(held, "hello").await;
    let seen = live.rest().await;
    forgotten(&visitor, &posted.turn).await;
    visitor.get(&format!("{}?after=0", posted.turn)).await.refused(410, "PAST_RETENTION");
    visitor.get(&format!("{}/sse", posted.turn)).await.refused(410, "PAST_RETENTION");
    let snapshot = visitor.json(&posted.turn).await;
    assert_eq!(snapshot["assistant"][0]["content"], "hello");
    assert_eq!(snapshot["status"], "done");
    // A reader that has all frames still gets 204.
    let last = seen.last().and_then(|event| event.id.as_deref()).expect("it is numbered");
    let answer = visitor.open(&format!("{}/sse", posted.turn), Cursor::After(last)).await;
    assert_eq!(answer.status, 204);
}

#[apply(every_stack)]
async fn deleting_a_conversation_cancels_its_turns_and_purges_it(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let first = here.say("one").await;
    agent.answer_next("1").await;
    let second = here.say_in(&first.conversation, "two").await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "hal")).await;
    let third = here.say_in(&first.conversation, "three").await;
    let other = here.say("another").await;
    let mut streams = Vec::new();
    for path in [
        format!("c/{}/sse", first.conversation),
        format!("{}/sse", second.turn),
        format!("{}/sse", third.turn),
    ] {
        let mut events = there.open(&path, Cursor::Start).await.ok();
        events.greeting().await;
        streams.push(events);
    }

    let path = format!("c/{}", first.conversation);
    there.delete(&path).await.expect(204);
    for mut events in streams {
        events.rest().await;
    }
    let cancelled =
        |heard: &Heard| matches!(heard, Heard::Cancel(c) if c.turn_id == second.turn).then_some(());
    agent.hear_of("Cancel", cancelled).await;
    for visitor in [&here, &there] {
        visitor.get(&path).await.refused(404, "NOT_FOUND");
        visitor.get(&format!("{path}/sse")).await.refused(404, "NOT_FOUND");
        visitor.delete(&path).await.refused(404, "NOT_FOUND");
        for turn in [&first.turn, &second.turn, &third.turn] {
            visitor.get(turn).await.refused(404, "NOT_FOUND");
            visitor.get(&format!("{turn}/sse")).await.refused(404, "NOT_FOUND");
            visitor.get(&format!("{turn}/status")).await.refused(404, "NOT_FOUND");
        }
        let more = json!({"content": "x", "conversation": first.conversation});
        visitor.post_json(&more).await.refused(404, "NOT_FOUND");
    }
    let held = agent.turn().await;
    assert_eq!(held.turn.turn_id, other.turn, "the other conversation is untouched");
    agent.answer(held, "fine").await;
    assert_eq!(here.end_of(&other.turn).await["status"], "done");
}

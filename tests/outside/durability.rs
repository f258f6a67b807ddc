//! Everything that was answered with 2xx survives a power cut, and happens once.

use arizuko_tests::prelude::*;

/// A lease short enough to wait for.
const SHORT: [(&str, &str); 2] = [("ARIZUKO_LEASE", "4s"), ("ARIZUKO_AGENT_HEARTBEAT", "500ms")];

#[apply(every_stack)]
async fn a_message_survives_a_power_cut_right_after_its_answer(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let mut taken = Vec::new();
    for round in 0..4 {
        let visitor = stack.visitor(&link, BOTH[round % 2]);
        taken.push((visitor.say(&format!("message {round}")).await, format!("message {round}")));
        stack.power_cycle().await;
    }
    let mut agent = stack.attach("acme", B).await;
    for (posted, content) in &taken {
        let held = agent.turn().await;
        assert_eq!((held.turn.turn_id.as_str(), held.turn.attempt), (posted.turn.as_str(), 1));
        assert_eq!(held.turn.content, content.as_bytes());
        agent.answer(held, "at last").await;
    }
    stack.power_cycle().await;
    for (posted, content) in &taken {
        let snapshot = stack.visitor(&link, A).json(&posted.turn).await;
        assert_eq!(
            (&snapshot["status"], &snapshot["user"]["content"]),
            (&json!("done"), &json!(content))
        );
        assert_eq!(snapshot["assistant"][0]["content"], "at last");
    }
}

/// Returns what both gateways answer for a link's config, a conversation's history, and the
/// snapshots of these turns.
async fn everything(
    stack: &Stack,
    link: &arizuko_tests::operator::Link,
    turns: &[&str],
    conversation: &str,
) -> Vec<Value> {
    let mut all = Vec::new();
    for gateway in BOTH {
        let visitor = stack.visitor(link, gateway);
        all.push(visitor.json("config").await);
        all.push(visitor.json(&format!("c/{conversation}")).await);
        for turn in turns {
            all.push(visitor.json(&format!("{turn}?after=0")).await);
        }
    }
    all
}

#[apply(every_stack)]
async fn links_history_and_turns_survive_a_power_cut_unchanged(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let mut agent = stack.attach("acme", B).await;
    let done = visitor.say("one").await;
    let mut held = agent.turn().await;
    agent.append(&mut held, status("Thinking")).await;
    agent.append(&mut held, delta("m1", "*1*")).await;
    agent.finish(&held).await;
    agent.leave().await;
    let cancelled = visitor.say_in(&done.conversation, "two").await;
    visitor.cancel(&cancelled.turn).await;
    let queued = visitor.say_in(&done.conversation, "three").await;
    let stream = raw(&visitor.read(&done.turn).await);

    let turns = [&*done.turn, &cancelled.turn, &queued.turn];
    let before = everything(&stack, &link, &turns, &done.conversation).await;
    stack.power_cycle().await;
    assert_eq!(everything(&stack, &link, &turns, &done.conversation).await, before);
    let visitor = stack.visitor(&link, B);
    assert_eq!(raw(&visitor.read(&done.turn).await), stream, "the same bytes");
}

#[apply(every_stack)]
async fn a_revocation_survives_a_power_cut_right_after_its_answer(mut stack: Stack) {
    let (revoked, kept) = (stack.issue("acme").await, stack.issue("acme").await);
    let posted = stack.visitor(&revoked, A).say("hello").await;
    stack.revoke(&revoked.token_id).await;
    stack.power_cycle().await;
    stack.visitor(&revoked, A).get(&posted.turn).await.refused(401, "TOKEN_INVALID");
    let kept = stack.visitor(&kept, B).say("hello").await;
    let mut agent = stack.attach("acme", B).await;
    assert_eq!(
        agent.turn().await.turn.turn_id,
        kept.turn,
        "the revoked link's turn is never delivered"
    );
}

#[apply(every_stack)]
async fn a_repeat_after_a_power_cut_returns_the_first_turn(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let message = json!({"content": "hello"});
    let key = "a-key-that-nobody-can-guess";
    let first = stack.visitor(&link, A).say_once(key, &message).await.posted();
    stack.power_cycle().await;
    assert_eq!(stack.visitor(&link, B).say_once(key, &message).await.posted(), first);
}

#[apply(every_stack)]
async fn acknowledged_frames_survive_a_power_cut_in_mid_reply(kind: Kind) {
    let mut stack = Stack::with(kind, &SHORT).await;
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let mut agent = stack.attach("acme", B).await;
    let posted = visitor.say("hello").await;
    let mut held = agent.turn().await;
    for text in ["one ", "two ", "three"] {
        agent.append(&mut held, delta("m1", text)).await;
    }
    let mut live = visitor.listen(&posted.turn).await;
    let before = live.take(3).await;
    stack.power_cycle().await;

    // The visitor resumes at their cursor. The agent does not come back, so another agent begins a
    // new attempt.
    let visitor = stack.visitor(&link, B);
    let last = before[2].id.clone().expect("it is numbered");
    let mut events = visitor.open(&format!("{}/sse", posted.turn), Cursor::After(&last)).await.ok();
    let mut next = stack.agent("acme", &[]).await;
    let program = next.turn().await;
    assert_eq!(program.environment["ARIZUKO_TURN"], posted.turn.as_str());
    program.reply("anew").await;
    let after = events.rest().await;
    assert_eq!((names(&after)[0], names(&after).last()), ("restart", Some(&"turn_done")));
    assert_eq!(transcript(&after)[0].1, "anew");
    let whole = visitor.read(&posted.turn).await;
    assert_eq!(raw(&whole), raw(&before) + &raw(&after));
}

/// Follows the steps in docs/operations.md.
#[apply(one_redis)]
async fn a_backup_of_redis_brings_back_the_moment_when_it_was_made(mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let kept = visitor.say("before the backup").await;
    let dump = stack.folder().join("backup.rdb");
    stack.redis().ask(&["--rdb", &dump.display().to_string()]).await;
    let lost = visitor.say("after the backup").await;
    stack.kill(Control(A));
    stack.redis().restore(&dump).await;
    stack.restart(Control(A)).await;
    visitor.get(&lost.turn).await.refused(404, "NOT_FOUND");
    let mut agent = stack.attach("acme", A).await;
    let held = agent.turn().await;
    assert_eq!(held.turn.turn_id, kept.turn);
    agent.answer(held, "still here").await;
    assert_eq!(visitor.end_of(&kept.turn).await["status"], "done");
}

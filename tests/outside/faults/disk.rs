//! Faults of the embedded store: a kill while it writes, a torn file, a full disk.

use arizuko_tests::prelude::*;
use std::io::Write as _;

#[apply(embedded)]
async fn acknowledged_frames_survive_a_kill_while_the_store_writes(mut stack: Stack) {
    let link = stack.issue("acme").await;
    for seed in 1..=6_usize {
        let visitor = stack.visitor(&link, A);
        let posted = visitor.say("count").await;
        let mut agent = stack.attach("acme", A).await;
        let mut held = agent.turn().await;
        let mut stored = String::new();
        for number in 0..seed * 7 {
            let word = format!("{number} ");
            agent.append(&mut held, delta("m1", &word)).await;
            stored += &word;
        }
        // Sends more frames, which may be half written when the process is killed.
        let frames = (0..seed * 13).map(|_| delta("m1", "?")).collect();
        agent.push(&mut held, frames).await;
        stack.cut_the_power();
        agent.vanish();
        stack.power_up().await;
        let snapshot = stack.visitor(&link, A).get(&posted.turn).await.expect(200);
        let found = snapshot.json()["assistant"][0]["content"].clone();
        let found = found.as_str().unwrap_or_default().trim_end_matches('?');
        assert_eq!(found, stored, "seed {seed}");
        let visitor = stack.visitor(&link, A);
        visitor.cancel(&posted.turn).await;
    }
}

#[apply(embedded)]
async fn a_torn_write_is_dropped_when_the_file_is_opened_again(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let posted = stack.visitor(&link, A).say("hello").await;
    let mut agent = stack.attach("acme", A).await;
    agent.answer_next("stored").await;
    stack.cut_the_power();
    // Appends what a disk may leave of an unfinished write.
    let log = stack.data_dir().join("arizuko.db-wal");
    let tail = random_id().repeat(300);
    let file = fs::File::options().append(true).open(&log);
    let mut file = file.expect("a killed store leaves its write-ahead log");
    file.write_all(tail.as_bytes()).expect("the disk has room");
    drop(file);
    stack.power_up().await;
    let visitor = stack.visitor(&link, A);
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(transcript(&seen)[0].1, "stored");
    let posted = visitor.say_in(&posted.conversation, "and on").await;
    let mut agent = stack.attach("acme", A).await;
    let held = agent.turn().await;
    assert_eq!(held.turn.turn_id, posted.turn);
    agent.answer(held, "goes on").await;
}

#[apply(embedded)]
async fn a_full_disk_takes_nothing_and_loses_nothing(kind: Kind) {
    let mut stack = Stack::start(kind).await;
    let visitor = stack.visit("acme").await;
    let first = visitor.say("before").await;
    let size = |name: &str| fs::metadata(stack.data_dir().join(name)).expect("it is there");
    let full = size("arizuko.db-wal").len() + 50_000;
    stack.process(Control(A)).limit_files(Some(full));
    let mut taken = vec![first.turn.clone()];
    let content = "x".repeat(4_000);
    let message = json!({"content": content, "conversation": first.conversation});
    let refused = loop {
        let key = format!("a-key-that-nobody-can-guess-{}", taken.len());
        let answer = visitor.say_once(&key, &message).await;
        if answer.status != 202 {
            break answer;
        }
        taken.push(answer.posted().turn);
    };
    assert!(refused.refused(503, "UNAVAILABLE").retry_after() >= 1);
    // The history is readable and holds exactly the taken messages.
    let history = visitor.get(&format!("c/{}", first.conversation)).await;
    let history = history.expect(200).json();
    assert_eq!(history["turns"].as_array().map(Vec::len), Some(taken.len()));
    stack.process(Control(A)).limit_files(None);
    let key = format!("a-key-that-nobody-can-guess-{}", taken.len());
    taken.push(visitor.say_once(&key, &message).await.posted().turn);
    let mut agent = stack.attach("acme", A).await;
    for turn in &taken {
        let held = agent.turn().await;
        assert_eq!(&held.turn.turn_id, turn);
        agent.answer(held, "ok").await;
    }
}

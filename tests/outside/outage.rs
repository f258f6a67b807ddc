//! Redis or control is unreachable: nothing is taken by mistake, and service resumes afterwards.

mod cluster;
mod control;
mod redis;

use arizuko_tests::prelude::*;

/// Asserts that a stream ends at once and says when to come back.
async fn asks_to_come_back(visitor: &Visitor, path: &str) {
    let mut events = visitor.open(path, Cursor::Start).await.ok();
    assert_eq!(names(&events.rest().await), [""; 0]);
    assert!(
        events.retry.is_some_and(|retry| (2_000..=10_000).contains(&retry)),
        "{:?}",
        events.retry
    );
}

/// Waits for recovery, which docs/guarantees.md promises within two seconds.
async fn is_back(visitor: &Visitor) {
    let begun = Instant::now();
    until("the system to recover", async || visitor.get("config").await.status == 200).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?}");
}

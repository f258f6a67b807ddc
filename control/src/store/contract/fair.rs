//! Tests of fair queues, and of senders' shares of a rate.

use super::steps::{apply, batch, set};
use crate::store::{Batch, Commit, Flow, Guard, Store, Write};

/// Enqueues a member at the time `now`. `flow`: the ids of its flow and its group.
async fn enqueue(store: &dyn Store, now: u64, member: &str, flow: Option<(&str, &str)>) {
    let flow = flow.map(|(id, group)| Flow { id: id.to_owned(), group: group.to_owned() });
    let enqueue = Write::Enqueue {
        queue: "q".to_owned(),
        rounds: "rounds".to_owned(),
        member: member.to_owned(),
        flow,
    };
    let batch = Batch { now, ..batch(1, vec![], vec![enqueue]) };
    assert_eq!(apply(store, batch).await, Commit::Applied);
}

/// Removes the first member and returns it.
async fn next(store: &dyn Store) -> String {
    let (member, _) = set(store, "q", 0, u64::MAX, 1).await.remove(0);
    let remove = Write::Remove { set: "q".to_owned(), member: member.clone() };
    apply(store, batch(1, vec![], vec![remove])).await;
    member
}

async fn order(store: &dyn Store) -> Vec<String> {
    let members = set(store, "q", 0, u64::MAX, 99).await;
    members.into_iter().map(|(name, _)| name).collect()
}

pub(super) async fn a_fair_queue_serves_each_flow_once_a_round(store: &dyn Store) {
    let now = store.now();
    for n in 1..=3 {
        enqueue(store, now, &format!("a{n}"), Some(("a", "g"))).await;
    }
    enqueue(store, now + 1, "b1", Some(("b", "g"))).await;
    enqueue(store, now + 2, "c1", Some(("c", "g"))).await;
    assert_eq!(order(store).await, ["a1", "b1", "c1", "a2", "a3"]);
    assert_eq!(next(store).await, "a1");
    // A new member of a flow is put one round after the flow's last member.
    enqueue(store, now + 3, "a4", Some(("a", "g"))).await;
    enqueue(store, now + 4, "d1", Some(("d", "g"))).await;
    // A member without a flow joins the current round.
    enqueue(store, now + 5, "e", None).await;
    assert_eq!(order(store).await, ["b1", "c1", "d1", "e", "a2", "a3", "a4"]);
    for expected in ["b1", "c1", "d1", "e", "a2"] {
        assert_eq!(next(store).await, expected);
    }
    // A flow that comes back joins the current round, even if it was served in earlier rounds.
    enqueue(store, now + 6, "b2", Some(("b", "g"))).await;
    assert_eq!(order(store).await, ["a3", "b2", "a4"]);
    while !order(store).await.is_empty() {
        next(store).await;
    }
    // An empty queue remembers nothing.
    enqueue(store, now + 7, "a5", Some(("a", "g"))).await;
    enqueue(store, now + 8, "b3", Some(("b", "g"))).await;
    assert_eq!(order(store).await, ["a5", "b3"]);
    assert_eq!(set(store, "rounds", 0, u64::MAX, 99).await.len(), 3, "two flows and a group");
}

pub(super) async fn a_quiet_group_comes_first_in_its_round(store: &dyn Store) {
    let now = store.now();
    for n in 0..50 {
        enqueue(store, now + n, &format!("busy{n}"), Some((&format!("b{n}"), "busy"))).await;
    }
    for n in 1..=2 {
        enqueue(store, now + 60, &format!("quiet{n}"), Some((&format!("q{n}"), "quiet"))).await;
        enqueue(store, now + 60, &format!("hook{n}"), Some(("hook", "hook"))).await;
    }
    let order = order(store).await;
    assert_eq!(order[..3], ["busy0", "hook1", "quiet1"]);
    assert_eq!(order[3], "busy1");
    assert_eq!(order[51..], ["busy49", "quiet2", "hook2"]);
    // Another control's clock may be a little behind.
    enqueue(store, now - 5, "late", Some(("late", "late"))).await;
    assert_eq!(next(store).await, "late");
}

pub(super) async fn a_senders_share_is_what_the_others_leave(store: &dyn Store) {
    let now = store.now();
    let (interval, burst, bucket) = (1_000_000, 12, "link".to_owned());
    let post = |sender: &str, after: u64| {
        let rate = Guard::Rate { bucket: bucket.clone(), interval, burst };
        let (taken, bucket) = (format!("taken by {sender}"), bucket.clone());
        let forget = 50_000_000;
        let share = Guard::Share { taken, forget, most: 20, bucket, interval, burst };
        Batch { now: now + after, ..batch(1, vec![rate, share], vec![]) }
    };
    // The ninth is still taken: before it, eight are taken and four are left, which is half of
    // eight.
    for _ in 0..9 {
        assert_eq!(apply(store, post("a", 0)).await, Commit::Applied);
    }
    let wait = Commit::Limited { bucket: "link".to_owned(), retry_after: 1_500_000 };
    assert_eq!(apply(store, post("a", 0)).await, wait);
    for _ in 0..2 {
        assert_eq!(apply(store, post("b", 0)).await, Commit::Applied);
    }
    assert!(matches!(apply(store, post("a", 1_400_000)).await, Commit::Limited { .. }));
    assert_eq!(apply(store, post("b", 1_400_000)).await, Commit::Applied);
    assert_eq!(apply(store, post("a", 100_000_000)).await, Commit::Applied);
}

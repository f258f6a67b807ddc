//! The contract of a store, as one suite that both backends and the model pass, and a comparison of
//! all three under random histories.

use super::{
    Batch, Commit, Guard, Member, Order, PAGE, Record, Store, Wake, Write,
    model::Model,
    sqlite::{Sqlite, Texts, now},
};
use std::{collections::HashMap, path::Path, time::Duration};
use tokio::{sync::mpsc, time::timeout};

mod fair;
mod histories;
mod refusals;
mod server;
mod steps;

use fair::{
    a_fair_queue_serves_each_flow_once_a_round, a_quiet_group_comes_first_in_its_round,
    a_senders_share_is_what_the_others_leave,
};
use server::Server;
use steps::{add, append, apply, at, batch, log, ordered, put, record, set};

/// Opens a SQLite store in a new folder.
fn sqlite(folder: &Path) -> Sqlite {
    let texts = Texts { endings: &["#text"], text: |_, body| body.to_lowercase() };
    Sqlite::open(folder, texts).expect("opens")
}

/// Makes a test of each function on each store: a new SQLite store, a new Redis, and a new model.
macro_rules! on_each {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let folder = tempfile::tempdir().expect("a temporary folder");
                super::$name(&super::sqlite(&folder.path().join("data"))).await;
            })*
        }
        mod model {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&super::Model::new(super::now())).await;
            })*
        }
        mod redis {
            $(#[tokio::test]
            async fn $name() {
                let server = super::Server::start();
                super::$name(&server.open().await).await;
            })*
        }
    };
}

on_each!(
    a_record_is_as_it_was_put,
    a_guard_on_a_version_refuses_another,
    a_conflict_changes_nothing_and_tells_what_is,
    a_guard_on_a_set_counts_its_members,
    a_counter_has_room_up_to_its_limit,
    a_rate_lets_a_burst_through_and_then_one_an_interval,
    a_senders_share_is_what_the_others_leave,
    a_set_is_in_the_order_of_its_scores,
    a_fair_queue_serves_each_flow_once_a_round,
    a_quiet_group_comes_first_in_its_round,
    a_log_is_read_from_any_place_and_trimmed_from_the_start,
    what_no_record_knows_of_a_log_is_dropped,
    a_delete_takes_records_sets_and_logs,
    a_record_past_its_lifetime_may_be_collected,
    what_is_published_after_watching_arrives,
    a_conflict_publishes_nothing,
    many_commits_of_one_record_leave_one_winner_each,
    sets_are_gathered_over_partitions,
    records_are_scanned_by_their_kinds,
);

async fn a_record_is_as_it_was_put(store: &dyn Store) {
    assert_eq!(record(store, "a").await, None);
    let body = "{\"text\":\"\u{e9} \\u0000 1 2\"}";
    assert_eq!(
        apply(store, batch(u64::MAX, vec![at("a", None)], vec![put("a", body)])).await,
        Commit::Applied
    );
    let expected = Record { version: u64::MAX, body: body.into() };
    assert_eq!(record(store, "a").await, Some(expected));
}

async fn a_guard_on_a_version_refuses_another(store: &dyn Store) {
    apply(store, batch(1, vec![], vec![put("a", "1")])).await;
    for wrong in [None, Some(2), Some(0)] {
        let found = apply(store, batch(9, vec![at("a", wrong)], vec![put("a", "9")])).await;
        assert!(matches!(found, Commit::Conflict(_)), "{wrong:?}: {found:?}");
    }
    assert_eq!(
        apply(store, batch(2, vec![at("a", Some(1))], vec![put("a", "2")])).await,
        Commit::Applied
    );
}

async fn a_conflict_changes_nothing_and_tells_what_is(store: &dyn Store) {
    apply(store, batch(1, vec![], vec![put("a", "1")])).await;
    let guards = vec![at("a", Some(1)), at("b", Some(7))];
    let writes = vec![put("a", "2"), add("s", "m", 1), append("l", 1)];
    let Commit::Conflict(found) = apply(store, batch(2, guards, writes)).await else {
        panic!("no conflict");
    };
    assert_eq!(found["a"], Some(Record { version: 1, body: "1".into() }));
    assert_eq!(found["b"], None);
    assert_eq!(record(store, "a").await.map(|r| r.version), Some(1));
    assert!(set(store, "s", 0, u64::MAX, 9).await.is_empty());
    assert!(log(store, "l", 0, 9).await.is_empty());
}

async fn a_guard_on_a_set_counts_its_members(store: &dyn Store) {
    let fewer_from = |min, than| Guard::Fewer { set: "s".to_owned(), min, than };
    let fewer = |than| fewer_from(0, than);
    assert_eq!(
        apply(store, batch(1, vec![fewer(1)], vec![add("s", "a", 1)])).await,
        Commit::Applied
    );
    let full = Commit::Full { name: "s".to_owned() };
    assert_eq!(apply(store, batch(2, vec![fewer(1)], vec![add("s", "b", 1)])).await, full);
    assert_eq!(
        apply(store, batch(3, vec![fewer(2)], vec![add("s", "b", 5)])).await,
        Commit::Applied
    );
    assert_eq!(apply(store, batch(4, vec![fewer_from(5, 1)], vec![])).await, full);
    assert_eq!(apply(store, batch(5, vec![fewer_from(6, 1)], vec![])).await, Commit::Applied);
}

async fn a_counter_has_room_up_to_its_limit(store: &dyn Store) {
    let counted = async |version, by: i64, most| {
        let counter = "c".to_owned();
        let guard = Guard::Room { counter: counter.clone(), by: by.max(0) as u64, most };
        apply(store, batch(version, vec![guard], vec![Write::Count { counter, by }])).await
    };
    let full = Commit::Full { name: "c".to_owned() };
    assert_eq!(counted(1, 5, 4).await, full);
    assert_eq!(counted(2, 3, 4).await, Commit::Applied);
    assert_eq!(counted(3, 2, 4).await, full);
    assert_eq!(counted(4, 1, 4).await, Commit::Applied);
    // If more is given back than was taken, the counter is 0, not below.
    assert_eq!(counted(5, -9, 4).await, Commit::Applied);
    assert_eq!(counted(6, 5, 4).await, full);
    assert_eq!(counted(7, 4, 4).await, Commit::Applied);
}

async fn a_rate_lets_a_burst_through_and_then_one_an_interval(store: &dyn Store) {
    let guard = || Guard::Rate {
        bucket: "r".to_owned(),
        // Long enough that the bucket is not collected while the test runs.
        interval: 1_000_000,
        burst: 3,
    };
    let start = store.now();
    let take = |after: u64| Batch { now: start + after, ..batch(1, vec![guard()], vec![]) };
    for _ in 0..3 {
        assert_eq!(apply(store, take(0)).await, Commit::Applied);
    }
    let limited = |retry_after| Commit::Limited { bucket: "r".to_owned(), retry_after };
    assert_eq!(apply(store, take(0)).await, limited(1_000_000));
    // Another guard may leave a part of the burst to others.
    let bucket = "r".to_owned();
    let smaller = Guard::Rate { bucket, interval: 1_000_000, burst: 2 };
    let smaller = Batch { now: start, ..batch(1, vec![smaller], vec![]) };
    assert_eq!(apply(store, smaller).await, limited(1_000_000));
    assert_eq!(apply(store, take(400_000)).await, limited(600_000));
    assert_eq!(apply(store, take(1_000_000)).await, Commit::Applied);
    assert_eq!(apply(store, take(1_000_000)).await, limited(1_000_000));
    assert_eq!(apply(store, take(60_000_000)).await, Commit::Applied);
    // By this earlier time, the bucket is in use for 5 s longer than its burst allows. It counts as
    // used up: the wait is one interval.
    assert_eq!(apply(store, take(57_995_000)).await, limited(1_000_000));
    // After the clock went back, what was used before doesn't count.
    for _ in 0..3 {
        assert_eq!(apply(store, take(0)).await, Commit::Applied);
    }
    assert_eq!(apply(store, take(0)).await, limited(1_000_000));
}

async fn a_set_is_in_the_order_of_its_scores(store: &dyn Store) {
    let writes = vec![add("s", "c", 3), add("s", "a", 1), add("s", "b", 2), add("s", "a", 4)];
    apply(store, batch(1, vec![], writes)).await;
    let names =
        |found: Vec<(String, u64)>| found.into_iter().map(|(name, _)| name).collect::<String>();
    assert_eq!(names(set(store, "s", 0, u64::MAX, 9).await), "bca");
    assert_eq!(names(set(store, "s", 3, 3, 9).await), "c");
    assert_eq!(names(set(store, "s", 0, u64::MAX, 2).await), "bc");
    let highest = ordered(store, "s", (0, 3), 9, Order::HighestFirst).await;
    assert_eq!(names(highest), "cb");
    let remove = Write::Remove { set: "s".to_owned(), member: "b".to_owned() };
    apply(store, batch(2, vec![], vec![remove])).await;
    assert_eq!(names(set(store, "s", 0, u64::MAX, 9).await), "ca");
}

async fn a_log_is_read_from_any_place_and_trimmed_from_the_start(store: &dyn Store) {
    apply(store, batch(1, vec![], (1..=5).map(|seq| append("l", seq)).collect())).await;
    assert_eq!(log(store, "l", 0, 99).await, [1, 2, 3, 4, 5]);
    assert_eq!(log(store, "l", 2, 2).await, [3, 4]);
    assert_eq!(log(store, "l", u64::MAX, 99).await, [] as [u64; 0]);
    let trim = Write::Trim { log: "l".to_owned(), through: 5 };
    apply(store, batch(2, vec![], vec![trim])).await;
    assert!(log(store, "l", 0, 99).await.is_empty());
    apply(store, batch(3, vec![], vec![append("l", 6)])).await;
    assert_eq!(log(store, "l", 0, 99).await, [6]);
}

async fn what_no_record_knows_of_a_log_is_dropped(store: &dyn Store) {
    apply(store, batch(1, vec![], (1..=5).map(|seq| append("l", seq)).collect())).await;
    apply(store, batch(2, vec![], vec![append("l", 3), append("l", 4)])).await;
    assert_eq!(log(store, "l", 0, 99).await, [1, 2, 3, 4]);
    let trim = Write::Trim { log: "l".to_owned(), through: 2 };
    apply(store, batch(3, vec![], vec![trim, append("l", 3)])).await;
    assert_eq!(log(store, "l", 0, 99).await, [3]);
    apply(store, batch(4, vec![], vec![append("l", 1)])).await;
    assert_eq!(log(store, "l", 0, 99).await, [1]);
    let delete = Write::Delete { name: "l".to_owned() };
    apply(store, batch(5, vec![], vec![delete, append("l", 1), append("l", 2)])).await;
    assert_eq!(log(store, "l", 0, 99).await, [1, 2]);
}

async fn a_delete_takes_records_sets_and_logs(store: &dyn Store) {
    apply(store, batch(1, vec![], vec![put("a", "1"), add("s", "m", 1), append("l", 1)])).await;
    let delete = |name: &str| Write::Delete { name: name.to_owned() };
    apply(store, batch(2, vec![], vec![delete("a"), delete("s"), delete("l"), delete("none")]))
        .await;
    assert_eq!(record(store, "a").await, None);
    assert!(set(store, "s", 0, u64::MAX, 9).await.is_empty());
    assert!(log(store, "l", 0, 9).await.is_empty());
    apply(store, batch(3, vec![], vec![append("l", 1)])).await;
    assert_eq!(log(store, "l", 0, 9).await, [1]);
}

async fn a_record_past_its_lifetime_may_be_collected(store: &dyn Store) {
    let lifetime = Some(Duration::from_millis(1));
    let brief = Write::Put { record: "a".to_owned(), body: "1".into(), lifetime };
    apply(store, batch(1, vec![], vec![brief])).await;
    let collected = async {
        for version in 2.. {
            apply(store, batch(version, vec![], vec![put("b", "1")])).await;
            if record(store, "a").await.is_none() {
                return;
            }
        }
    };
    timeout(Duration::from_secs(10), collected).await.expect("it is collected within 10 s");
}

async fn what_is_published_after_watching_arrives(store: &dyn Store) {
    let mut wakes = store.watch(3, "topic").await.expect("watches");
    let mut others = store.watch(3, "other").await.expect("watches");
    let publish = |topic: &str| Write::Publish { topic: topic.to_owned(), payload: "a\0b".into() };
    apply(store, batch(1, vec![], vec![publish("topic")])).await;
    let wake = timeout(Duration::from_secs(10), wakes.next()).await.expect("it arrives");
    assert_eq!(wake, Wake::Published("a\0b".into()));
    apply(store, batch(2, vec![], vec![publish("other")])).await;
    let wake = timeout(Duration::from_secs(10), others.next()).await.expect("it arrives");
    assert_eq!(wake, Wake::Published("a\0b".into()));
}

async fn a_conflict_publishes_nothing(store: &dyn Store) {
    let mut wakes = store.watch(3, "topic").await.expect("watches");
    let publish = |payload: &'static str| Write::Publish {
        topic: "topic".to_owned(),
        payload: payload.into(),
    };
    apply(store, batch(1, vec![at("a", Some(1))], vec![publish("no")])).await;
    apply(store, batch(2, vec![], vec![publish("yes")])).await;
    let wake = timeout(Duration::from_secs(10), wakes.next()).await.expect("it arrives");
    assert_eq!(wake, Wake::Published("yes".into()));
}

async fn many_commits_of_one_record_leave_one_winner_each(store: &dyn Store) {
    apply(store, batch(1, vec![], vec![put("a", "0")])).await;
    for round in 1..5 {
        let attempts =
            (0..20).map(|n| batch(round * 100 + n, vec![at("a", None), at("b", None)], vec![]));
        let current = record(store, "a").await.expect("is there").version;
        let attempts = attempts.map(|attempt| Batch {
            guards: vec![at("a", Some(current))],
            writes: vec![put("a", "1")],
            ..attempt
        });
        let commits =
            futures_util::future::join_all(attempts.map(|attempt| apply(store, attempt))).await;
        assert_eq!(commits.iter().filter(|commit| **commit == Commit::Applied).count(), 1);
    }
}

async fn sets_are_gathered_over_partitions(store: &dyn Store) {
    for (partition, score) in [(0, 5), (3, 1), (7, 9), (200, 1)] {
        let batch = Batch { partition, ..batch(1, vec![], vec![add("due", "m", score)]) };
        apply(store, batch).await;
    }
    // At most two members come from each partition, however many it has.
    let many = (0..10).map(|i| add("due", &format!("n{i}"), 0)).collect();
    apply(store, Batch { partition: 3, ..batch(2, vec![], many) }).await;
    let mut found = store.gather("due", &[0, 3, 7], 0..=5, 2).await.expect("the store is in reach");
    found.sort_by_key(|(partition, _)| *partition);
    let member = |name: &str, score| Member { name: name.to_owned(), score };
    assert_eq!(found, [(0, member("m", 5)), (3, member("n0", 0)), (3, member("n1", 0))]);
}

async fn records_are_scanned_by_their_kinds(store: &dyn Store) {
    let lifetime = Some(Duration::from_secs(3_600));
    for partition in 0..100 {
        let brief = Write::Put { record: format!("b:{partition}"), body: "2".into(), lifetime };
        let writes = vec![put("a:1", "1"), brief, put("c:1", "3"), add("a:set", "m", 1)];
        apply(store, Batch { partition, ..batch(u64::from(partition), vec![], writes) }).await;
    }
    let (sender, mut pages) = mpsc::channel(1);
    let scan = async { store.scan(&["a", "b"], sender).await.expect("the store is in reach") };
    let read = async {
        let mut found = HashMap::new();
        while let Some(page) = pages.recv().await {
            assert!(page.len() <= PAGE);
            found.extend(page.into_iter().map(|s| ((s.partition, s.name.clone()), s)));
        }
        found
    };
    let ((), found) = tokio::join!(scan, read);
    assert_eq!(found.len(), 200);
    for ((partition, name), scanned) in found {
        let body = if name == "a:1" { "1" } else { "2" };
        let expected = Record { version: u64::from(partition), body: body.into() };
        assert_eq!(scanned.record, expected, "{name}");
        match scanned.lifetime {
            None => assert_eq!(name, "a:1"),
            Some(left) => {
                assert!(lifetime.is_some_and(|all| left <= all) && left.as_secs() > 3_000)
            }
        }
    }
}

#[tokio::test]
async fn redis_tells_whether_another_process_watches() {
    let server = Server::start();
    let (here, there) = (server.open().await, server.open().await);
    assert!(!here.is_watched().await.expect("Redis is in reach"));
    let _wakes = there.watch(3, "topic").await.expect("watches");
    assert!(here.is_watched().await.expect("Redis is in reach"));
}

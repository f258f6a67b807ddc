//! Tests of transactions, most of them on a store that is slow or loses answers.

use super::{Error, Ledger, commit::is_done};
use crate::{
    fence,
    limits::Limits,
    names::{self, Due},
    refusal::Refusal,
    schema,
    store::{
        Batch, Commit, Found, Member, Millis, Partition, Read, Record, Scanned, Store, StoreError,
        Subscription, Write, sqlite::Sqlite,
    },
    transaction::{self, Tx},
    turn::texts::INDEXED,
};
use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

/// A record whose name is its id.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counter(u32);

impl transaction::Record for Counter {
    type Id = str;

    fn name(id: &str) -> String {
        id.to_owned()
    }
}

/// The embedded store behind a connection that is slow and loses answers.
struct Troubled {
    store: Sqlite,
    delay: Duration,
    /// How many of the next commits are applied without an answer.
    silent: AtomicU32,
}

#[async_trait]
impl Store for Troubled {
    fn describe(&self) -> String {
        self.store.describe()
    }

    fn now(&self) -> Millis {
        self.store.now()
    }

    async fn load(&self, partition: Partition, reads: &[Read]) -> Result<Vec<Found>, StoreError> {
        let found = self.store.load(partition, reads).await;
        sleep(self.delay).await;
        found
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let commit = self.store.commit(batch).await?;
        let silent = self.silent.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        match silent {
            Ok(_) => Err(StoreError::Unknown("the line went dead".to_owned())),
            Err(_) => Ok(commit),
        }
    }

    async fn gather(
        &self,
        name: &str,
        partitions: &[Partition],
        scores: RangeInclusive<u64>,
        limit: u32,
    ) -> Result<Vec<(Partition, Member)>, StoreError> {
        self.store.gather(name, partitions, scores, limit).await
    }

    async fn scan(
        &self,
        kinds: &[&str],
        pages: mpsc::Sender<Vec<Scanned>>,
    ) -> Result<(), StoreError> {
        self.store.scan(kinds, pages).await
    }

    async fn watch(&self, partition: Partition, topic: &str) -> Result<Subscription, StoreError> {
        self.store.watch(partition, topic).await
    }
}

async fn troubled(delay: Duration, silent: u32) -> (TempDir, Ledger) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Sqlite::open(&folder.path().join("data"), INDEXED).expect("opens");
    let expected = schema::Expected { partitions: 1, deployment: None };
    schema::open(&store, &expected).await.expect("a new store has this schema");
    let silent = AtomicU32::new(silent);
    (folder, ledger(Arc::new(Troubled { store, delay, silent })))
}

fn ledger(store: Arc<dyn Store>) -> Ledger {
    Ledger::new(store, Limits::defaults())
}

/// Adds one to a counter.
async fn count(ledger: &Ledger) -> Result<u32, Error> {
    let counting = |tx: &mut Tx<'_>| {
        let next = tx.get::<Counter>("counter")?.map_or(0, |Counter(count)| count) + 1;
        tx.put("counter", &Counter(next))?;
        Ok(next)
    };
    ledger.transact(0, &[], counting).await
}

#[tokio::test]
async fn a_decision_that_reads_up_to_now_ends_on_a_slow_store() {
    let (_folder, ledger) = troubled(Duration::from_millis(5), 0).await;
    let reading = |tx: &mut Tx<'_>| Ok(tx.members(&names::due(), 0..=tx.now.into(), 9)?.len());
    let decided = ledger.transact(0, &[], reading);
    let members = timeout(Duration::from_secs(10), decided).await.expect("it ends");
    assert_eq!(members.expect("the store is in reach"), 0);
}

#[tokio::test]
async fn a_read_sees_what_was_committed_before_it_though_an_older_one_is_under_way() {
    let (_folder, ledger) = troubled(Duration::from_millis(200), 0).await;
    count(&ledger).await.expect("the store is in reach");
    let older = ledger.record::<Counter>(0, "counter");
    let newer = async {
        count(&ledger).await.expect("the store is in reach");
        ledger.record::<Counter>(0, "counter").await
    };
    let (older, newer) = tokio::join!(older, newer);
    assert!(older.is_ok(), "{older:?}");
    assert_eq!(newer.expect("the store is in reach"), Some(Counter(2)));
}

#[tokio::test]
async fn a_thousand_commands_that_change_one_record_all_get_their_turn() {
    let (_folder, ledger) = troubled(Duration::from_millis(1), 0).await;
    let counts = (0..1_000).map(|_| count(&ledger));
    let mut counted = try_join_all(counts).await.expect("none is beaten by the others for ever");
    counted.sort_unstable();
    assert_eq!(counted, (1..=1_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_done_once() {
    let (_folder, ledger) = troubled(Duration::ZERO, 1).await;
    assert_eq!(count(&ledger).await.expect("recognised"), 1);
    assert_eq!(count(&ledger).await.expect("the store is in reach"), 2);
}

#[tokio::test]
async fn a_commit_that_is_never_answered_is_unknown() {
    let (_folder, ledger) = troubled(Duration::ZERO, 2).await;
    let unknown = count(&ledger).await;
    assert!(matches!(unknown, Err(Error::Store(StoreError::Unknown(_)))), "{unknown:?}");
}

#[tokio::test]
async fn a_refusal_does_not_rest_on_a_guess() {
    let (_folder, ledger) = troubled(Duration::ZERO, 0).await;
    let put = ledger.transact(0, &[], |tx| tx.put("first", &Counter(1)));
    put.await.expect("the store is in reach");
    let decided = ledger.transact(0, &[], |tx| match tx.get_unlikely::<Counter>("first")? {
        Some(first) => Ok(first),
        None => Err(Refusal::invalid("there is no first").into()),
    });
    assert_eq!(decided.await.expect("it was looked for"), Counter(1));
}

#[tokio::test]
async fn a_refusal_does_not_rest_on_a_stale_hint() {
    let (_folder, ledger) = troubled(Duration::ZERO, 0).await;
    assert_eq!(count(&ledger).await.expect("the store is in reach"), 1);
    // This is another control, which has none of the first one's hints.
    let other = self::ledger(ledger.store.clone());
    assert_eq!(count(&other).await.expect("the store is in reach"), 2);
    let decided = ledger.transact(0, &[], |tx| match tx.get::<Counter>("counter")? {
        Some(Counter(1)) => Err(Refusal::invalid("it is still one").into()),
        counter => Ok(counter),
    });
    assert_eq!(decided.await.expect("it was looked at"), Some(Counter(2)));
}

#[tokio::test]
async fn a_commit_is_refused_once_the_store_has_another_schema() {
    let (_folder, ledger) = troubled(Duration::ZERO, 0).await;
    assert_eq!(count(&ledger).await.expect("the store is in reach"), 1);
    let body = "{}".into();
    let newer = Batch {
        partition: 0,
        version: u64::from(fence::SCHEMA) + 1,
        now: ledger.now().as_millis(),
        guards: Vec::new(),
        writes: vec![Write::Put { record: "schema".to_owned(), body, lifetime: None }],
    };
    ledger.store.commit(&newer).await.expect("the store is in reach");
    let refused = count(&ledger).await;
    assert!(matches!(refused, Err(Error::Store(StoreError::Unavailable(_)))), "{refused:?}");
}

#[test]
fn a_record_that_others_deleted_does_not_prove_our_commit() {
    let batch = Batch {
        partition: 0,
        version: 7,
        now: 0,
        guards: Vec::new(),
        writes: vec![
            Write::Put { record: "ours".to_owned(), body: "1".into(), lifetime: None },
            Write::Delete { name: "shared".to_owned() },
        ],
    };
    let fresh = |ours: Option<u64>| {
        let body = || "1".into();
        let ours = ours.map(|version| Record { version, body: body() });
        HashMap::from([("ours".to_owned(), ours), ("shared".to_owned(), None)])
    };
    assert!(!is_done(&batch, &fresh(None)));
    assert!(!is_done(&batch, &fresh(Some(6))));
    assert!(is_done(&batch, &fresh(Some(7))));
}

#[tokio::test]
async fn a_full_set_refuses_with_the_refusal_of_its_own_limit() {
    let (_folder, ledger) = troubled(Duration::ZERO, 0).await;
    let add = |tx: &mut Tx<'_>| {
        let refusal = Refusal::invalid("the set is full");
        tx.limit_members(&names::due(), 0_u64, 1, refusal);
        let item = Due::Unknown(u64::from_le_bytes(tx.random()).to_string());
        tx.schedule(&item, tx.now);
        Ok(())
    };
    ledger.transact(0, &[], add).await.expect("there is room for one");
    let refused = ledger.transact(0, &[], add).await;
    assert!(
        matches!(&refused, Err(Error::Refused(Refusal::Invalid(why))) if why == "the set is full"),
        "{refused:?}"
    );
}

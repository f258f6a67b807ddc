//! What a transaction promises when the store is slow, or silent.

use super::{Error, Ledger, is_done};
use crate::{
    store::{
        Batch, Commit, Found, Member, Millis, Partition, Read, Record, Store, StoreError,
        Subscription, Write, sqlite::Sqlite,
    },
    transaction::Refusal,
};
use async_trait::async_trait;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// The embedded store behind a bad line.
struct Troubled {
    store: Sqlite,
    delay: Duration,
    /// How many commits are still to be applied without an answer.
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
        sleep(self.delay).await;
        self.store.load(partition, reads).await
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
        partitions: Partition,
        max: u64,
        limit: u32,
    ) -> Result<Vec<(Partition, Member)>, StoreError> {
        self.store.gather(name, partitions, max, limit).await
    }

    async fn watch(&self, partition: Partition, topic: &str) -> Result<Subscription, StoreError> {
        self.store.watch(partition, topic).await
    }
}

fn troubled(delay: Duration, silent: u32) -> (TempDir, Ledger) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Sqlite::open(folder.path()).expect("opens");
    let silent = AtomicU32::new(silent);
    (folder, Ledger::new(Arc::new(Troubled { store, delay, silent })))
}

/// Adds one to a counter.
async fn count(ledger: &Ledger) -> Result<u32, Error> {
    let counted = ledger.transact(0, &[], |tx| {
        let next = tx.get::<u32>("counter")?.unwrap_or(0) + 1;
        tx.put("counter", &next, None)?;
        Ok(next)
    });
    counted.await
}

#[tokio::test]
async fn a_decision_that_reads_up_to_now_ends_on_a_slow_store() {
    let (_folder, ledger) = troubled(Duration::from_millis(5), 0);
    let decided = ledger.transact(0, &[], |tx| Ok(tx.members("set", 0..=tx.now, 9)?.len()));
    let members = timeout(Duration::from_secs(10), decided).await.expect("it ends");
    assert_eq!(members.expect("the store is in reach"), 0);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_done_once() {
    let (_folder, ledger) = troubled(Duration::ZERO, 1);
    assert_eq!(count(&ledger).await.expect("recognised"), 1);
    assert_eq!(count(&ledger).await.expect("the store is in reach"), 2);
}

#[tokio::test]
async fn a_commit_that_nothing_is_heard_of_is_unknown() {
    let (_folder, ledger) = troubled(Duration::ZERO, 2);
    let unknown = count(&ledger).await;
    assert!(matches!(unknown, Err(Error::Store(StoreError::Unknown(_)))), "{unknown:?}");
}

#[tokio::test]
async fn a_refusal_does_not_rest_on_a_guess() {
    let (_folder, ledger) = troubled(Duration::ZERO, 0);
    let put = ledger.transact(0, &[], |tx| tx.put("first", &1, None));
    put.await.expect("the store is in reach");
    let decided = ledger.transact(0, &[], |tx| match tx.get_unlikely::<u32>("first")? {
        Some(first) => Ok(first),
        None => Err(Refusal::invalid("there is no first").into()),
    });
    assert_eq!(decided.await.expect("it was looked for"), 1);
}

#[tokio::test]
async fn a_refusal_does_not_rest_on_a_stale_hint() {
    let (_folder, ledger) = troubled(Duration::ZERO, 0);
    assert_eq!(count(&ledger).await.expect("the store is in reach"), 1);
    // Another control, which remembers nothing of the first one's.
    let other = Ledger::new(ledger.store.clone());
    assert_eq!(count(&other).await.expect("the store is in reach"), 2);
    let decided = ledger.transact(0, &[], |tx| match tx.get::<u32>("counter")? {
        Some(1) => Err(Refusal::invalid("it is still one").into()),
        counter => Ok(counter),
    });
    assert_eq!(decided.await.expect("it was looked at"), Some(2));
}

#[test]
fn that_others_deleted_a_record_is_no_proof_of_our_commit() {
    let batch = Batch {
        partition: 0,
        version: 7,
        now: 0,
        guards: Vec::new(),
        writes: vec![
            Write::Put { record: "ours".to_owned(), body: "1".to_owned(), lifetime: None },
            Write::Delete { name: "shared".to_owned() },
        ],
    };
    let fresh = |ours: Option<u64>| {
        let body = || "1".to_owned();
        let ours = ours.map(|version| Record { version, body: body() });
        HashMap::from([("ours".to_owned(), ours), ("shared".to_owned(), None)])
    };
    assert!(!is_done(&batch, &fresh(None)));
    assert!(!is_done(&batch, &fresh(Some(6))));
    assert!(is_done(&batch, &fresh(Some(7))));
}

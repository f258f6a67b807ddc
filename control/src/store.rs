//! The interface of a store. A store knows nothing of what control keeps in it.
//!
//! A store has records, sorted sets, logs, rate buckets and counters, each in one *partition*. It
//! can load records, sets, logs and counters, and commit a batch: either every guard holds and
//! every write is done, or nothing changes. Both backends pass the suite in `contract.rs`.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use std::{collections::HashMap, future::ready, ops::RangeInclusive, sync::Arc, time::Duration};
use tokio::sync::mpsc;

mod bucket;
pub(crate) mod channels;
#[cfg(test)]
mod contract;
mod fair;
pub(crate) mod measured;
#[cfg(test)]
pub(crate) mod model;
pub(crate) mod redis;
pub(crate) mod sqlite;
pub(crate) mod steady;
pub(crate) mod waiting;

pub(crate) use channels::{Subscription, Wake};

/// Milliseconds: since 1970, or how long something takes.
pub(crate) type Millis = u64;

/// Names one state of a record. The ledger makes versions at random, so that a record that was
/// deleted and created again never has a version that it had before.
pub(crate) type Version = u64;

/// The slice of the state that one commit can touch. Everything of one tenant is in one partition.
pub(crate) type Partition = u16;

/// A record as it is stored: JSON, so that an operator can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) version: Version,
    pub(crate) body: Arc<str>,
}

/// A record that [`Store::scan`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scanned {
    pub(crate) partition: Partition,
    pub(crate) name: String,
    pub(crate) record: Record,
    /// What is left of the record's lifetime; `None` if it has none.
    pub(crate) lifetime: Option<Duration>,
}

/// How many records a page of [`Store::scan`] has, at most. Some records are 4 MB.
pub(crate) const PAGE: usize = 32;

/// Something to load.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Read {
    Record(String),
    /// At most `limit` members with a score in `min..=max`.
    Set {
        set: String,
        min: u64,
        max: u64,
        limit: u32,
        order: Order,
    },
    /// Entries after `after`, lowest first, at most `limit`.
    Log {
        log: String,
        after: u64,
        limit: u32,
    },
    Count(String),
}

/// Which members of a set come first. `limit` leaves out the last ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    LowestFirst,
    HighestFirst,
}

/// The answer to a [`Read`] of the same variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Record(Option<Record>),
    Set(Vec<Member>),
    Log(Vec<(u64, Bytes)>),
    /// 0 for a new counter.
    Count(u64),
}

/// A member of a sorted set and its score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) score: u64,
}

/// What must hold for a batch to be applied.
#[derive(Clone, Debug)]
pub(crate) enum Guard {
    /// The record has this version; `None`: it is absent.
    Version { record: String, version: Option<Version> },
    /// The set has fewer than `than` members with a score of `min` or more.
    Fewer { set: String, min: u64, than: u32 },
    /// The counter stays at or below `most` when `by` is added to it. A new counter is 0.
    Room { counter: String, by: u64, most: u64 },
    /// The bucket has room for one more, by the generic cell rate algorithm: `burst` at once, then
    /// one every `interval` milliseconds. If the batch is applied, there is room for one less.
    /// The guards of one bucket may differ in `burst`, up to a factor of two. If the bucket is in
    /// use for longer than two bursts and 10 s, the clock has gone back, and the bucket counts as
    /// unused.
    Rate { bucket: String, interval: Millis, burst: u32 },
    /// The sender has taken no more than its share of a bucket. `taken` counts what the sender has
    /// taken, up to `most`, and forgets one every `forget` milliseconds. The count must be at most
    /// twice what is left in `bucket`, which has this `interval` and `burst`. So senders who took
    /// little still find room when others have taken much. If the batch is applied, `taken` counts
    /// one more.
    Share { taken: String, forget: Millis, most: u32, bucket: String, interval: Millis, burst: u32 },
}

/// What a batch changes.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    /// Puts a record. The store may collect the record once its `lifetime` has passed, but nothing
    /// may depend on that.
    Put {
        record: String,
        body: Arc<str>,
        lifetime: Option<Duration>,
    },
    Add {
        set: String,
        member: String,
        score: u64,
    },
    /// Adds a member to the fair queue `queue`; see `fair.rs`. `rounds` is the queue's second set.
    /// Without a `flow`, the member joins the current round.
    Enqueue {
        queue: String,
        rounds: String,
        member: String,
        flow: Option<Flow>,
    },
    Remove {
        set: String,
        member: String,
    },
    /// Adds to a counter. A counter that falls to 0 is deleted.
    Count {
        counter: String,
        by: i64,
    },
    /// Appends an entry at `seq`. First drops any entries at or after `seq`, since no record
    /// refers to them. The seqs of a log have no gaps.
    Append {
        log: String,
        seq: u64,
        entry: Bytes,
    },
    /// Drops the log's entries up to and including `through`.
    Trim {
        log: String,
        through: u64,
    },
    /// Deletes a record, a set or a log.
    Delete {
        name: String,
    },
    /// Wakes the subscribers of `topic` in this partition.
    Publish {
        topic: String,
        payload: Bytes,
    },
}

/// The flow and the group of a member of a fair queue. In each round, every flow is served once at
/// most, and the first member of each group comes before all other members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) id: String,
    pub(crate) group: String,
}

/// A set of guards and writes, applied together or not at all.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) partition: Partition,
    /// The version of every record that the batch puts. It also names the batch: if an applied
    /// batch is committed again, it conflicts with itself and so can be recognised.
    pub(crate) version: Version,
    pub(crate) now: Millis,
    pub(crate) guards: Vec<Guard>,
    pub(crate) writes: Vec<Write>,
}

/// The outcome of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    Applied,
    /// A version guard failed. Holds the guarded records as they are.
    Conflict(HashMap<String, Option<Record>>),
    /// A set or a counter was full.
    Full {
        name: String,
    },
    /// A bucket had no room, or the sender had taken more than its share of it. Wait `retry_after`
    /// milliseconds.
    Limited {
        bucket: String,
        retry_after: Millis,
    },
}

/// Waits until a commit can't be lost. Nothing that rests on the commit may be said before that.
pub(crate) type Cover = BoxFuture<'static, Result<(), StoreError>>;

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// What was asked is certainly not done.
    #[error("the store is out of reach: {0}")]
    Unavailable(String),
    /// The commit was sent, but no answer came: it may or may not be done.
    #[error("the store did not answer: {0}")]
    Unknown(String),
}

/// A store, in Redis or in SQLite.
#[async_trait]
pub(crate) trait Store: Send + Sync {
    /// Says which store this is, without credentials.
    fn describe(&self) -> String;

    /// Returns a sentence for each setting that weakens a promise.
    async fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the store's time: the same for all controls, whatever their own clocks say.
    fn now(&self) -> Millis;

    /// Loads from one partition. The answers are in the order of `reads`. Each is read at the
    /// primary, but not all at the same moment.
    async fn load(&self, partition: Partition, reads: &[Read]) -> Result<Vec<Found>, StoreError>;

    /// Ends all writing before the process exits. The embedded store moves its log into its file,
    /// and takes no commits from then on.
    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Applies a batch.
    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError>;

    /// Applies a batch, and doesn't wait for the replicas that must have it: [`Cover`] does.
    async fn commit_early(&self, batch: &Batch) -> Result<(Commit, Cover), StoreError> {
        Ok((self.commit(batch).await?, ready(Ok(())).boxed()))
    }

    /// Returns the lowest members with one of these `scores`, of the set `name` in each of these
    /// partitions: at most `limit` from each partition.
    async fn gather(
        &self,
        name: &str,
        partitions: &[Partition],
        scores: RangeInclusive<u64>,
        limit: u32,
    ) -> Result<Vec<(Partition, Member)>, StoreError>;

    /// Sends all records of these kinds, from every partition and in no order, in pages of at most
    /// [`PAGE`]. A record's kind is its name up to the first colon. Records that are written
    /// meanwhile may be missing or come twice. Returns early once nobody receives `pages`.
    async fn scan(
        &self,
        kinds: &[&str],
        pages: mpsc::Sender<Vec<Scanned>>,
    ) -> Result<(), StoreError>;

    /// Returns the names of records of the partition whose texts may have all of these words, which
    /// are in lower case: no other record's text has them. `None` if the store has no index that
    /// helps.
    async fn candidates(
        &self,
        _partition: Partition,
        _words: &[String],
    ) -> Result<Option<Vec<String>>, StoreError> {
        Ok(None)
    }

    /// Brings logs that an older program wrote into the form that this one reads. It may be
    /// interrupted anywhere and begin again.
    async fn upgrade_logs(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Whether any process, this one included, watches topics of this store.
    async fn is_watched(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Watches a topic. The subscription receives everything that is published after this call
    /// returns, or [`Wake::Gap`] in place of what was missed.
    async fn watch(&self, partition: Partition, topic: &str) -> Result<Subscription, StoreError>;
}

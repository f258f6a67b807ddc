//! The ledger: the store, and what control remembers of it as hints.

use crate::{
    store::{Batch, Commit, Found, Millis, Partition, Read, Record, Store, StoreError, Write},
    transaction::{Decision, Known, Refusal, Stop, Tx},
};
use lru::LruCache;
use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

mod reads;
#[cfg(test)]
mod tests;

/// How many records are remembered.
const HINTS: NonZeroUsize = NonZeroUsize::new(8192).unwrap();

/// A larger record is not remembered: what changes often is small, and memory stays bounded. A
/// route with a long persona, and the index of some hundred routes, are just below.
const HINT_BYTES: usize = 16 << 10;

/// How often a command is decided anew because others changed what it read.
const ATTEMPTS: usize = 50;

/// Why a command was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Others changed what it read, again and again.
    #[error("others were faster {ATTEMPTS} times")]
    Busy,
    #[error("{0}")]
    Internal(String),
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(refusal) => Self::Refused(refusal),
            Stop::Corrupt(what) => Self::Internal(what),
            Stop::Missing(read) => Self::Internal(format!("{read:?} was not loaded")),
        }
    }
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Ledger {
    store: Arc<dyn Store>,
    hints: Arc<Mutex<LruCache<(Partition, String), Record>>>,
}

impl Ledger {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let hints = Arc::new(Mutex::new(LruCache::new(HINTS)));
        Self { store, hints }
    }

    pub(crate) fn describe(&self) -> String {
        self.store.describe()
    }

    pub(crate) async fn remarks(&self) -> Vec<String> {
        self.store.remarks().await
    }

    pub(crate) fn now(&self) -> Millis {
        self.store.now()
    }

    /// Decides and commits until it holds. `expected` are records that the decision will read:
    /// naming them saves round trips and changes nothing else.
    ///
    /// Hints make this one round trip when all that the decision reads is remembered. They can't
    /// make it wrong: a commit guards their versions, and a refusal is only believed of what was
    /// read afresh.
    pub(crate) async fn transact<T>(
        &self,
        partition: Partition,
        expected: &[String],
        mut decide: impl FnMut(&mut Tx<'_>) -> Decision<T>,
    ) -> Result<T, Error> {
        let seed = random()?;
        let mut reading = self.reading(partition, expected, true).await?;
        for _ in 0..ATTEMPTS {
            // One time for all decisions of an attempt: what they read is named by it.
            let now = self.now();
            let (outcome, batch) = loop {
                let mut tx = Tx::new(&reading.known, now, seed);
                let decided = decide(&mut tx);
                let guesses = tx.guesses();
                match decided {
                    Err(Stop::Missing(reads)) => {
                        self.learn(partition, reads, &mut reading).await?;
                    }
                    Ok(outcome) if tx.changes_something() => {
                        let version = u64::from_le_bytes(random()?);
                        break (outcome, tx.into_batch(partition, version));
                    }
                    // Without a commit no guard would show a stale hint or a wrong guess.
                    _ if reading.hinted => {
                        reading = self.reading(partition, expected, false).await?;
                    }
                    _ if !guesses.is_empty() => {
                        self.learn(partition, guesses, &mut reading).await?;
                    }
                    Ok(outcome) => return Ok(outcome),
                    Err(stop) => return Err(stop.into()),
                }
            };
            match self.commit(&batch).await? {
                Commit::Applied => {
                    self.remember(&batch);
                    return Ok(outcome);
                }
                Commit::Conflict(fresh) => {
                    // What was read and isn't guarded (sets, logs) may have changed as well.
                    reading = Reading::afresh();
                    for (name, record) in fresh {
                        self.note(partition, &name, record.as_ref());
                        reading.known.0.insert(Read::Record(name), Found::Record(record));
                    }
                }
                Commit::Full { .. } => {
                    let (what, retry_after) = ("link", 5_000);
                    return Err(Refusal::TooManyTurns { what, retry_after }.into());
                }
                Commit::Limited { retry_after, .. } => {
                    return Err(Refusal::RateLimited { retry_after }.into());
                }
            }
        }
        Err(Error::Busy)
    }

    /// Commits; where no answer came, once more. A batch that was applied the first time
    /// conflicts with itself, which shows by its own version.
    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        match self.store.commit(batch).await {
            Err(StoreError::Unknown(_)) => {}
            known => return known,
        }
        let second = self.store.commit(batch).await.map_err(|error| match error {
            // The second was refused; the first is still in doubt.
            StoreError::Unavailable(why) | StoreError::Unknown(why) => StoreError::Unknown(why),
        })?;
        match second {
            Commit::Conflict(fresh) if is_done(batch, &fresh) => Ok(Commit::Applied),
            other => Ok(other),
        }
    }

    async fn reading(
        &self,
        partition: Partition,
        expected: &[String],
        trusting: bool,
    ) -> Result<Reading, Error> {
        let mut reading = Reading { trusting, ..Reading::afresh() };
        let reads = expected.iter().cloned().map(Read::Record).collect();
        self.learn(partition, reads, &mut reading).await?;
        Ok(reading)
    }

    /// Adds `reads` to what is known: from hints where they are trusted, else from the store.
    async fn learn(
        &self,
        partition: Partition,
        mut reads: Vec<Read>,
        reading: &mut Reading,
    ) -> Result<(), Error> {
        if reading.trusting {
            let mut hints = self.hints();
            reads.retain(|read| {
                let Read::Record(name) = read else {
                    return true;
                };
                let Some(record) = hints.get(&(partition, name.clone())) else {
                    return true;
                };
                reading.known.0.insert(read.clone(), Found::Record(Some(record.clone())));
                reading.hinted = true;
                false
            });
        }
        if reads.is_empty() {
            return Ok(());
        }
        let found = self.store.load(partition, &reads).await?;
        for (read, found) in reads.into_iter().zip(found) {
            if let (Read::Record(name), Found::Record(record)) = (&read, &found) {
                self.note(partition, name, record.as_ref());
            }
            reading.known.0.insert(read, found);
        }
        Ok(())
    }

    fn remember(&self, batch: &Batch) {
        for write in &batch.writes {
            match write {
                Write::Put { record, body, .. } => {
                    let (version, body) = (batch.version, body.clone());
                    self.note(batch.partition, record, Some(&Record { version, body }));
                }
                Write::Delete { name } => self.note(batch.partition, name, None),
                _ => {}
            }
        }
    }

    fn note(&self, partition: Partition, name: &str, record: Option<&Record>) {
        let key = (partition, name.to_owned());
        match record.filter(|record| record.body.len() <= HINT_BYTES) {
            Some(record) => self.hints().put(key, record.clone()),
            None => self.hints().pop(&key),
        };
    }

    fn hints(&self) -> std::sync::MutexGuard<'_, LruCache<(Partition, String), Record>> {
        // Nothing that can panic runs under this lock.
        self.hints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the records that a batch conflicts with are as the batch itself leaves them.
fn is_done(batch: &Batch, fresh: &HashMap<String, Option<Record>>) -> bool {
    let puts = batch.writes.iter().filter_map(|write| match write {
        Write::Put { record, .. } => fresh.get(record),
        _ => None,
    });
    let puts: Vec<_> = puts.collect();
    if !puts.is_empty() {
        // Its version is nobody else's. That a record is gone proves nothing: others delete, too.
        let versions = puts.into_iter().flatten().map(|found| found.version);
        return versions.into_iter().any(|version| version == batch.version);
    }
    batch.writes.iter().any(|write| match write {
        // It was there when this was decided, or it would not be deleted.
        Write::Delete { name } => fresh.get(name) == Some(&None),
        _ => false,
    })
}

/// What has been read for a command.
struct Reading {
    known: Known,
    /// Whether hints may be used.
    trusting: bool,
    /// Whether one was.
    hinted: bool,
}

impl Reading {
    fn afresh() -> Self {
        Self { known: Known::default(), trusting: false, hinted: false }
    }
}

#[expect(clippy::disallowed_methods, reason = "`Tx` and new secrets get their random bytes here")]
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(bytes)
}

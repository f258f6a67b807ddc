//! The ledger: the store, and what control remembers of it as hints.

use crate::{
    fence,
    limits::Limits,
    names,
    refusal::Refusal,
    store::{Batch, Commit, Cover, Found, Partition, Read, Record, Store, StoreError},
    time::Time,
    transaction::{Decision, Effects, Hint, Known, Stop, Tx},
};
use arizuko_proto::public_id::TIME_BYTES;
use commit::log;
use futures_util::FutureExt as _;
use lines::Lines;
use lru::LruCache;
use shared::SharedReads;
use soonest::Soonest;
use std::{
    future::ready,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

mod commit;
mod lines;
mod reads;
mod shared;
mod soonest;
#[cfg(test)]
mod tests;

/// How many records are remembered, at most.
const HINTS: NonZeroUsize = NonZeroUsize::new(8192).unwrap();

/// How many bytes a remembered record has, at most, so that memory stays bounded. A route with a
/// long persona fits, and so does the index of a few hundred routes.
const HINT_BYTES: usize = 16 << 10;

/// How many times a command is tried before it fails because other commits keep changing what it
/// read.
const ATTEMPTS: u32 = 50;

/// How many times a command is tried before it stands in line with others that change the same
/// record, if nobody stands there yet. From then on it has to win only against the first try of
/// newcomers, and against other controls.
const AT_ONCE: u32 = 3;

/// How long a caller should wait if the store is out of reach or busy.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a command failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Other commits changed what the command read, again and again.
    #[error("other commits changed the same records {ATTEMPTS} times")]
    Busy,
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Returns how long the caller should wait before it tries again, if that helps.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after(),
            Self::Store(_) | Self::Busy => Some(RETRY_AFTER),
            Self::Internal(_) => None,
        }
    }
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

/// The store, with the limits that every decision goes by. Clones share the hints.
#[derive(Clone)]
pub(crate) struct Ledger {
    store: Arc<dyn Store>,
    limits: Arc<Limits>,
    hints: Arc<Mutex<LruCache<(Partition, String), Record>>>,
    shared: Arc<SharedReads>,
    lines: Arc<Lines>,
    soonest: Arc<[Soonest]>,
}

impl Ledger {
    pub(crate) fn new(store: Arc<dyn Store>, limits: Limits) -> Self {
        let hints = Arc::new(Mutex::new(LruCache::new(HINTS)));
        let (shared, lines) = (Arc::default(), Arc::default());
        let soonest = [Soonest::of(&names::due()), Soonest::of(&names::events::outbox())].into();
        Self { store, limits: Arc::new(limits), hints, shared, lines, soonest }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    pub(crate) fn describe(&self) -> String {
        self.store.describe()
    }

    pub(crate) async fn remarks(&self) -> Vec<String> {
        self.store.remarks().await
    }

    pub(crate) fn now(&self) -> Time {
        Time::from_millis(self.store.now())
    }

    /// Decides and commits until a commit is applied. `expected` names records that the decision
    /// will read: that saves round trips and changes nothing else.
    ///
    /// Hints make this one round trip when all that the decision reads is remembered. They can't
    /// make the outcome wrong: a commit guards their versions, and a refusal is only believed if it
    /// rests on records that were read afresh.
    ///
    /// # Errors
    /// [`Error::Refused`] if the decision, or one of its limits, refuses; [`Error::Store`] if the
    /// store did not commit, or if nobody knows whether it did; [`Error::Busy`] after too many
    /// conflicts; [`Error::Internal`] for a record that doesn't parse.
    pub(crate) async fn transact<T: Send>(
        &self,
        partition: Partition,
        expected: &[String],
        decide: impl FnMut(&mut Tx<'_>) -> Decision<T> + Send,
    ) -> Result<T, Error> {
        let command = Command { partition, expected, seed: self.seed()?, covered: true };
        Ok(self.decide_and_commit(&command, decide).await?.0)
    }

    /// Like [`Self::transact`], but doesn't wait for the replicas that must have the commit. Nobody
    /// may learn of it before the [`Cover`] resolves.
    pub(crate) async fn transact_early<T: Send>(
        &self,
        partition: Partition,
        decide: impl FnMut(&mut Tx<'_>) -> Decision<T> + Send,
    ) -> Result<(T, Cover), Error> {
        let command = Command { partition, expected: &[], seed: self.seed()?, covered: false };
        self.decide_and_commit(&command, decide).await
    }

    async fn decide_and_commit<T: Send>(
        &self,
        command: &Command<'_>,
        mut decide: impl FnMut(&mut Tx<'_>) -> Decision<T> + Send,
    ) -> Result<(T, Cover), Error> {
        let mut outcome = None;
        let mut decide = |tx: &mut Tx<'_>| {
            outcome = Some(decide(tx)?);
            Ok(())
        };
        let cover = self.attempt(command, &mut decide).await?;
        let undecided = || Error::Internal("nothing was decided".to_owned());
        Ok((outcome.ok_or_else(undecided)?, cover))
    }

    /// Decides and commits. Knows nothing of the outcome's type, so that it is compiled only once.
    async fn attempt(
        &self,
        command: &Command<'_>,
        decide: &mut Decide<'_>,
    ) -> Result<Cover, Error> {
        let partition = command.partition;
        let mut reading = self.reading(command, true).await?;
        let mut line = None;
        for attempt in 1..=ATTEMPTS {
            let Some(effects) = self.decide(command, &mut reading, decide).await? else {
                return Ok(ready(Ok(())).boxed());
            };
            let Effects { batch, mut full, hints } = effects;
            let (committed, cover) = self.commit(&batch, command.covered).await?;
            match committed {
                Commit::Applied => {
                    log(&batch, attempt);
                    self.remember(&batch, hints);
                    return Ok(cover);
                }
                Commit::Conflict(mut fresh) => {
                    fence::check(&mut fresh)?;
                    let first = fresh.keys().min().cloned();
                    // Sets and logs aren't guarded and may have changed as well, so they are read
                    // again.
                    reading = Reading::afresh();
                    for (name, record) in fresh {
                        self.note(partition, name.clone(), record.clone());
                        reading.known.insert(Read::Record(name), Found::Record(record));
                    }
                    if line.is_none()
                        && let Some(record) = first
                        && (attempt >= AT_ONCE || self.lines.has_one(partition, &record))
                    {
                        line = Some(self.lines.wait(partition, &record).await);
                        // Others have committed since the conflict: read again.
                        reading = self.reading(command, false).await?;
                    }
                }
                Commit::Full { name } => {
                    cover.await?;
                    let unknown = || Error::Internal(format!("{name} is full, and has no limit"));
                    return Err(full.remove(&name).map_or_else(unknown, Error::Refused));
                }
                Commit::Limited { bucket, retry_after } => {
                    cover.await?;
                    let retry_after = Duration::from_millis(retry_after);
                    let usual = Refusal::RateLimited { retry_after };
                    return Err(full.remove(&bucket).unwrap_or(usual).into());
                }
            }
        }
        Err(Error::Busy)
    }

    /// Returns the seed of a command that begins now: the time, then random bytes.
    fn seed(&self) -> Result<[u8; 32], Error> {
        let mut seed = random()?;
        let seconds = u32::try_from(self.now().as_millis() / 1000).unwrap_or(u32::MAX);
        seed[..TIME_BYTES].copy_from_slice(&seconds.to_be_bytes());
        Ok(seed)
    }

    /// Decides until everything that the decision needs is loaded, and is fresh where no commit
    /// will guard it. Returns what must be committed, if the decision changes something.
    async fn decide(
        &self,
        command: &Command<'_>,
        reading: &mut Reading,
        decide: &mut Decide<'_>,
    ) -> Result<Option<Effects>, Error> {
        // All decisions of an attempt have the same time: a set may be read up to now, and each new
        // time would need another read.
        let now = self.now();
        let hint = |name: &str| {
            let mut hints = self.hints();
            hints.get(&(command.partition, name.to_owned())).cloned()
        };
        loop {
            let hints: Option<Hint<'_>> = if reading.trusting { Some(&hint) } else { None };
            let tx = Tx::new(&reading.known, &self.limits, now, command.seed);
            let mut tx = tx.with_hints(hints);
            let decided = decide(&mut tx);
            let (guesses, hinted) = (tx.guesses(), tx.take_hinted());
            match decided {
                Err(Stop::Missing(reads)) => self.learn(command.partition, reads, reading).await?,
                Ok(()) if tx.changes_something() => {
                    let version = u64::from_le_bytes(random()?);
                    return Ok(Some(tx.into_effects(command.partition, version)));
                }
                // Without a commit no guard would show a stale hint or a wrong guess.
                _ if !hinted.is_empty() => *reading = self.reading(command, false).await?,
                _ if !guesses.is_empty() => {
                    self.learn(command.partition, guesses, reading).await?;
                }
                Ok(()) => return Ok(None),
                Err(stop) => return Err(stop.into()),
            }
        }
    }

    /// Runs a decision that writes nothing. Reads the store afresh, never from hints.
    pub(crate) async fn view<T>(
        &self,
        partition: Partition,
        mut decide: impl FnMut(&mut Tx<'_>) -> Decision<T>,
    ) -> Result<T, Error> {
        let (mut reading, now) = (Reading::afresh(), self.now());
        loop {
            let mut tx = Tx::new(&reading.known, &self.limits, now, [0; 32]);
            match decide(&mut tx) {
                Err(Stop::Missing(reads)) => self.learn(partition, reads, &mut reading).await?,
                decided => return Ok(decided?),
            }
        }
    }

    async fn reading(&self, command: &Command<'_>, trusting: bool) -> Result<Reading, Error> {
        let mut reading = Reading { trusting, ..Reading::afresh() };
        let mut names = command.expected.to_vec();
        if trusting {
            let hints = self.hints();
            names.retain(|name| !hints.contains(&(command.partition, name.clone())));
        }
        let reads = names.into_iter().map(Read::Record).collect();
        self.learn(command.partition, reads, &mut reading).await?;
        Ok(reading)
    }

    /// Loads what a decision needs.
    async fn learn(
        &self,
        partition: Partition,
        reads: Vec<Read>,
        reading: &mut Reading,
    ) -> Result<(), Error> {
        if reads.is_empty() {
            return Ok(());
        }
        let found = self.store.load(partition, &reads).await?;
        for (read, found) in reads.into_iter().zip(found) {
            if let (Read::Record(name), Found::Record(record)) = (&read, &found) {
                self.note(partition, name.clone(), record.clone());
            }
            reading.known.insert(read, found);
        }
        Ok(())
    }

    /// Remembers the records that a batch has put and what it has made due, and forgets the records
    /// that it has deleted.
    fn remember(&self, batch: &Batch, hints: Vec<(String, Option<Arc<str>>)>) {
        for (name, body) in hints {
            let record = body.map(|body| Record { version: batch.version, body });
            self.note(batch.partition, name, record);
        }
        self.soonest.iter().for_each(|soonest| soonest.note(batch));
    }

    fn note(&self, partition: Partition, name: String, record: Option<Record>) {
        let key = (partition, name);
        match record.filter(|record| record.body.len() <= HINT_BYTES) {
            Some(record) => self.hints().put(key, record),
            None => self.hints().pop(&key),
        };
    }

    fn hints(&self) -> MutexGuard<'_, LruCache<(Partition, String), Record>> {
        // Nothing that can panic runs under this lock.
        self.hints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A decision whose outcome its caller keeps.
type Decide<'a> = dyn FnMut(&mut Tx<'_>) -> Decision<()> + Send + 'a;

/// The fixed inputs of one transaction.
struct Command<'a> {
    partition: Partition,
    /// The names of records that the decision will read.
    expected: &'a [String],
    /// The source of the decision's random bytes: the same each time that the command is decided.
    seed: [u8; 32],
    /// Whether to wait, before the outcome is returned, for the replicas that must have the commit.
    covered: bool,
}

/// The records, sets and logs that were read for a command.
struct Reading {
    known: Known,
    /// Whether hints may be used.
    trusting: bool,
}

impl Reading {
    fn afresh() -> Self {
        Self { known: Known::default(), trusting: false }
    }
}

#[expect(clippy::disallowed_methods, reason = "`Tx` and new secrets get their random bytes here")]
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(bytes)
}

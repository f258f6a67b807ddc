//! Decide, then commit: how the domain's functions see the store.
//!
//! A decision is a pure function of what is known, the time and some random bytes. It reads
//! through a [`Tx`], which notes the version of every record as a guard, and writes into it. If
//! it needs something that isn't known yet, it stops there; the ledger loads that and decides
//! again from the start. So a decision is straight-line code, and its batch is applied only if
//! all that it read is still true.

use crate::store::{
    Batch, Found, Guard, Member, Millis, Order, Partition, Read, Record, Version, Write,
};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, hash_map::Entry},
    ops::RangeInclusive,
    time::Duration,
};

/// Why the domain doesn't do what it was asked. One for each of the contract's reasons.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the key is missing, unknown or revoked")]
    KeyInvalid,
    #[error("{0}")]
    NotAllowed(String),
    #[error("{0}")]
    Invalid(String),
    #[error("the token is unknown, revoked or expired")]
    TokenInvalid,
    #[error("this token is for the other surface")]
    WrongKind,
    #[error("no such {0} under this token")]
    NotFound(&'static str),
    #[error("the turn's frames are no longer kept")]
    PastRetention,
    #[error("the content is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("this Idempotency-Key came before with another body")]
    IdempotencyMismatch,
    #[error("too many messages")]
    RateLimited { retry_after: Millis },
    #[error("too many open turns of this {what}")]
    TooManyTurns { what: &'static str, retry_after: Millis },
    #[error("{0}")]
    JidTaken(String),
    #[error("the session is over, or another stream speaks for it: attach again")]
    SessionOver,
}

impl Refusal {
    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        Self::Invalid(why.into())
    }
}

/// Why a decision stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It needs these first.
    Missing(Vec<Read>),
    Refused(Refusal),
    /// A stored record doesn't parse: a bug, or somebody else's hand.
    Corrupt(String),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The set of a partition's due items, scored by when they are due.
pub(crate) const DUE: &str = "due";

/// What a decision comes to.
pub(crate) type Decision<T> = Result<T, Stop>;

/// What has been loaded for a decision.
#[derive(Default)]
pub(crate) struct Known(pub(crate) HashMap<Read, Found>);

/// A decision under way.
pub(crate) struct Tx<'a> {
    /// The store's time.
    pub(crate) now: Millis,
    known: &'a Known,
    seed: [u8; 32],
    drawn: u32,
    read: HashMap<String, Option<Version>>,
    written: HashMap<String, Option<String>>,
    /// Records that were taken to be absent.
    guesses: Vec<Read>,
    bounds: Vec<Guard>,
    writes: Vec<Write>,
}

impl<'a> Tx<'a> {
    /// `seed` is the same each time that one command is decided again, so that its ids are too.
    pub(crate) fn new(known: &'a Known, now: Millis, seed: [u8; 32]) -> Self {
        Self {
            now,
            known,
            seed,
            drawn: 0,
            read: HashMap::new(),
            written: HashMap::new(),
            guesses: Vec::new(),
            bounds: Vec::new(),
            writes: Vec::new(),
        }
    }

    /// Reads a record, and makes the batch depend on it.
    pub(crate) fn get<T: DeserializeOwned>(&mut self, record: &str) -> Decision<Option<T>> {
        let body = match self.written.get(record) {
            Some(body) => body.as_deref(),
            None => {
                let current = self.record(record)?;
                self.read.insert(record.to_owned(), current.map(|r| r.version));
                current.map(|r| r.body.as_str())
            }
        };
        let parsed = body.map(serde_json::from_str).transpose();
        parsed.map_err(|error| Stop::Corrupt(format!("{record}: {error}")))
    }

    /// Reads a record that is most likely absent: taken to be, without a look, until the batch's
    /// guard says otherwise.
    pub(crate) fn get_unlikely<T: DeserializeOwned>(
        &mut self,
        record: &str,
    ) -> Decision<Option<T>> {
        let read = Read::Record(record.to_owned());
        if self.known.0.contains_key(&read) {
            return self.get(record);
        }
        self.guesses.push(read);
        self.read.insert(record.to_owned(), None);
        Ok(None)
    }

    /// Says which records are about to be read, so that they are loaded in one go.
    pub(crate) fn expect(&self, records: impl IntoIterator<Item = String>) -> Decision<()> {
        let reads = records.into_iter().map(Read::Record);
        let missing: Vec<Read> = reads.filter(|read| !self.known.0.contains_key(read)).collect();
        if missing.is_empty() { Ok(()) } else { Err(Stop::Missing(missing)) }
    }

    fn record(&self, record: &str) -> Decision<Option<&'a Record>> {
        match self.known(Read::Record(record.to_owned()))? {
            Found::Record(found) => Ok(found.as_ref()),
            _ => Err(Stop::Corrupt(format!("{record} is no record"))),
        }
    }

    /// Reads a set's lowest members with a score in `scores`. The batch doesn't depend on it: guard
    /// what they name, and a record that every addition changes.
    pub(crate) fn members(
        &self,
        set: &str,
        scores: RangeInclusive<u64>,
        limit: u32,
    ) -> Decision<&'a [Member]> {
        let read = Read::Set {
            set: set.to_owned(),
            min: *scores.start(),
            max: *scores.end(),
            limit,
            order: Order::LowestFirst,
        };
        match self.known(read)? {
            Found::Set(members) => Ok(members),
            _ => Err(Stop::Corrupt(format!("{set} is no set"))),
        }
    }

    /// Reads a log. The batch doesn't depend on it: guard a record that changes with it.
    pub(crate) fn entries(
        &self,
        log: &str,
        after: u64,
        limit: u32,
    ) -> Decision<&'a [(u64, Bytes)]> {
        match self.known(Read::Log { log: log.to_owned(), after, limit })? {
            Found::Log(entries) => Ok(entries),
            _ => Err(Stop::Corrupt(format!("{log} is no log"))),
        }
    }

    fn known(&self, read: Read) -> Decision<&'a Found> {
        self.known.0.get(&read).ok_or_else(|| Stop::Missing(vec![read]))
    }

    /// Refuses the batch when the set has this many members already.
    pub(crate) fn limit_members(&mut self, set: String, than: u32) {
        self.bounds.push(Guard::Fewer { set, than });
    }

    /// Takes one from a bucket that allows `per_minute`; more than one a millisecond is no limit.
    pub(crate) fn limit_rate(&mut self, bucket: String, per_minute: u32) {
        let interval = 60_000 / u64::from(per_minute.max(1));
        if interval == 0 {
            return;
        }
        self.bounds.push(Guard::Rate { bucket, interval, burst: per_minute });
    }

    pub(crate) fn put<T: Serialize>(
        &mut self,
        record: &str,
        value: &T,
        lifetime: Option<Duration>,
    ) -> Decision<()> {
        let body = serde_json::to_string(value)
            .map_err(|error| Stop::Corrupt(format!("{record}: {error}")))?;
        self.forget_put(record);
        self.written.insert(record.to_owned(), Some(body.clone()));
        self.writes.push(Write::Put { record: record.to_owned(), body, lifetime });
        Ok(())
    }

    /// Deletes a record, a set or a log.
    pub(crate) fn delete(&mut self, name: &str) {
        self.forget_put(name);
        self.written.insert(name.to_owned(), None);
        self.writes.push(Write::Delete { name: name.to_owned() });
    }

    /// Only the last write of a record counts.
    fn forget_put(&mut self, name: &str) {
        if let Entry::Occupied(_) = self.written.entry(name.to_owned()) {
            self.writes
                .retain(|write| !matches!(write, Write::Put { record, .. } if record == name));
        }
    }

    pub(crate) fn add(&mut self, set: impl Into<String>, member: impl Into<String>, score: u64) {
        let (set, member) = (set.into(), member.into());
        self.writes.push(Write::Add { set, member, score });
    }

    pub(crate) fn remove(&mut self, set: impl Into<String>, member: impl Into<String>) {
        let (set, member) = (set.into(), member.into());
        self.writes.push(Write::Remove { set, member });
    }

    /// Makes an item due at a time, instead of any time before.
    pub(crate) fn schedule(&mut self, item: impl Into<String>, at: Millis) {
        self.add(DUE, item, at);
    }

    /// Nothing is due any more.
    pub(crate) fn settle(&mut self, item: impl Into<String>) {
        self.remove(DUE, item);
    }

    pub(crate) fn append(&mut self, log: String, seq: u64, entry: Bytes) {
        self.writes.push(Write::Append { log, seq, entry });
    }

    pub(crate) fn trim(&mut self, log: String, through: u64) {
        self.writes.push(Write::Trim { log, through });
    }

    pub(crate) fn publish(&mut self, topic: String, payload: impl Into<Bytes>) {
        let payload = payload.into();
        self.writes.push(Write::Publish { topic, payload });
    }

    /// Random bytes, the same each time that this command is decided.
    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= 32) };
        self.drawn += 1;
        let digest = Sha256::new().chain_update(self.seed).chain_update(self.drawn.to_le_bytes());
        let digest = digest.finalize();
        std::array::from_fn(|i| digest[i])
    }

    /// The records that were taken to be absent.
    pub(crate) fn guesses(&self) -> Vec<Read> {
        self.guesses.clone()
    }

    /// Leaves it at the decision: nothing of it is done.
    pub(crate) fn forget_writes(&mut self) {
        self.writes.clear();
    }

    pub(crate) fn changes_something(&self) -> bool {
        !self.writes.is_empty()
    }

    /// What to commit.
    pub(crate) fn into_batch(self, partition: Partition, version: Version) -> Batch {
        let versions =
            self.read.into_iter().map(|(record, version)| Guard::Version { record, version });
        let guards = versions.chain(self.bounds).collect();
        Batch { partition, version, now: self.now, guards, writes: self.writes }
    }
}

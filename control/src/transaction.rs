//! Decide, then commit: how the domain's functions see the store.
//!
//! A decision is a pure function of what is known, the time and some random bytes. It reads through
//! a [`Tx`], which notes the version of every record as a guard, and writes into it. If it needs
//! something that isn't known yet, it stops; the ledger loads that and decides again from the
//! start. So a decision is straight-line code, and its batch is applied only if no record that it
//! read has changed.

use crate::{
    fence,
    limits::Limits,
    maps::FastMap,
    names::{self, Due, Set},
    refusal::Refusal,
    store::{self, Batch, Flow, Found, Guard, Partition, Read, Version, Write},
    time::Time,
};
use arizuko_proto::public_id::{TIME_BYTES, Timed};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{cell::RefCell, collections::hash_map::Entry, fmt::Display, sync::Arc, time::Duration};

mod bounds;
mod known;
mod sets;
mod tracked;

pub(crate) use known::Known;
pub(crate) use tracked::Tracked;

/// A value that is stored under one name, as JSON.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// The id that the record is found by.
    type Id: ?Sized;

    /// Returns the record's name in the store.
    fn name(id: &Self::Id) -> String;

    /// Whether decisions are likely to read the record soon after it was put.
    const IS_READ_SOON: bool = true;

    /// Returns how long after its last change the store may collect the record; `None`: never.
    fn lifetime(&self, _limits: &Limits) -> Option<Duration> {
        None
    }
}

/// Why a decision stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The decision needs these reads first.
    Missing(Vec<Read>),
    Refused(Refusal),
    /// A stored record doesn't parse: a bug, or somebody has changed it by hand.
    Corrupt(String),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A decision's outcome.
pub(crate) type Decision<T> = Result<T, Stop>;

/// Returns a record as this control remembers it, which may be out of date.
pub(crate) type Hint<'a> = &'a (dyn Fn(&str) -> Option<store::Record> + Sync);

/// A record as the decision leaves it.
struct Written {
    /// `None`: the record is deleted.
    body: Option<Arc<str>>,
    is_read_soon: bool,
}

/// What a decision changes, once it is committed.
pub(crate) struct Effects {
    pub(crate) batch: Batch,
    /// The refusal to give for each limit that the batch may reach.
    pub(crate) full: FastMap<String, Refusal>,
    /// The records that the batch puts and that are worth remembering, and those that it deletes.
    pub(crate) hints: Vec<(String, Option<Arc<str>>)>,
}

/// A decision under way.
pub(crate) struct Tx<'a> {
    pub(crate) now: Time,
    pub(crate) limits: &'a Limits,
    known: &'a Known,
    /// Asked for records that aren't known, if hints may be used.
    hint: Option<Hint<'a>>,
    /// The records that were read from hints.
    hinted: RefCell<FastMap<String, store::Record>>,
    seed: [u8; 32],
    drawn: u32,
    read: FastMap<String, Option<Version>>,
    written: FastMap<String, Written>,
    /// Records that were assumed to be absent without a look.
    guesses: Vec<Read>,
    bounds: Vec<Guard>,
    /// The refusals to give if a set or counter of `bounds` is full, and for buckets whose refusal
    /// is not the usual one. If a name has two, the first is used.
    full: FastMap<String, Refusal>,
    writes: Vec<Write>,
}

impl<'a> Tx<'a> {
    /// Begins a decision. `seed` is the same each time that one command is decided again, so that
    /// the command makes the same ids. Like an id, it begins with the time at which the command
    /// began.
    pub(crate) fn new(known: &'a Known, limits: &'a Limits, now: Time, seed: [u8; 32]) -> Self {
        Self {
            now,
            limits,
            known,
            hint: None,
            hinted: RefCell::default(),
            seed,
            drawn: 0,
            read: FastMap::default(),
            written: FastMap::default(),
            guesses: Vec::new(),
            bounds: Vec::new(),
            full: FastMap::default(),
            writes: Vec::new(),
        }
    }

    /// Lets the decision use hints, too.
    pub(crate) fn with_hints(self, hint: Option<Hint<'a>>) -> Self {
        Self { hint, ..self }
    }

    /// Takes the records that the decision read from hints.
    pub(crate) fn take_hinted(&mut self) -> FastMap<String, store::Record> {
        self.hinted.take()
    }

    /// Reads a record, and guards its version.
    pub(crate) fn get<T: Record>(&mut self, id: &T::Id) -> Decision<Option<T>> {
        self.get_named(T::name(id))
    }

    fn get_named<T: DeserializeOwned>(&mut self, name: String) -> Decision<Option<T>> {
        let body = match self.written.get(&name) {
            Some(written) => written.body.clone(),
            None => {
                let current = self.record(&name)?;
                let version = current.as_ref().map(|record| record.version);
                self.read.insert(name.clone(), version);
                current.map(|record| record.body)
            }
        };
        let parsed = body.as_deref().map(serde_json::from_str).transpose();
        parsed.map_err(|error| Stop::Corrupt(format!("{name}: {error}")))
    }

    /// Reads a record that is most likely absent. Assumes that it is, without a look; if it isn't,
    /// the batch's guard fails.
    pub(crate) fn get_unlikely<T: Record>(&mut self, id: &T::Id) -> Decision<Option<T>> {
        let name = T::name(id);
        if self.written.contains_key(&name) || self.record(&name).is_ok() {
            return self.get_named(name);
        }
        self.guesses.push(Read::Record(name.clone()));
        self.read.insert(name, None);
        Ok(None)
    }

    /// Reads a record as a [`Tracked`], which is stored again only if it changes.
    pub(crate) fn get_tracked<T: Record>(&mut self, id: &T::Id) -> Decision<Option<Tracked<T>>> {
        Ok(self.get(id)?.map(Tracked::stored))
    }

    /// Names the records that will be read next, so that they are loaded in one go.
    pub(crate) fn expect(&self, names: impl IntoIterator<Item = String>) -> Decision<()> {
        let missing: Vec<Read> =
            names.into_iter().filter(|name| self.record(name).is_err()).map(Read::Record).collect();
        if missing.is_empty() { Ok(()) } else { Err(Stop::Missing(missing)) }
    }

    fn record(&self, name: &str) -> Decision<Option<store::Record>> {
        if let Some(found) = self.known.record(name) {
            return Ok(found.clone());
        }
        let mut hinted = self.hinted.borrow_mut();
        if let Some(before) = hinted.get(name) {
            return Ok(Some(before.clone()));
        }
        let missing = || Stop::Missing(vec![Read::Record(name.to_owned())]);
        let record = self.hint.and_then(|hint| hint(name)).ok_or_else(missing)?;
        hinted.insert(name.to_owned(), record.clone());
        Ok(Some(record))
    }

    fn known(&self, read: Read) -> Decision<&'a Found> {
        self.known.other(&read).ok_or_else(|| Stop::Missing(vec![read]))
    }

    pub(crate) fn put<T: Record>(&mut self, id: &T::Id, value: &T) -> Decision<()> {
        self.put_for(id, value, value.lifetime(self.limits))
    }

    /// Puts a record with a lifetime that depends on more than the record.
    pub(crate) fn put_for<T: Record>(
        &mut self,
        id: &T::Id,
        value: &T,
        lifetime: Option<Duration>,
    ) -> Decision<()> {
        let record = T::name(id);
        let body = serde_json::to_string(value)
            .map_err(|error| Stop::Corrupt(format!("{record}: {error}")))?;
        let body: Arc<str> = body.into();
        self.forget_put(&record);
        let written = Written { body: Some(body.clone()), is_read_soon: T::IS_READ_SOON };
        self.written.insert(record.clone(), written);
        self.writes.push(Write::Put { record, body, lifetime });
        Ok(())
    }

    pub(crate) fn delete<T: Record>(&mut self, id: &T::Id) {
        self.delete_named(T::name(id));
    }

    pub(crate) fn delete_set<M>(&mut self, set: &Set<M>) {
        self.delete_named(set.name.clone());
    }

    pub(crate) fn delete_log(&mut self, log: String) {
        self.delete_named(log);
    }

    fn delete_named(&mut self, name: String) {
        self.forget_put(&name);
        self.written.insert(name.clone(), Written { body: None, is_read_soon: false });
        // A record that the batch expects to be absent need not be deleted.
        if self.read.get(&name) != Some(&None) {
            self.writes.push(Write::Delete { name });
        }
    }

    /// Drops an earlier put of the record: only the last write counts.
    fn forget_put(&mut self, name: &str) {
        if let Entry::Occupied(_) = self.written.entry(name.to_owned()) {
            self.writes
                .retain(|write| !matches!(write, Write::Put { record, .. } if record == name));
        }
    }

    pub(crate) fn add<M: Display>(&mut self, set: &Set<M>, member: &M, score: impl Into<u64>) {
        let (set, member, score) = (set.name.clone(), member.to_string(), score.into());
        self.writes.push(Write::Add { set, member, score });
    }

    /// Adds a member to a fair queue.
    pub(crate) fn enqueue<M: Display>(
        &mut self,
        queue: &Set<M>,
        rounds: &Set<String>,
        member: &M,
        flow: Option<Flow>,
    ) {
        let (queue, rounds) = (queue.name.clone(), rounds.name.clone());
        self.writes.push(Write::Enqueue { queue, rounds, member: member.to_string(), flow });
    }

    /// Adds a new member, scored by the time; refuses the batch if the set has `most` members
    /// already.
    pub(crate) fn add_bounded<M: Display>(
        &mut self,
        set: &Set<M>,
        member: &M,
        most: u32,
        refusal: Refusal,
    ) {
        self.limit_members(set, 0_u64, most, refusal);
        self.add(set, member, self.now);
    }

    pub(crate) fn remove<M: Display>(&mut self, set: &Set<M>, member: &M) {
        let (set, member) = (set.name.clone(), member.to_string());
        self.writes.push(Write::Remove { set, member });
    }

    /// Makes an item due at a time, in place of the time that it had before.
    pub(crate) fn schedule(&mut self, item: &Due, at: Time) {
        self.add(&names::due(), item, at);
    }

    /// Takes an item out of the due set.
    pub(crate) fn unschedule(&mut self, item: &Due) {
        self.remove(&names::due(), item);
    }

    /// Adds to a counter. A counter that falls to 0 is deleted.
    pub(crate) fn count(&mut self, counter: String, by: i64) {
        self.writes.push(Write::Count { counter, by });
    }

    /// Deletes a counter.
    pub(crate) fn delete_count(&mut self, counter: String) {
        // No counter is greater than this, and a counter that falls to 0 is deleted.
        self.count(counter, -i64::MAX);
    }

    pub(crate) fn append_entry(&mut self, log: String, seq: u64, entry: Bytes) {
        self.writes.push(Write::Append { log, seq, entry });
    }

    /// Drops a log's entries up to and including `through`.
    pub(crate) fn trim(&mut self, log: String, through: u64) {
        self.writes.push(Write::Trim { log, through });
    }

    pub(crate) fn publish(&mut self, topic: String, payload: impl Into<Bytes>) {
        let payload = payload.into();
        self.writes.push(Write::Publish { topic, payload });
    }

    /// Returns random bytes, the same each time that this command is decided.
    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= 32) };
        self.drawn += 1;
        let digest = Sha256::new().chain_update(self.seed).chain_update(self.drawn.to_le_bytes());
        let digest = digest.finalize();
        std::array::from_fn(|i| digest[i])
    }

    /// Returns the bytes of a new id: the time of the command's beginning, then random bytes. They
    /// are the same each time that this command is decided.
    pub(crate) fn new_id(&mut self) -> Timed {
        let random = self.random::<{ size_of::<Timed>() }>();
        std::array::from_fn(|i| if i < TIME_BYTES { self.seed[i] } else { random[i] })
    }

    /// Returns the records that were assumed to be absent without a look.
    pub(crate) fn guesses(&self) -> Vec<Read> {
        self.guesses.clone()
    }

    /// Drops all writes, for a decision that is only shown.
    pub(crate) fn forget_writes(&mut self) {
        self.writes.clear();
    }

    pub(crate) fn changes_something(&self) -> bool {
        !self.writes.is_empty()
    }

    /// Returns what the decision changes.
    pub(crate) fn into_effects(self, partition: Partition, version: Version) -> Effects {
        let versions =
            self.read.into_iter().map(|(record, version)| Guard::Version { record, version });
        let guards = versions.chain(self.bounds).chain([fence::guard()]).collect();
        let now = self.now.as_millis();
        let hints = self.written.into_iter().filter(|(_, w)| w.is_read_soon || w.body.is_none());
        Effects {
            batch: Batch { partition, version, now, guards, writes: self.writes },
            full: self.full,
            hints: hints.map(|(name, written)| (name, written.body)).collect(),
        }
    }
}

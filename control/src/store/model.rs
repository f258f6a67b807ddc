//! A store in memory, for the simulation: the contract, and nothing else.

use super::{
    Batch, Commit, Found, Guard, Member, Millis, Order, PAGE, Partition, Read, Record, Scanned,
    Store, StoreError, Subscription, Write, bucket,
    channels::{self, Channels},
    fair,
};
use async_trait::async_trait;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, HashMap},
    ops::RangeInclusive,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};

/// A name in a partition.
type Name = (Partition, String);

/// A store in memory.
pub(crate) struct Model {
    state: Mutex<State>,
    channels: Channels,
    begun_at: Millis,
    begun: Instant,
    /// How many milliseconds the clock is ahead of the right time; negative if it is behind.
    set_by: AtomicI64,
}

#[derive(Clone, Default)]
struct State {
    /// The records, and when their lifetimes are over.
    records: BTreeMap<Name, (Record, Option<Millis>)>,
    sets: BTreeMap<Name, BTreeMap<String, u64>>,
    logs: BTreeMap<Name, BTreeMap<u64, Bytes>>,
    /// Buckets and counters.
    numbers: BTreeMap<Name, u64>,
}

impl Model {
    /// Makes a store whose time begins at `begun_at`.
    pub(crate) fn new(begun_at: Millis) -> Self {
        let (state, channels) = (Mutex::default(), Channels::default());
        Self { state, channels, begun_at, begun: Instant::now(), set_by: AtomicI64::default() }
    }

    /// Returns a store that has what this one has now, and the same clock.
    pub(crate) fn copy(&self) -> Self {
        let state = Mutex::new(self.state().clone());
        let set_by = AtomicI64::new(self.set_by.load(Relaxed));
        let (channels, begun_at, begun) = (Channels::default(), self.begun_at, self.begun);
        Self { state, channels, begun_at, begun, set_by }
    }

    /// Makes the clock wrong by `wrong_by` milliseconds.
    pub(crate) fn set_clock(&self, wrong_by: i64) {
        self.set_by.store(wrong_by, Relaxed);
    }

    /// Returns all records of a kind, without the records that are parts of others (`#`).
    pub(crate) fn all<T: DeserializeOwned>(&self, kind: &str) -> Vec<T> {
        let state = self.state();
        let is_one = |name: &str| {
            name.split_once(':').is_some_and(|(of, rest)| of == kind && !rest.contains('#'))
        };
        let found = state.records.iter().filter(|((_, name), _)| is_one(name));
        let parse = |record: &Record| serde_json::from_str(&record.body);
        found.map(|(_, (record, _))| parse(record).expect("a record is JSON")).collect()
    }

    /// Returns the names of records, sets and logs that contain this text.
    pub(crate) fn names(&self, text: &str) -> Vec<String> {
        let state = self.state();
        let records = state.records.keys();
        let names = records.chain(state.sets.keys()).chain(state.logs.keys());
        names.map(|(_, name)| name).filter(|name| name.contains(text)).cloned().collect()
    }

    /// Returns how many members of a set have a score below `before`.
    pub(crate) fn overdue(&self, partition: Partition, set: &str, before: u64) -> usize {
        let members = self.state().members(partition, set, 0..=before - 1, Order::LowestFirst);
        members.len()
    }

    /// Applies a batch. The caller delivers what the batch publishes.
    pub(crate) fn apply(&self, batch: &Batch) -> Commit {
        let (mut state, now) = (self.state(), self.now());
        state.records.retain(|_, (_, collect_at)| collect_at.is_none_or(|at| now <= at));
        state.apply(batch)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for Model {
    fn describe(&self) -> String {
        "a model in memory".to_owned()
    }

    fn now(&self) -> Millis {
        // Rounded up, so that this clock is never behind the one that `begun_at` was read from.
        let now = self.begun_at + self.begun.elapsed().as_millis() as u64 + 1;
        now.saturating_add_signed(self.set_by.load(Relaxed))
    }

    async fn load(&self, partition: Partition, reads: &[Read]) -> Result<Vec<Found>, StoreError> {
        let state = self.state();
        Ok(reads.iter().map(|read| state.read(partition, read)).collect())
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let commit = self.apply(batch);
        if commit == Commit::Applied {
            for (topic, payload) in published(batch) {
                let channel = channels::channel(batch.partition, topic);
                self.channels.publish(&channel, topic, payload.clone());
            }
        }
        Ok(commit)
    }

    async fn gather(
        &self,
        name: &str,
        partitions: &[Partition],
        scores: RangeInclusive<u64>,
        limit: u32,
    ) -> Result<Vec<(Partition, Member)>, StoreError> {
        let state = self.state();
        let (min, max) = scores.into_inner();
        let members = partitions.iter().flat_map(|&partition| {
            let members = state.members(partition, name, min..=max, Order::LowestFirst);
            members.into_iter().take(limit as usize).map(move |member| (partition, member))
        });
        Ok(members.collect())
    }

    async fn scan(
        &self,
        kinds: &[&str],
        pages: mpsc::Sender<Vec<Scanned>>,
    ) -> Result<(), StoreError> {
        let is_wanted = |name: &str| kinds.contains(&name.split(':').next().unwrap_or_default());
        let (records, now) = (self.state().records.clone(), self.now());
        let found = records.into_iter().filter(|((_, name), _)| is_wanted(name));
        let found = found.map(|((partition, name), (record, collect_at))| {
            let lifetime = collect_at.map(|at| Duration::from_millis(at.saturating_sub(now)));
            Scanned { partition, name, record, lifetime }
        });
        let found: Vec<_> = found.collect();
        for page in found.chunks(PAGE) {
            if pages.send(page.to_vec()).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn watch(&self, partition: Partition, topic: &str) -> Result<Subscription, StoreError> {
        Ok(self.channels.watch(&channels::channel(partition, topic), topic))
    }
}

/// Returns what a batch publishes: topics and payloads.
pub(crate) fn published(batch: &Batch) -> impl Iterator<Item = (&str, &Bytes)> {
    batch.writes.iter().filter_map(|write| match write {
        Write::Publish { topic, payload } => Some((topic.as_str(), payload)),
        _ => None,
    })
}

impl State {
    fn read(&self, p: Partition, read: &Read) -> Found {
        match read {
            Read::Record(name) => Found::Record(self.record(p, name)),
            Read::Count(counter) => Found::Count(self.number(p, counter)),
            Read::Set { set, min, max, limit, order } => {
                let mut members = self.members(p, set, *min..=*max, *order);
                members.truncate(*limit as usize);
                Found::Set(members)
            }
            Read::Log { log, after, limit } => {
                let log = self.logs.get(&(p, log.clone()));
                let entries = log.into_iter().flat_map(|log| log.range(after.saturating_add(1)..));
                let entries = entries.map(|(seq, entry)| (*seq, entry.clone()));
                Found::Log(entries.take(*limit as usize).collect())
            }
        }
    }

    fn record(&self, p: Partition, name: &str) -> Option<Record> {
        self.records.get(&(p, name.to_owned())).map(|(record, _)| record.clone())
    }

    fn members(
        &self,
        p: Partition,
        set: &str,
        scores: RangeInclusive<u64>,
        order: Order,
    ) -> Vec<Member> {
        let set = self.sets.get(&(p, set.to_owned()));
        let members = set.into_iter().flatten().filter(|(_, score)| scores.contains(score));
        let mut members: Vec<_> =
            members.map(|(name, score)| Member { name: name.clone(), score: *score }).collect();
        members.sort_by(|a, b| (a.score, &a.name).cmp(&(b.score, &b.name)));
        if order == Order::HighestFirst {
            members.reverse();
        }
        members
    }

    fn number(&self, p: Partition, name: &str) -> u64 {
        self.numbers.get(&(p, name.to_owned())).copied().unwrap_or_default()
    }

    fn apply(&mut self, batch: &Batch) -> Commit {
        let (p, now) = (batch.partition, batch.now);
        let mut guarded = HashMap::new();
        let mut is_conflict = false;
        for guard in &batch.guards {
            if let Guard::Version { record, version } = guard {
                let found = self.record(p, record);
                is_conflict |= found.as_ref().map(|found| found.version) != *version;
                guarded.insert(record.clone(), found);
            }
        }
        if is_conflict {
            return Commit::Conflict(guarded);
        }
        let mut buckets = Vec::new();
        for guard in &batch.guards {
            match guard {
                Guard::Version { .. } => {}
                Guard::Fewer { set, min, than } => {
                    let members = self.members(p, set, *min..=u64::MAX, Order::LowestFirst);
                    if members.len() >= *than as usize {
                        return Commit::Full { name: set.clone() };
                    }
                }
                Guard::Room { counter, by, most } => {
                    if self.number(p, counter) + by > *most {
                        return Commit::Full { name: counter.clone() };
                    }
                }
                Guard::Rate { bucket, interval, burst } => {
                    let capacity = interval * u64::from(*burst);
                    let used = bucket::used_until(self.number(p, bucket), capacity, now);
                    let full_at = used + interval;
                    if full_at > now + capacity {
                        let retry_after = full_at - capacity - now;
                        return Commit::Limited { bucket: bucket.clone(), retry_after };
                    }
                    buckets.push((bucket, full_at));
                }
                Guard::Share { taken, forget, most, bucket, interval, burst } => {
                    let capacity = interval * u64::from(*burst);
                    let used = bucket::used_until(self.number(p, bucket), capacity, now);
                    let left = now + capacity - used;
                    let capacity = forget * u64::from(*most);
                    let at_most = now + capacity;
                    let taken_at = bucket::used_until(self.number(p, taken), capacity, now);
                    let needed = ((taken_at - now) * interval).div_ceil(2 * forget);
                    if needed > left {
                        let retry_after = needed - left;
                        return Commit::Limited { bucket: bucket.clone(), retry_after };
                    }
                    buckets.push((taken, (taken_at + forget).min(at_most)));
                }
            }
        }
        for (bucket, full_at) in buckets {
            self.numbers.insert((p, bucket.clone()), full_at);
        }
        for write in &batch.writes {
            self.write(batch, write);
        }
        Commit::Applied
    }

    fn write(&mut self, batch: &Batch, write: &Write) {
        let p = batch.partition;
        match write {
            Write::Put { record, body, lifetime } => {
                let put = Record { version: batch.version, body: body.clone() };
                let collect_at = lifetime.map(|lifetime| batch.now + lifetime.as_millis() as u64);
                self.records.insert((p, record.clone()), (put, collect_at));
            }
            Write::Add { set, member, score } => self.add(p, set, member, *score),
            Write::Enqueue { queue, rounds, member, flow } => {
                let first = self.members(p, queue, 0..=u64::MAX, Order::LowestFirst);
                let current =
                    first.first().map(|first| fair::current_round(first.score, batch.now));
                let kept = self.sets.entry((p, rounds.clone())).or_default();
                kept.retain(|_, round| current.is_some_and(|current| *round > current));
                let next = |name: &String| kept.get(name).copied().unwrap_or_default();
                let next = flow.as_ref().map(|flow| (next(&flow.id), next(&flow.group)));
                let place = fair::place(current.unwrap_or_default(), next, batch.now);
                if let (Some(flow), Some((_, group))) = (flow, next) {
                    self.add(p, rounds, &flow.id, place.round + 1);
                    self.add(p, rounds, &flow.group, group.max(place.round + 1));
                }
                self.add(p, queue, member, place.score);
            }
            Write::Remove { set, member } => {
                if let Some(set) = self.sets.get_mut(&(p, set.clone())) {
                    set.remove(member);
                }
            }
            Write::Count { counter, by } => {
                let number = self.numbers.entry((p, counter.clone())).or_default();
                *number = number.saturating_add_signed(*by);
            }
            Write::Append { log, seq, entry } => {
                let log = self.logs.entry((p, log.clone())).or_default();
                log.retain(|known, _| known < seq);
                log.insert(*seq, entry.clone());
            }
            Write::Trim { log, through } => {
                if let Some(log) = self.logs.get_mut(&(p, log.clone())) {
                    log.retain(|seq, _| seq > through);
                }
            }
            Write::Delete { name } => {
                let name = (p, name.clone());
                self.records.remove(&name);
                self.sets.remove(&name);
                self.logs.remove(&name);
            }
            Write::Publish { .. } => {}
        }
    }

    fn add(&mut self, p: Partition, set: &str, member: &str, score: u64) {
        self.sets.entry((p, set.to_owned())).or_default().insert(member.to_owned(), score);
    }
}

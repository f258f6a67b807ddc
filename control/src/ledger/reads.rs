//! Reads outside of transactions: always afresh, except for `hint`.

use super::{Error, Ledger};
use crate::{
    names::Set,
    store::{self, Found, Order, Partition, Read, Subscription},
    transaction::Record,
};
use bytes::Bytes;
use std::ops::RangeInclusive;

impl Ledger {
    /// Loads records, in the order of `ids`; `None` for a record that doesn't exist.
    pub(crate) async fn records<'a, T: Record>(
        &self,
        partition: Partition,
        ids: impl IntoIterator<Item = &'a T::Id>,
    ) -> Result<Vec<Option<T>>, Error>
    where
        T::Id: 'a,
    {
        self.records_named(partition, ids.into_iter().map(T::name).collect()).await
    }

    /// Loads the records of these names, in their order.
    pub(crate) async fn records_named<T: Record>(
        &self,
        partition: Partition,
        names: Vec<String>,
    ) -> Result<Vec<Option<T>>, Error> {
        let reads: Vec<Read> = names.into_iter().map(Read::Record).collect();
        if reads.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.store.load(partition, &reads).await?;
        reads.iter().zip(found).map(|(read, found)| parse(read, found)).collect()
    }

    /// Loads one record.
    pub(crate) async fn record<T: Record>(
        &self,
        partition: Partition,
        id: &T::Id,
    ) -> Result<Option<T>, Error> {
        self.record_named(partition, T::name(id)).await
    }

    /// Loads the record of this name.
    pub(crate) async fn record_named<T: Record>(
        &self,
        partition: Partition,
        name: String,
    ) -> Result<Option<T>, Error> {
        let read = Read::Record(name);
        parse(&read, self.load_one(partition, read.clone()).await?)
    }

    /// Loads counters, in the order of `names`.
    pub(crate) async fn counts(
        &self,
        partition: Partition,
        names: impl IntoIterator<Item = String>,
    ) -> Result<Vec<u64>, Error> {
        let reads: Vec<Read> = names.into_iter().map(Read::Count).collect();
        let found = self.store.load(partition, &reads).await?.into_iter();
        let counts = found.map(|found| match found {
            Found::Count(count) => Ok(count),
            _ => Err(Error::Internal("the store's answer is of the wrong kind".to_owned())),
        });
        counts.collect()
    }

    /// Returns a record as it was when this control last saw it, if it is remembered. For callers
    /// to whom an old record does no harm.
    pub(crate) fn hint<T: Record>(&self, partition: Partition, id: &T::Id) -> Option<T> {
        let record = self.hints().get(&(partition, T::name(id))).cloned()?;
        serde_json::from_str(&record.body).ok()
    }

    /// Loads a set's members with a score in `scores`, lowest first, at most `limit`.
    pub(crate) async fn members<M: From<String>>(
        &self,
        partition: Partition,
        set: &Set<M>,
        scores: RangeInclusive<u64>,
        limit: u32,
    ) -> Result<Vec<(M, u64)>, Error> {
        let (min, max) = scores.into_inner();
        let (set, order) = (set.name.clone(), Order::LowestFirst);
        self.set(partition, Read::Set { set, min, max, limit, order }).await
    }

    /// Loads all members of a set, lowest score first.
    pub(crate) async fn all_members<M: From<String>>(
        &self,
        partition: Partition,
        set: &Set<M>,
    ) -> Result<Vec<M>, Error> {
        let members = self.members(partition, set, 0..=u64::MAX, u32::MAX).await?;
        Ok(members.into_iter().map(|(member, _)| member).collect())
    }

    /// Loads a set's members with the highest scores up to `max`, highest first, at most `limit`.
    pub(crate) async fn last_members<M: From<String>>(
        &self,
        partition: Partition,
        set: &Set<M>,
        max: u64,
        limit: u32,
    ) -> Result<Vec<(M, u64)>, Error> {
        let (set, order) = (set.name.clone(), Order::HighestFirst);
        self.set(partition, Read::Set { set, min: 0, max, limit, order }).await
    }

    /// Loads the first members of each set, in the order `order`: at most `limit` from each set.
    pub(crate) async fn first_of_each<M: From<String>>(
        &self,
        partition: Partition,
        sets: &[Set<M>],
        order: Order,
        limit: u32,
    ) -> Result<Vec<Vec<M>>, Error> {
        if sets.is_empty() {
            return Ok(Vec::new());
        }
        let read = |set: &Set<M>| {
            let set = set.name.clone();
            Read::Set { set, min: 0, max: u64::MAX, limit, order }
        };
        let reads: Vec<Read> = sets.iter().map(read).collect();
        let found = self.store.load(partition, &reads).await?.into_iter();
        let firsts = found.map(|found| match found {
            Found::Set(members) => Ok(members.into_iter().map(|first| first.name.into()).collect()),
            _ => Err(Error::Internal("the store's answer is of the wrong kind".to_owned())),
        });
        firsts.collect()
    }

    async fn set<M: From<String>>(
        &self,
        partition: Partition,
        read: Read,
    ) -> Result<Vec<(M, u64)>, Error> {
        match self.load_one(partition, read).await? {
            Found::Set(members) => Ok(members.into_iter().map(member).collect()),
            _ => Err(Error::Internal("the store's answer is of the wrong kind".to_owned())),
        }
    }

    /// Loads a log's entries after the seq `after`, at most `limit`.
    pub(crate) async fn entries(
        &self,
        partition: Partition,
        log: String,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Bytes)>, Error> {
        match self.load_one(partition, Read::Log { log, after, limit }).await? {
            Found::Log(entries) => Ok(entries),
            _ => Err(Error::Internal("the store's answer is of the wrong kind".to_owned())),
        }
    }

    async fn load_one(&self, partition: Partition, read: Read) -> Result<Found, Error> {
        let found = self.shared.load(&*self.store, partition, read).await?.pop();
        found.ok_or_else(|| Error::Internal("the store answered nothing".to_owned()))
    }

    /// Loads the lowest members of one set in each of these partitions: at most `limit` from each
    /// partition, with scores in `scores`; see [`Store::gather`](store::Store::gather).
    pub(crate) async fn gather<M: From<String>>(
        &self,
        set: &Set<M>,
        partitions: &[Partition],
        scores: RangeInclusive<u64>,
        limit: u32,
    ) -> Result<Vec<(Partition, (M, u64))>, Error> {
        let gathered = self.store.gather(&set.name, partitions, scores, limit).await?;
        Ok(gathered.into_iter().map(|(partition, found)| (partition, member(found))).collect())
    }

    /// Returns the names of records whose texts may have all of `words`; see
    /// [`Store::candidates`](store::Store::candidates).
    pub(crate) async fn candidates(
        &self,
        partition: Partition,
        words: &[String],
    ) -> Result<Option<Vec<String>>, Error> {
        Ok(self.store.candidates(partition, words).await?)
    }

    /// Watches a topic; see [`Store::watch`](store::Store::watch).
    pub(crate) async fn watch(
        &self,
        partition: Partition,
        topic: &str,
    ) -> Result<Subscription, Error> {
        Ok(self.store.watch(partition, topic).await?)
    }
}

fn member<M: From<String>>(member: store::Member) -> (M, u64) {
    (member.name.into(), member.score)
}

fn parse<T: Record>(read: &Read, found: Found) -> Result<Option<T>, Error> {
    let Found::Record(record) = found else {
        return Err(Error::Internal(format!("{read:?} is not a record")));
    };
    let parsed = record.map(|record| serde_json::from_str(&record.body)).transpose();
    parsed.map_err(|error| Error::Internal(format!("{read:?}: {error}")))
}

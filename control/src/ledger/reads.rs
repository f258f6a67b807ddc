//! What is read outside of transactions: always afresh, but for `hint`.

use super::{Error, Ledger};
use crate::store::{Found, Member, Order, Partition, Read, Subscription};
use bytes::Bytes;
use serde::de::DeserializeOwned;

impl Ledger {
    /// Loads records afresh, in the order of their names; never from hints.
    pub(crate) async fn records<T: DeserializeOwned>(
        &self,
        partition: Partition,
        names: impl IntoIterator<Item = String>,
    ) -> Result<Vec<Option<T>>, Error> {
        let reads: Vec<Read> = names.into_iter().map(Read::Record).collect();
        if reads.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.store.load(partition, &reads).await?;
        reads.iter().zip(found).map(|(read, found)| parse(read, found)).collect()
    }

    /// A record as it was when it was last seen, for what may be wrong.
    pub(crate) fn hint<T: DeserializeOwned>(&self, partition: Partition, name: &str) -> Option<T> {
        let record = self.hints().get(&(partition, name.to_owned())).cloned()?;
        serde_json::from_str(&record.body).ok()
    }

    /// Loads one record afresh.
    pub(crate) async fn record<T: DeserializeOwned>(
        &self,
        partition: Partition,
        name: String,
    ) -> Result<Option<T>, Error> {
        Ok(self.records(partition, [name]).await?.pop().flatten())
    }

    /// Loads a set's members with a score in `min..=max`, lowest first.
    pub(crate) async fn members(
        &self,
        partition: Partition,
        set: String,
        (min, max): (u64, u64),
        limit: u32,
    ) -> Result<Vec<Member>, Error> {
        let order = Order::LowestFirst;
        self.set(partition, Read::Set { set, min, max, limit, order }).await
    }

    /// Loads the members with the highest scores up to `max`, highest first.
    pub(crate) async fn last_members(
        &self,
        partition: Partition,
        set: String,
        max: u64,
        limit: u32,
    ) -> Result<Vec<Member>, Error> {
        let order = Order::HighestFirst;
        self.set(partition, Read::Set { set, min: 0, max, limit, order }).await
    }

    async fn set(&self, partition: Partition, read: Read) -> Result<Vec<Member>, Error> {
        match self.load_one(partition, read).await? {
            Found::Set(members) => Ok(members),
            _ => Err(Error::Internal("the store answered another question".to_owned())),
        }
    }

    /// Loads a log's entries after `after`.
    pub(crate) async fn entries(
        &self,
        partition: Partition,
        log: String,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Bytes)>, Error> {
        match self.load_one(partition, Read::Log { log, after, limit }).await? {
            Found::Log(entries) => Ok(entries),
            _ => Err(Error::Internal("the store answered another question".to_owned())),
        }
    }

    async fn load_one(&self, partition: Partition, read: Read) -> Result<Found, Error> {
        let found = self.store.load(partition, &[read]).await?.pop();
        found.ok_or_else(|| Error::Internal("the store answered nothing".to_owned()))
    }

    /// See [`Store::gather`].
    pub(crate) async fn gather(
        &self,
        name: &str,
        partitions: Partition,
        max: u64,
        limit: u32,
    ) -> Result<Vec<(Partition, Member)>, Error> {
        Ok(self.store.gather(name, partitions, max, limit).await?)
    }

    /// See [`Store::watch`].
    pub(crate) async fn watch(
        &self,
        partition: Partition,
        topic: &str,
    ) -> Result<Subscription, Error> {
        Ok(self.store.watch(partition, topic).await?)
    }
}

fn parse<T: DeserializeOwned>(read: &Read, found: Found) -> Result<Option<T>, Error> {
    let Found::Record(record) = found else {
        return Err(Error::Internal(format!("{read:?} is no record")));
    };
    let parsed = record.map(|record| serde_json::from_str(&record.body)).transpose();
    parsed.map_err(|error| Error::Internal(format!("{read:?}: {error}")))
}

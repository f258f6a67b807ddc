//! A store, measured: how many round trips, how long they take, and how they fail.

use super::{
    Batch, Commit, Found, Member, Millis, Partition, Read, Store, StoreError, Subscription,
};
use crate::metrics::{Metrics, Operation, StoreFailure};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::time::Instant;

/// What a store is asked for.
pub(crate) const OPERATIONS: [&str; 4] = ["load", "commit", "gather", "watch"];
/// How it fails: certainly not done, or perhaps done.
pub(crate) const FAILURES: [&str; 2] = ["unavailable", "unknown"];

/// See the module.
pub(crate) struct Measured {
    store: Arc<dyn Store>,
    metrics: Metrics,
}

impl Measured {
    pub(crate) fn new(store: Arc<dyn Store>, metrics: Metrics) -> Self {
        Self { store, metrics }
    }

    async fn measure<T>(
        &self,
        operation: &'static str,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        let answer = asked.await;
        let times = &self.metrics.round_trips;
        times.get_or_create(&Operation { operation }).observe(begun.elapsed().as_secs_f64());
        if let Err(error) = &answer {
            let failure = match error {
                StoreError::Unavailable(_) => "unavailable",
                StoreError::Unknown(_) => "unknown",
            };
            let failures = &self.metrics.store_failures;
            let labels = StoreFailure { operation, failure };
            failures.get_or_create(&labels).inc();
        }
        answer
    }
}

#[async_trait]
impl Store for Measured {
    fn describe(&self) -> String {
        self.store.describe()
    }

    async fn remarks(&self) -> Vec<String> {
        self.store.remarks().await
    }

    fn now(&self) -> Millis {
        self.store.now()
    }

    async fn load(&self, partition: Partition, reads: &[Read]) -> Result<Vec<Found>, StoreError> {
        self.measure("load", self.store.load(partition, reads)).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let outcome = self.measure("commit", self.store.commit(batch)).await?;
        if matches!(outcome, Commit::Conflict(_)) {
            self.metrics.conflicts.inc();
        }
        Ok(outcome)
    }

    async fn gather(
        &self,
        name: &str,
        partitions: Partition,
        max: u64,
        limit: u32,
    ) -> Result<Vec<(Partition, Member)>, StoreError> {
        let gathering = self.store.gather(name, partitions, max, limit);
        self.measure("gather", gathering).await
    }

    async fn watch(&self, partition: Partition, topic: &str) -> Result<Subscription, StoreError> {
        self.measure("watch", self.store.watch(partition, topic)).await
    }
}

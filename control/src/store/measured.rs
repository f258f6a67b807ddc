//! Measures a store: how long its round trips take, and how many of them fail.

use super::{
    Batch, Commit, Cover, Found, Member, Millis, Partition, Read, Scanned, Store, StoreError,
    Subscription,
};
use arizuko_proto::telemetry::metrics::{Latencies, Registry, latencies};
use async_trait::async_trait;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Unit,
};
use std::{ops::RangeInclusive, sync::Arc};
use tokio::{sync::mpsc, time::Instant};

const OPERATIONS: [&str; 4] = ["load", "commit", "gather", "watch"];
/// `unavailable`: the store did nothing. `unknown`: it may have done what it was asked.
const FAILURES: [&str; 2] = ["unavailable", "unknown"];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Failure {
    operation: &'static str,
    failure: &'static str,
}

/// The metrics of a store. All clones count together.
#[derive(Clone)]
pub(crate) struct StoreMetrics {
    round_trips: Latencies<Operation>,
    failures: Family<Failure, Counter>,
    conflicts: Counter,
}

impl StoreMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let round_trips = latencies();
        let help = "How long the store took to answer";
        registry.register_with_unit("store_round_trip", help, Unit::Seconds, round_trips.clone());
        // Creates every series at the start: Prometheus's `rate` misses the first value of a series
        // that appears later.
        let failures = Family::default();
        for operation in OPERATIONS {
            for failure in FAILURES {
                drop(failures.get_or_create(&Failure { operation, failure }));
            }
        }
        let help = "Round trips that failed: not done (unavailable), or maybe done (unknown)";
        registry.register("store_failures", help, failures.clone());
        let conflicts = Counter::default();
        let help = "Commits in conflict, because other commits had changed what they read";
        registry.register("store_conflicts", help, conflicts.clone());
        Self { round_trips, failures, conflicts }
    }

    fn count(&self, outcome: &Commit) {
        if matches!(outcome, Commit::Conflict(_)) {
            self.conflicts.inc();
        }
    }

    fn record<T>(&self, operation: &'static str, begun: Instant, answer: &Result<T, StoreError>) {
        let times = self.round_trips.get_or_create(&Operation { operation });
        times.observe(begun.elapsed().as_secs_f64());
        let failure = match answer {
            Ok(_) => return,
            Err(StoreError::Unavailable(_)) => "unavailable",
            Err(StoreError::Unknown(_)) => "unknown",
        };
        self.failures.get_or_create(&Failure { operation, failure }).inc();
    }
}

pub(crate) struct Measured {
    store: Arc<dyn Store>,
    metrics: StoreMetrics,
}

impl Measured {
    pub(crate) fn new(store: Arc<dyn Store>, metrics: StoreMetrics) -> Self {
        Self { store, metrics }
    }

    async fn measure<T>(
        &self,
        operation: &'static str,
        asking: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        let answer = asking.await;
        self.metrics.record(operation, begun, &answer);
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
        self.metrics.count(&outcome);
        Ok(outcome)
    }

    async fn commit_early(&self, batch: &Batch) -> Result<(Commit, Cover), StoreError> {
        let (outcome, cover) = self.measure("commit", self.store.commit_early(batch)).await?;
        self.metrics.count(&outcome);
        Ok((outcome, cover))
    }

    async fn gather(
        &self,
        name: &str,
        partitions: &[Partition],
        scores: RangeInclusive<u64>,
        limit: u32,
    ) -> Result<Vec<(Partition, Member)>, StoreError> {
        let gathering = self.store.gather(name, partitions, scores, limit);
        self.measure("gather", gathering).await
    }

    async fn scan(
        &self,
        kinds: &[&str],
        pages: mpsc::Sender<Vec<Scanned>>,
    ) -> Result<(), StoreError> {
        self.store.scan(kinds, pages).await
    }

    async fn candidates(
        &self,
        partition: Partition,
        words: &[String],
    ) -> Result<Option<Vec<String>>, StoreError> {
        self.store.candidates(partition, words).await
    }

    async fn upgrade_logs(&self) -> Result<(), StoreError> {
        self.store.upgrade_logs().await
    }

    async fn is_watched(&self) -> Result<bool, StoreError> {
        self.store.is_watched().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }

    async fn watch(&self, partition: Partition, topic: &str) -> Result<Subscription, StoreError> {
        self.measure("watch", self.store.watch(partition, topic)).await
    }
}

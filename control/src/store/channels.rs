//! Delivers a store's wake-ups to their watchers. Many topics share a few channels.

use super::Partition;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, sync::Mutex};
use tokio::sync::broadcast::{self, error::RecvError};

/// How many channels a partition's topics are spread over.
const BUCKETS: u8 = 16;

/// How many wake-ups may wait for one watcher. A watcher that falls behind gets a gap, and reads
/// the store.
const BACKLOG: usize = 16;

/// A hint that something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// A payload was published.
    Published(Bytes),
    /// Something may have been missed: read the store.
    Gap,
}

/// One watcher's subscription to a topic.
pub(crate) struct Subscription(broadcast::Receiver<Wake>);

impl Subscription {
    /// Returns the next wake-up. A watcher that was too slow gets one [`Wake::Gap`] for all it
    /// missed.
    pub(crate) async fn next(&mut self) -> Wake {
        match self.0.recv().await {
            Ok(wake) => wake,
            Err(RecvError::Lagged(_)) => Wake::Gap,
            // A sender that has a watcher lives as long as the store, which outlives its watchers.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// The topics that this process watches, by channel.
#[derive(Default)]
pub(crate) struct Channels(Mutex<HashMap<String, HashMap<String, broadcast::Sender<Wake>>>>);

impl Channels {
    /// Adds a watcher of `topic`, which `channel` carries.
    pub(crate) fn watch(&self, channel: &str, topic: &str) -> Subscription {
        let mut channels = self.lock();
        let topics = channels.entry(channel.to_owned()).or_default();
        // When the map is full, topics that nobody watches are dropped before it grows.
        if topics.len() == topics.capacity() {
            topics.retain(|_, sender| sender.receiver_count() > 0);
        }
        let sender =
            topics.entry(topic.to_owned()).or_insert_with(|| broadcast::Sender::new(BACKLOG));
        Subscription(sender.subscribe())
    }

    /// Delivers a published payload to the topic's watchers.
    pub(crate) fn publish(&self, channel: &str, topic: &str, payload: Bytes) {
        if let Some(sender) = self.lock().get(channel).and_then(|c| c.get(topic)) {
            // An error only says that nobody watches any more.
            let _ = sender.send(Wake::Published(payload));
        }
    }

    /// Tells every watcher that something may have been missed.
    pub(crate) fn gap(&self) {
        for sender in self.lock().values().flat_map(HashMap::values) {
            let _ = sender.send(Wake::Gap);
        }
    }

    fn lock(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<String, HashMap<String, broadcast::Sender<Wake>>>> {
        // Nothing that can panic runs under this lock.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Returns the name of the channel that carries `topic`, without the store's prefix.
pub(crate) fn channel(partition: Partition, topic: &str) -> String {
    let bucket = Sha256::digest(topic)[0] % BUCKETS;
    format!("{{{partition}}}:wake:{bucket}")
}

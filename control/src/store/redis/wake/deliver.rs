//! Delivers what servers publish, once replicas have it, if replicas must.

use super::{RETRY, Wakes};
use crate::store::{
    Partition,
    redis::{connection::Connection, replicas::Voucher, servers::Server},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesOrdered};
use redis::{PushInfo, PushKind, from_redis_value};
use std::{
    future::pending,
    iter,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};
use tokio::{sync::mpsc, task::yield_now, time::sleep};

/// How many messages are delivered at a time.
const AT_ONCE: usize = 1_000;
/// How many messages are delivered before watchers get a turn to take theirs: fewer than may wait
/// for one watcher, since a watcher that falls behind reads the store.
const BETWEEN_YIELDS: usize = 8;
/// How many batches may wait for replicas. More messages wait for their batch.
const UNCOVERED: usize = 16;

impl Wakes {
    /// Delivers what a server publishes. `is_full` says that something was dropped.
    ///
    /// Doesn't wait until replicas have one batch before it takes the next.
    pub(super) async fn deliver(
        &self,
        server: &Server,
        connection: &Connection,
        mut pushes: mpsc::Receiver<PushInfo>,
        is_full: &AtomicBool,
    ) {
        // A voucher covers only messages that come after it, and nothing once a connection that it
        // rests on is lost.
        let (mut voucher, mut uncovered) = (self.voucher(server).await, FuturesOrdered::new());
        let (mut misses, mut published) = (drop_all(&mut pushes), 0);
        loop {
            // Replaces the connection. Then a gap makes every watcher read the store.
            if (is_full.swap(false, Relaxed) || misses)
                && let Some(open) = connection.open_now()
            {
                open.lost.cancel();
            }
            let mut batch = Vec::new();
            // Whether the voucher covers nothing more, and whether messages are missing.
            let (is_lost, are_missing) = tokio::select! {
                biased;
                Some(covered) = uncovered.next() => match covered {
                    Some(batch) => {
                        for push in batch {
                            self.publish(push);
                            published += 1;
                            if published % BETWEEN_YIELDS == 0 {
                                yield_now().await;
                            }
                        }
                        (false, false)
                    }
                    None => {
                        uncovered.clear();
                        (true, true)
                    }
                },
                () = lost(voucher.as_ref()) => (true, false),
                count = pushes.recv_many(&mut batch, AT_ONCE), if uncovered.len() < UNCOVERED => {
                    let 1.. = count else { return };
                    // SUNSUBSCRIBE comes unasked if a channel's slot moves to another server.
                    let is_moved = batch.iter().any(|push| push.kind == PushKind::SUnsubscribe);
                    batch.retain(|push| push.kind == PushKind::SMessage);
                    uncovered.push_back(covered(voucher.clone(), batch));
                    (false, is_moved)
                }
            };
            misses = are_missing;
            if is_lost {
                voucher = self.voucher(server).await;
                misses |= drop_all(&mut pushes);
            }
        }
    }

    /// Waits for a voucher for the messages from now on; `None` if nothing waits for replicas.
    async fn voucher(&self, server: &Server) -> Option<Voucher> {
        let replicas = self.replicas.as_ref()?;
        loop {
            match replicas.ready(server).await {
                Ok(voucher) => return Some(voucher),
                Err(_) => sleep(RETRY).await,
            }
        }
    }

    fn publish(&self, push: PushInfo) {
        let mut data = push.data.into_iter();
        if let (Some(channel), Some(payload)) = (data.next(), data.next())
            && let Ok(channel) = from_redis_value::<String>(channel)
            && let Ok(payload) = from_redis_value::<Vec<u8>>(payload).map(Bytes::from)
            && let Some((topic, payload)) = unpack(&payload)
        {
            self.channels.publish(&channel, topic, payload);
        }
    }
}

/// Drops what waits to be delivered. Returns whether that was any message.
fn drop_all(pushes: &mut mpsc::Receiver<PushInfo>) -> bool {
    let dropped = iter::from_fn(|| pushes.try_recv().ok());
    dropped.filter(|push| push.kind == PushKind::SMessage).count() > 0
}

/// Returns once a voucher covers nothing more. Whoever then makes a new one at once misses nothing,
/// unless something was published meanwhile.
async fn lost(voucher: Option<&Voucher>) {
    match voucher {
        Some(voucher) => voucher.lost().await,
        None => pending().await,
    }
}

/// Returns the messages once replicas have them, if replicas must; `None` if they may lack some.
/// One round covers all of them.
async fn covered(voucher: Option<Voucher>, published: Vec<PushInfo>) -> Option<Vec<PushInfo>> {
    if let (Some(voucher), Some(partition)) = (voucher, published.iter().find_map(partition_of)) {
        voucher.cover(partition).await.ok()?;
    }
    Some(published)
}

/// Returns the partition of a channel: it is in braces in the channel's name.
fn partition_of(push: &PushInfo) -> Option<Partition> {
    let channel = push.data.first().cloned().map(from_redis_value::<String>)?.ok()?;
    let (_, rest) = channel.split_once('{')?;
    rest.split_once('}')?.0.parse().ok()
}

/// Puts the topic, and a zero byte, before the payload.
pub(in crate::store::redis) fn pack(topic: &str, payload: &[u8]) -> Bytes {
    [topic.as_bytes(), b"\0", payload].concat().into()
}

fn unpack(packed: &Bytes) -> Option<(&str, Bytes)> {
    let end = packed.iter().position(|byte| *byte == 0)?;
    let topic = std::str::from_utf8(&packed[..end]).ok()?;
    Some((topic, packed.slice(end + 1..)))
}

//! The connections that bring wake-ups: one to each server, with one confirmed SSUBSCRIBE for each
//! channel.
//!
//! Pub/sub forgets what it could not deliver. So after a link has been down, or a channel has moved
//! to another server, every watcher gets a gap once all channels are confirmed again, and reads the
//! store.

use super::{
    replicas::Replicas,
    servers::{Server, Servers},
};
use crate::store::{
    Millis, Partition, StoreError,
    channels::{Channels, Subscription},
};
use bytes::Bytes;
use redis::{
    AsyncConnectionConfig, Client, PushInfo, PushKind, RedisResult, Value,
    aio::MultiplexedConnection, cmd, from_redis_value,
};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    sync::{Mutex, mpsc},
    time::{interval, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

/// How often to ask a server for its time, which also shows that the link is alive.
const BEAT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);
/// In milliseconds.
const LATE: Millis = 100;
const RECONNECT: Duration = Duration::from_millis(100);

/// The links to all servers.
pub(super) struct Wakes {
    servers: Arc<Servers>,
    /// Set if nothing may be shown before replicas have it.
    replicas: Option<Arc<Replicas>>,
    channels: Channels,
    links: Mutex<Links>,
    /// Signals that a link has broken, or that a channel may have moved.
    broken: mpsc::UnboundedSender<Option<String>>,
    /// How far the clock of the first partition's server is ahead of ours, in milliseconds.
    ahead: AtomicI64,
}

#[derive(Default)]
struct Links {
    /// By the server's address.
    open: HashMap<String, Link>,
    /// Channels to subscribe to again after a break. Never unsubscribed: there are at most 16 a
    /// partition.
    wanted: HashMap<String, Partition>,
}

/// The link to one server.
struct Link {
    connection: MultiplexedConnection,
    confirmed: HashSet<String>,
    _follower: AbortOnDropHandle<()>,
}

impl Wakes {
    /// Opens the links and keeps them open for as long as the process runs.
    pub(super) async fn start(
        servers: Arc<Servers>,
        replicas: Option<Arc<Replicas>>,
    ) -> RedisResult<Arc<Self>> {
        let (broken, breaks) = mpsc::unbounded_channel();
        let wakes = Arc::new(Self {
            servers,
            replicas,
            channels: Channels::default(),
            links: Mutex::default(),
            broken,
            ahead: AtomicI64::new(0),
        });
        // The clock is known before anything is decided.
        wakes.confirm().await?;
        tokio::spawn(wakes.clone().mend(breaks));
        Ok(wakes)
    }

    pub(super) fn now(&self) -> Millis {
        local().saturating_add_signed(self.ahead.load(Relaxed))
    }

    pub(super) async fn watch(
        self: &Arc<Self>,
        channel: String,
        partition: Partition,
        topic: &str,
    ) -> Result<Subscription, StoreError> {
        // Registered before the confirmation, so nothing published after it is missed.
        let subscription = self.channels.watch(&channel, topic);
        let mut links = self.links.lock().await;
        if links.wanted.insert(channel, partition).is_none() {
            drop(links);
            // If the link is down, the channel is confirmed later, and then the watcher gets a gap.
            if self.confirm().await.is_err() {
                let _ = self.broken.send(None);
            }
        }
        Ok(subscription)
    }

    /// Reopens broken links for as long as the process runs.
    async fn mend(self: Arc<Self>, mut breaks: mpsc::UnboundedReceiver<Option<String>>) {
        let mut changes = self.servers.changes();
        loop {
            tokio::select! {
                address = breaks.recv() => if let Some(Some(address)) = address {
                    tracing::warn!(address, "a wake-up link to Redis broke; connecting again");
                    self.links.lock().await.open.remove(&address);
                },
                _ = changes.changed() => {}
            }
            // A failure here shows again below.
            let _ = self.servers.refresh().await;
            while self.confirm().await.is_err() {
                sleep(RECONNECT).await;
                let _ = self.servers.refresh().await;
            }
            self.channels.gap();
        }
    }

    /// Subscribes to every wanted channel at its server, and waits for the confirmations.
    async fn confirm(self: &Arc<Self>) -> RedisResult<()> {
        let mut links = self.links.lock().await;
        let Links { open, wanted } = &mut *links;
        let clock = self.servers.of(0)?;
        self.link(open, &clock).await?;
        let mut homes = HashSet::from([clock.address()]);
        for (channel, partition) in wanted {
            let server = self.servers.of(*partition)?;
            homes.insert(server.address());
            let link = self.link(open, &server).await?;
            if !link.confirmed.contains(channel) {
                if let Err(error) = subscribe(&mut link.connection, channel).await {
                    open.remove(&server.address());
                    return Err(error);
                }
                link.confirmed.insert(channel.clone());
            }
        }
        // Close the links to servers that have none of our channels any more.
        open.retain(|address, _| homes.contains(address));
        Ok(())
    }

    /// Returns the link to a server, and opens it if there is none.
    async fn link<'a>(
        self: &Arc<Self>,
        open: &'a mut HashMap<String, Link>,
        server: &Arc<Server>,
    ) -> RedisResult<&'a mut Link> {
        let address = server.address();
        if !open.contains_key(&address) {
            let link = self.connect(server).await?;
            open.insert(address.clone(), link);
        }
        open.get_mut(&address).ok_or_else(|| (redis::ErrorKind::Client, "the link is gone").into())
    }

    async fn connect(self: &Arc<Self>, server: &Arc<Server>) -> RedisResult<Link> {
        let (sender, pushes) = mpsc::unbounded_channel();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_push_sender(sender);
        let settings = server.info.redis_settings().clone();
        let settings = settings.set_protocol(redis::ProtocolVersion::RESP3);
        let client = Client::open(server.info.clone().set_redis_settings(settings))?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let address = server.address();
        self.beat(&address, &mut connection).await?;
        let (wakes, followed) = (self.clone(), connection.clone());
        let follower = tokio::spawn(async move {
            wakes.follow(&address, followed, pushes).await;
            // The receiver is gone only when the process ends.
            let _ = wakes.broken.send(Some(address));
        });
        Ok(Link {
            connection,
            confirmed: HashSet::new(),
            _follower: AbortOnDropHandle::new(follower),
        })
    }

    /// Delivers published messages until the link breaks.
    async fn follow(
        &self,
        address: &str,
        mut connection: MultiplexedConnection,
        mut pushes: mpsc::UnboundedReceiver<PushInfo>,
    ) {
        let mut beats = interval(BEAT);
        loop {
            tokio::select! {
                push = pushes.recv() => match push {
                    Some(push) if push.kind == PushKind::SMessage => {
                        if let Some(replicas) = &self.replicas
                            && let Some(partition) = partition_of(&push)
                            && replicas.cover(partition).await.is_err()
                        {
                            // The gap makes every watcher read the store.
                            return;
                        }
                        self.hand_on(push.data);
                    }
                    Some(push) if push.kind == PushKind::Disconnection => return,
                    // A server that gives our slot to another one unsubscribes us: reopen the link.
                    Some(push) if push.kind == PushKind::SUnsubscribe => return,
                    Some(_) => {}
                    None => return,
                },
                _ = beats.tick() => {
                    let beat = self.beat(address, &mut connection);
                    if !matches!(timeout(PATIENCE, beat).await, Ok(Ok(()))) {
                        return;
                    }
                }
            }
        }
    }

    fn hand_on(&self, data: Vec<Value>) {
        let mut data = data.into_iter();
        let (Some(channel), Some(payload)) = (data.next(), data.next()) else {
            return;
        };
        let channel = from_redis_value::<String>(channel);
        let payload = from_redis_value::<Vec<u8>>(payload).map(Bytes::from);
        if let (Ok(channel), Ok(payload)) = (channel, payload)
            && let Some((topic, payload)) = unpack(&payload)
        {
            self.channels.publish(&channel, topic, payload);
        }
    }

    /// Asks a server for its time. The clock of the first partition's server is the store's clock.
    async fn beat(&self, address: &str, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let asked = local();
        let (seconds, micros): (u64, u64) = cmd("TIME").query_async(connection).await?;
        let answered = local();
        let is_clock = self.servers.of(0).is_ok_and(|server| server.address() == address);
        // A slow answer says little about the time at which it was given.
        if is_clock && (answered.saturating_sub(asked) < LATE || self.ahead.load(Relaxed) == 0) {
            let theirs = seconds * 1000 + micros / 1000;
            let ours = asked.midpoint(answered);
            self.ahead.store(theirs.wrapping_sub(ours) as i64, Relaxed);
        }
        Ok(())
    }
}

async fn subscribe(connection: &mut MultiplexedConnection, channel: &str) -> RedisResult<()> {
    cmd("SSUBSCRIBE").arg(channel).query_async(connection).await
}

/// The partition of a channel: it is in braces in the channel's name.
fn partition_of(push: &PushInfo) -> Option<Partition> {
    let channel = push.data.first().cloned().map(from_redis_value::<String>)?.ok()?;
    let (_, rest) = channel.split_once('{')?;
    rest.split_once('}')?.0.parse().ok()
}

/// Puts the topic before the payload.
pub(super) fn pack(topic: &str, payload: &[u8]) -> Bytes {
    [topic.as_bytes(), b"\0", payload].concat().into()
}

fn unpack(packed: &Bytes) -> Option<(&str, Bytes)> {
    let end = packed.iter().position(|byte| *byte == 0)?;
    let topic = std::str::from_utf8(&packed[..end]).ok()?;
    Some((topic, packed.slice(end + 1..)))
}

#[expect(clippy::disallowed_methods, reason = "estimates the clock of Redis from this one")]
fn local() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| d.as_millis() as Millis)
}

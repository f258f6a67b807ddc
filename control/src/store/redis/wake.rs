//! The link that wake-ups come by: one connection, one SSUBSCRIBE a channel, each confirmed.
//!
//! Pub/sub forgets what it could not deliver. So whenever the link has been down, every watcher
//! is told that there is a gap once all channels are confirmed again, and reads the store.

use crate::store::{
    Millis, StoreError,
    channels::{Channels, Subscription},
};
use bytes::Bytes;
use redis::{
    AsyncConnectionConfig, Client, PushInfo, PushKind, RedisResult, Value,
    aio::MultiplexedConnection, cmd, from_redis_value,
};
use std::{
    collections::HashSet,
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

/// How often Redis is asked for its time, which also shows that the link is alive.
const BEAT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);
/// In milliseconds.
const LATE: Millis = 100;
const RECONNECT: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Wakes {
    client: Client,
    channels: Channels,
    link: Mutex<Link>,
    /// Redis's clock less ours, in milliseconds.
    ahead: AtomicI64,
}

#[derive(Default)]
struct Link {
    connection: Option<MultiplexedConnection>,
    /// Channels to subscribe to again after a break. Never unsubscribed: there are at most 16 a
    /// partition.
    wanted: HashSet<String>,
}

impl Wakes {
    /// Opens the link and keeps it open for as long as the process runs.
    pub(super) async fn start(client: Client, prefix: String) -> RedisResult<Arc<Self>> {
        let wakes = Arc::new(Self {
            client,
            channels: Channels::default(),
            link: Mutex::default(),
            ahead: AtomicI64::new(0),
        });
        let pushes = wakes.connect().await?;
        let kept = wakes.clone();
        tokio::spawn(async move {
            let (wakes, mut pushes) = (kept, pushes);
            loop {
                wakes.follow(&mut pushes).await;
                wakes.link.lock().await.connection = None;
                tracing::warn!(prefix, "the wake-up link to Redis broke; connecting again");
                pushes = loop {
                    match wakes.connect().await {
                        Ok(pushes) => break pushes,
                        Err(_) => sleep(RECONNECT).await,
                    }
                };
                wakes.channels.gap();
            }
        });
        Ok(wakes)
    }

    pub(super) fn now(&self) -> Millis {
        local().saturating_add_signed(self.ahead.load(Relaxed))
    }

    pub(super) async fn watch(
        &self,
        channel: String,
        topic: &str,
    ) -> Result<Subscription, StoreError> {
        // Registered before the confirmation: nothing that is published after it can be missed.
        let subscription = self.channels.watch(&channel, topic);
        let mut link = self.link.lock().await;
        // Where the link is down it is confirmed once the link is back, and then a gap is told.
        if !link.wanted.contains(&channel)
            && let Some(connection) = &mut link.connection
        {
            subscribe(connection, &channel)
                .await
                .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        }
        link.wanted.insert(channel);
        Ok(subscription)
    }

    /// Connects and has every wanted channel confirmed.
    async fn connect(&self) -> RedisResult<mpsc::UnboundedReceiver<PushInfo>> {
        let (sender, pushes) = mpsc::unbounded_channel();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_push_sender(sender);
        let mut info = self.client.get_connection_info().clone();
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(redis::ProtocolVersion::RESP3);
        info = info.set_redis_settings(settings);
        let client = Client::open(info)?;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        self.beat(&mut connection).await?;

        let mut link = self.link.lock().await;
        for channel in &link.wanted {
            subscribe(&mut connection, channel).await?;
        }
        link.connection = Some(connection);
        Ok(pushes)
    }

    /// Hands on what is published, until the link breaks.
    async fn follow(&self, pushes: &mut mpsc::UnboundedReceiver<PushInfo>) {
        let Some(mut connection) = self.link.lock().await.connection.clone() else {
            return;
        };
        let mut beats = interval(BEAT);
        loop {
            tokio::select! {
                push = pushes.recv() => match push {
                    Some(push) if push.kind == PushKind::SMessage => self.hand_on(push.data),
                    Some(push) if push.kind == PushKind::Disconnection => return,
                    // A server that hands our slot to another unsubscribes us: begin anew.
                    Some(push) if push.kind == PushKind::SUnsubscribe => return,
                    Some(_) => {}
                    None => return,
                },
                _ = beats.tick() => {
                    if !matches!(timeout(PATIENCE, self.beat(&mut connection)).await, Ok(Ok(()))) {
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

    async fn beat(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let asked = local();
        let (seconds, micros): (u64, u64) = cmd("TIME").query_async(connection).await?;
        let answered = local();
        // An answer that was long under way says little of when it was given.
        if answered.saturating_sub(asked) < LATE || self.ahead.load(Relaxed) == 0 {
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

/// Puts the topic before the payload.
pub(super) fn pack(topic: &str, payload: &[u8]) -> Bytes {
    [topic.as_bytes(), b"\0", payload].concat().into()
}

fn unpack(packed: &Bytes) -> Option<(&str, Bytes)> {
    let end = packed.iter().position(|byte| *byte == 0)?;
    let topic = std::str::from_utf8(&packed[..end]).ok()?;
    Some((topic, packed.slice(end + 1..)))
}

fn local() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| d.as_millis() as Millis)
}

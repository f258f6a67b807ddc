//! The connections that bring wake-ups: one to each server, with one confirmed SSUBSCRIBE for each
//! channel.
//!
//! Pub/sub forgets what it could not deliver. So after a connection has been lost, or a channel has
//! moved to another server, every watcher gets a gap once the channels are confirmed again, and
//! reads the store.

use super::{
    connection::{Connection, Open},
    replicas::Replicas,
    servers::{Server, Servers},
};
use crate::store::{
    Partition,
    channels::{Channels, Subscription},
};
use redis::{ErrorKind, Pipeline, RedisResult, Value};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

mod deliver;

pub(super) use deliver::pack;

/// How long to wait before a failed subscription is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// How many messages may wait to be put into a batch. More are dropped, and the connection is
/// replaced, so that all watchers read the store.
const MOST_WAITING: usize = 10_000;

/// The links to all servers, and the channels that they bring.
pub(super) struct Wakes {
    servers: Arc<Servers>,
    /// Set if nothing may be shown before replicas have it.
    replicas: Option<Arc<Replicas>>,
    channels: Channels,
    /// The channels that were ever watched, by their names. The subscriptions stay, because there
    /// are at most 16 channels for each partition.
    wanted: Mutex<HashMap<String, Wanted>>,
    /// The link to each server, by the server's address.
    links: Mutex<HashMap<String, Link>>,
    /// Notified each time that all channels of a link are subscribed to: after the link opened, and
    /// after channels moved to its server.
    reopened: Notify,
}

/// A channel to subscribe to.
struct Wanted {
    partition: Partition,
    confirmed: Option<Confirmed>,
}

/// The server at which a channel is subscribed to, until the connection is lost.
struct Confirmed {
    address: String,
    lost: CancellationToken,
}

impl Wanted {
    fn is_confirmed_at(&self, address: &str) -> bool {
        let confirmed = self.confirmed.as_ref();
        confirmed.is_some_and(|at| at.address == address && !at.lost.is_cancelled())
    }
}

/// The link to one server: the connection that brings its wake-ups, and the tasks behind it.
struct Link {
    connection: Connection,
    /// The messages that wait to be delivered.
    #[cfg(test)]
    waiting: mpsc::Sender<redis::PushInfo>,
    /// Notified when a channel could not be subscribed to, so that the link's task tries again.
    left: Arc<Notify>,
    _tasks: AbortOnDropHandle<()>,
}

impl Wakes {
    /// Opens the links and keeps them open for as long as the process runs.
    pub(super) fn start(servers: Arc<Servers>, replicas: Option<Arc<Replicas>>) -> Arc<Self> {
        let wakes = Arc::new(Self {
            servers,
            replicas,
            channels: Channels::default(),
            wanted: Mutex::default(),
            links: Mutex::default(),
            reopened: Notify::new(),
        });
        wakes.link_all();
        tokio::spawn(wakes.clone().keep_links());
        wakes
    }

    /// Waits until a link has subscribed to its channels since the last call.
    pub(super) async fn reopened(&self) {
        self.reopened.notified().await;
    }

    /// Returns once the link to a server is open.
    pub(super) async fn opened(&self, server: &Server) -> RedisResult<()> {
        let connection =
            lock(&self.links).get(&server.address()).map(|link| link.connection.clone());
        match connection {
            Some(connection) => connection.open().await.map(drop),
            None => Err((ErrorKind::Client, "the server is gone").into()),
        }
    }

    /// Returns how many messages wait to be put into a batch.
    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        let links = lock(&self.links);
        links.values().map(|link| link.waiting.max_capacity() - link.waiting.capacity()).sum()
    }

    /// Watches a topic. Without a connection, the channel is confirmed later, and then the watcher
    /// gets a gap.
    pub(super) async fn watch(
        &self,
        channel: String,
        partition: Partition,
        topic: &str,
    ) -> Subscription {
        // The watcher is added before the channel is confirmed, so that it misses nothing that is
        // published after the confirmation.
        let subscription = self.channels.watch(&channel, topic);
        let address = self.servers.of(partition).ok().map(|server| server.address());
        let is_confirmed = {
            let mut wanted = lock(&self.wanted);
            let wanted = wanted.entry(channel.clone());
            let wanted = wanted.or_insert(Wanted { partition, confirmed: None });
            address.as_ref().is_none_or(|address| wanted.is_confirmed_at(address))
        };
        // A link that opens later subscribes to all channels that are wanted by then.
        let link = address.filter(|_| !is_confirmed).and_then(|address| {
            let links = lock(&self.links);
            let link = links.get(&address)?;
            Some((link.connection.open_now()?, link.left.clone(), address))
        });
        if let Some((open, left, address)) = link
            && self.subscribe(&address, &open, vec![channel]).await.is_err()
        {
            left.notify_one();
        }
        subscription
    }

    /// Opens links to new servers, and drops links to servers that are gone, whenever the servers
    /// change.
    async fn keep_links(self: Arc<Self>) {
        let mut changes = self.servers.changes();
        while changes.changed().await.is_ok() {
            self.link_all();
        }
    }

    fn link_all(self: &Arc<Self>) {
        let servers = self.servers.all();
        let mut links = lock(&self.links);
        links.retain(|address, _| servers.iter().any(|server| server.address() == *address));
        for server in servers {
            links.entry(server.address()).or_insert_with(|| self.link(&server));
        }
    }

    fn link(self: &Arc<Self>, server: &Arc<Server>) -> Link {
        let (waiting, pushes) = mpsc::channel(MOST_WAITING);
        let (sender, is_full) = (waiting.clone(), Arc::new(AtomicBool::new(false)));
        let dropped = is_full.clone();
        let push = move |push| sender.try_send(push).inspect_err(|_| dropped.store(true, Relaxed));
        let connection = server.connect(Some(Box::new(push)));
        let left = Arc::new(Notify::new());
        let (wakes, server, address) = (self.clone(), server.clone(), server.address());
        let (followed, notified) = (connection.clone(), left.clone());
        let tasks = tokio::spawn(async move {
            tokio::join!(
                wakes.deliver(&server, &followed, pushes, &is_full),
                wakes.stay_subscribed(&address, &followed, &notified),
            );
        });
        Link {
            connection,
            #[cfg(test)]
            waiting,
            left,
            _tasks: AbortOnDropHandle::new(tasks),
        }
    }

    /// Subscribes to a server's channels whenever they are not confirmed.
    async fn stay_subscribed(&self, address: &str, connection: &Connection, left: &Notify) {
        let mut changes = self.servers.changes();
        let mut is_told = false;
        loop {
            changes.mark_unchanged();
            let subscribed = match connection.open().await {
                Ok(open) => {
                    let channels = self.unconfirmed(address);
                    self.subscribe(address, &open, channels).await.map(|()| open.lost)
                }
                Err(error) => Err(error),
            };
            match subscribed {
                Ok(lost) => {
                    self.channels.gap();
                    self.reopened.notify_one();
                    is_told = false;
                    tokio::select! {
                        () = lost.cancelled() => {}
                        () = left.notified() => {}
                        // This can't fail: `self` holds the sender.
                        _ = changes.changed() => {}
                    }
                }
                Err(error) => {
                    if !is_told {
                        tracing::warn!(address, %error, "no wake-ups from Redis, retrying");
                        is_told = true;
                    }
                    // If this server is gone by now, the look-up drops the link, and this task with
                    // it.
                    let _ = tokio::join!(timeout(RETRY, self.servers.look_again()), sleep(RETRY));
                }
            }
        }
    }

    /// Returns a server's channels that have no confirmed subscription.
    fn unconfirmed(&self, address: &str) -> Vec<String> {
        let is_here =
            |partition| self.servers.of(partition).is_ok_and(|server| server.address() == address);
        let wanted = lock(&self.wanted);
        let unconfirmed = wanted
            .iter()
            .filter(|(_, wanted)| !wanted.is_confirmed_at(address) && is_here(wanted.partition));
        unconfirmed.map(|(channel, _)| channel.clone()).collect()
    }

    /// Subscribes to channels, all at once, and waits for the confirmations.
    async fn subscribe(
        &self,
        address: &str,
        open: &Open,
        channels: Vec<String>,
    ) -> RedisResult<()> {
        if channels.is_empty() {
            return Ok(());
        }
        let mut subscriptions = Pipeline::with_capacity(channels.len());
        for channel in &channels {
            subscriptions.cmd("SSUBSCRIBE").arg(channel);
        }
        let answers = open.ask_all(&subscriptions).await?;
        let mut refused = None;
        let mut wanted = lock(&self.wanted);
        for (channel, answer) in channels.iter().zip(answers) {
            match (answer, wanted.get_mut(channel)) {
                (Value::ServerError(error), _) => refused = Some(error),
                (_, Some(wanted)) => {
                    let (address, lost) = (address.to_owned(), open.lost.clone());
                    wanted.confirmed = Some(Confirmed { address, lost });
                }
                (_, None) => {}
            }
        }
        refused.map_or(Ok(()), |error| Err(error.into()))
    }
}

// Nothing that can panic runs under these locks, and nothing waits under them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

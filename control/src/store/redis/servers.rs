//! Which server has which partition: the only server, the primary that Sentinels name, or the
//! primaries of a Cluster.

mod source;

use self::source::{Kind, SLOTS, UNGUARDED};
pub(crate) use self::source::{Source, is_this_machine};
use super::connection::{Connection, Pushes, Role};
use crate::store::Partition;
use anyhow::Context;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use redis::{ConnectionInfo, ErrorKind, ProtocolVersion, RedisError, RedisResult, ServerErrorKind};
use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{interval, sleep, timeout},
};

/// How long one address may take to say where the state is: several round trips, of up to 1.5 s.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an address is asked alone before the next one is asked as well.
const LOOKUP_STAGGER: Duration = Duration::from_millis(500);
/// How often servers are looked up even if nobody asks. A primary that came back as a replica still
/// answers reads, so no error would show the change.
const RECHECK: Duration = Duration::from_secs(5);
/// How long to wait between two look-ups, at least, however many callers ask.
const FRESH: Duration = Duration::from_millis(100);

/// The map of partitions to servers, and how to look it up.
pub(super) struct Servers {
    source: Source,
    map: RwLock<Arc<Map>>,
    /// The index of the address to ask first.
    turn: AtomicUsize,
    /// Notified to ask for a look-up.
    asked: Notify,
    /// Counts look-ups.
    lookups: watch::Sender<u64>,
    /// Counts how often the map has changed.
    changes: watch::Sender<u64>,
}

/// One server.
pub(super) struct Server {
    pub(super) info: ConnectionInfo,
    role: Role,
    pub(super) connection: Connection,
}

impl Server {
    fn new(info: ConnectionInfo, role: Role) -> Self {
        Self { connection: Connection::new(info.clone(), role, None), info, role }
    }

    /// Begins another connection to the server. Messages that the server pushes go to `pushes`.
    pub(super) fn connect(&self, pushes: Option<Pushes>) -> Connection {
        let info = match pushes {
            Some(_) => with_pushes(&self.info),
            None => self.info.clone(),
        };
        Connection::new(info, self.role, pushes)
    }

    pub(super) fn address(&self) -> String {
        self.info.addr().to_string()
    }
}

/// Ranges of slots, in order: the last slot of each, and its server; `None` where no server owns
/// the range.
#[derive(Default)]
struct Map(Vec<(u16, Option<Arc<Server>>)>);

impl Map {
    fn server(&self, slot: u16) -> Option<Arc<Server>> {
        let at = self.0.partition_point(|(last, _)| *last < slot);
        self.0.get(at)?.1.clone()
    }

    fn known(&self, info: &ConnectionInfo) -> Option<Arc<Server>> {
        let mut servers = self.0.iter().filter_map(|(_, server)| server.clone());
        servers.find(|server| server.info.addr() == info.addr())
    }

    fn addresses(&self) -> Vec<(u16, Option<String>)> {
        let ranges = self.0.iter();
        ranges
            .map(|(last, server)| (*last, server.as_ref().map(|server| server.address())))
            .collect()
    }
}

impl Servers {
    /// Finds the servers, and looks them up again: every [`RECHECK`], and whenever somebody asks
    /// for it.
    pub(super) async fn find(source: Source) -> anyhow::Result<Arc<Self>> {
        let servers = Arc::new(Self {
            source,
            map: RwLock::default(),
            turn: AtomicUsize::new(0),
            asked: Notify::new(),
            lookups: watch::Sender::new(0),
            changes: watch::Sender::new(0),
        });
        let found = servers.refresh().await;
        found.with_context(|| format!("cannot reach Redis at {}", servers.source))?;
        tokio::spawn(servers.clone().stay_current());
        Ok(servers)
    }

    /// Returns the server that has a partition.
    pub(super) fn of(&self, partition: Partition) -> RedisResult<Arc<Server>> {
        let server = self.map().server(slot(&partition.to_string()));
        let nobody = ErrorKind::Server(ServerErrorKind::ClusterDown);
        server.ok_or_else(|| (nobody, "no server has this part of the state").into())
    }

    /// Returns every server, once.
    pub(super) fn all(&self) -> Vec<Arc<Server>> {
        let mut all: Vec<Arc<Server>> = Vec::new();
        for (_, server) in &self.map().0 {
            if let Some(server) = server
                && all.iter().all(|known| known.address() != server.address())
            {
                all.push(server.clone());
            }
        }
        all
    }

    /// Returns a receiver that wakes whenever slots have moved to another server.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn map(&self) -> Arc<Map> {
        // Nothing that can panic runs under this lock.
        let map = self.map.read();
        map.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for a look-up, and returns once one has succeeded or failed.
    pub(super) async fn look_again(&self) {
        let mut lookups = self.lookups.subscribe();
        self.asked.notify_one();
        // This can't fail: `self` holds the sender.
        let _ = lookups.changed().await;
    }

    /// Asks for a look-up without waiting for it.
    pub(super) fn suspect(&self) {
        self.asked.notify_one();
    }

    async fn stay_current(self: Arc<Self>) {
        let mut told = None;
        loop {
            tokio::select! {
                () = self.asked.notified() => {}
                () = sleep(RECHECK) => {}
            }
            match self.refresh().await {
                Ok(()) => told = None,
                Err(error) if error.kind() == UNGUARDED && told != Some(error.to_string()) => {
                    tracing::error!(
                        %error,
                        "refused a server of Redis that a Sentinel or the Cluster names"
                    );
                    told = Some(error.to_string());
                }
                // The map stays as it is until the next look-up: after `RECHECK`, or once a command
                // fails.
                Err(_) => {}
            }
            self.lookups.send_modify(|count| *count += 1);
            sleep(FRESH).await;
        }
    }

    async fn refresh(&self) -> RedisResult<()> {
        let found = self.ask().await?;
        let before = self.map();
        let mut after = Map::default();
        for (last, info) in found {
            let new = |info| Arc::new(Server::new(info, self.source.role()));
            let server = info.map(|info| before.known(&info).unwrap_or_else(|| new(info)));
            after.0.push((last, server));
        }
        let changed = before.addresses() != after.addresses();
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(after);
        if changed {
            self.changes.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// Asks for the ranges of slots: the last slot of each, and how to connect to its server;
    /// `None` where no server owns the range.
    async fn ask(&self) -> RedisResult<Vec<(u16, Option<ConnectionInfo>)>> {
        let who = match &self.source.kind {
            Kind::One(info) => return Ok(vec![(SLOTS - 1, Some(info.clone()))]),
            Kind::Sentinel { sentinels, .. } => sentinels.clone(),
            Kind::Cluster(seeds) => {
                let known = self.map();
                let known = known.0.iter().filter_map(|(_, server)| server.as_ref());
                let mut who = seeds.clone();
                who.extend(known.map(|server| server.info.clone()));
                who
            }
        };
        let first = self.turn.fetch_add(1, Relaxed) % who.len();
        let mut left = who[first..].iter().chain(&who[..first]);
        let (mut asked, mut next) = (FuturesUnordered::new(), interval(LOOKUP_STAGGER));
        let mut last_error = RedisError::from((ErrorKind::Io, "nobody knows where the state is"));
        loop {
            tokio::select! {
                Some(answer) = asked.next() => match answer {
                    Ok(Ok(found)) => return Ok(found),
                    Ok(Err(error)) => last_error = error,
                    Err(_) => last_error = (ErrorKind::Io, "no answer in time").into(),
                },
                _ = next.tick() => {}
            }
            match left.next() {
                Some(info) => asked.push(timeout(LOOKUP_TIMEOUT, self.source.ask(info))),
                None if asked.is_empty() => return Err(last_error),
                None => {}
            }
        }
    }
}

/// Returns the settings of a connection over which the server can send unasked.
pub(super) fn with_pushes(info: &ConnectionInfo) -> ConnectionInfo {
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    info.clone().set_redis_settings(settings)
}

/// Returns the slot of a key's hash tag: its CRC-16 (XMODEM), as the specification of Redis Cluster
/// says.
fn slot(tag: &str) -> u16 {
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot("123456789"), 0x31C3 % SLOTS);
        assert_eq!(slot(""), 0);
    }
}

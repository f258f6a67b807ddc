//! Which server has which partition: the only server, the primary that Sentinels name, or the
//! primaries of a Cluster.

mod source;

use self::source::Source;
use crate::store::Partition;
use anyhow::Context;
use redis::{
    Client, ConnectionInfo, ErrorKind, RedisError, RedisResult, ServerErrorKind,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
};
use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, timeout},
};

/// How long Redis may take to answer. Past that the outcome of a commit is unknown.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the map of servers is not looked up again, however many callers ask.
const FRESH: Duration = Duration::from_millis(100);
const SLOTS: u16 = 16_384;

/// The map of partitions to servers, and how to look it up.
pub(super) struct Servers {
    source: Source,
    map: RwLock<Arc<Map>>,
    /// When the map was last looked up.
    asked: Mutex<Option<Instant>>,
    /// The index of the address to ask first.
    turn: AtomicUsize,
    /// Counts how often the map has changed.
    changes: watch::Sender<u64>,
}

/// One server.
pub(super) struct Server {
    pub(super) info: ConnectionInfo,
    pub(super) connection: ConnectionManager,
}

impl Server {
    fn new(info: ConnectionInfo) -> RedisResult<Self> {
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_millis(500));
        let client = Client::open(info.clone())?;
        let connection = ConnectionManager::new_lazy_with_config(client, config)?;
        Ok(Self { info, connection })
    }

    /// Its address.
    pub(super) fn address(&self) -> String {
        self.info.addr().to_string()
    }
}

/// The servers in the order of their slots, each with the last slot that it has.
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
    /// Reads the URL and finds the servers.
    pub(super) async fn find(url: &str) -> anyhow::Result<Self> {
        let servers = Self {
            source: Source::parse(url).context("the URL of Redis is malformed")?,
            map: RwLock::default(),
            asked: Mutex::default(),
            turn: AtomicUsize::new(0),
            changes: watch::Sender::new(0),
        };
        servers
            .refresh()
            .await
            .with_context(|| format!("cannot reach Redis at {}", servers.source))?;
        Ok(servers)
    }

    /// Describes the servers for people, without credentials.
    pub(super) fn describe(&self) -> String {
        self.source.to_string()
    }

    /// The server that has a partition.
    pub(super) fn of(&self, partition: Partition) -> RedisResult<Arc<Server>> {
        let server = self.map().server(slot(&partition.to_string()));
        let nobody = ErrorKind::Server(ServerErrorKind::ClusterDown);
        server.ok_or_else(|| (nobody, "no server has this part of the state").into())
    }

    /// Every server, once.
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

    /// Wakes whenever a partition has moved to another server.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn map(&self) -> Arc<Map> {
        // Nothing that can panic runs under this lock.
        let map = self.map.read();
        map.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks up which server has which slots, unless that has just been done.
    pub(super) async fn refresh(&self) -> RedisResult<()> {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        let found = self.ask().await;
        *asked = Some(Instant::now());
        let before = self.map();
        let mut after = Map::default();
        for (last, info) in found? {
            let server = match info {
                Some(info) => Some(match before.known(&info) {
                    Some(server) => server,
                    None => Arc::new(Server::new(info)?),
                }),
                None => None,
            };
            after.0.push((last, server));
        }
        let changed = before.addresses() != after.addresses();
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(after);
        if changed {
            self.changes.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// The servers, each with the last slot that it has; `None` where no server owns the range.
    async fn ask(&self) -> RedisResult<Vec<(u16, Option<ConnectionInfo>)>> {
        let who = match &self.source {
            Source::One(info) => return Ok(vec![(SLOTS - 1, Some(info.clone()))]),
            Source::Sentinel { sentinels, .. } => sentinels.clone(),
            Source::Cluster(seeds) => {
                let known = self.map();
                let known = known.0.iter().filter_map(|(_, server)| server.as_ref());
                let mut who = seeds.clone();
                who.extend(known.map(|server| server.info.clone()));
                who
            }
        };
        let first = self.turn.fetch_add(1, Relaxed) % who.len();
        let mut last_error = RedisError::from((ErrorKind::Io, "nobody knows where the state is"));
        for info in who[first..].iter().chain(&who[..first]) {
            let asked = timeout(RESPONSE_TIMEOUT, self.source.ask(info)).await;
            match asked {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(error)) => last_error = error,
                Err(_) => last_error = (ErrorKind::Io, "no answer in time").into(),
            }
        }
        // Ask another address next time.
        Err(last_error)
    }
}

/// Opens a separate connection.
pub(super) async fn dial(info: &ConnectionInfo) -> RedisResult<MultiplexedConnection> {
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(CONNECT_TIMEOUT));
    Client::open(info.clone())?.get_multiplexed_async_connection_with_config(&config).await
}

/// The slot of a key's hash tag: CRC-16 (XMODEM), as the Cluster specification has it.
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

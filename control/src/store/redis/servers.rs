//! Which server has which part of the state: one for all of it, the one that Sentinels name, or
//! the primaries of a Cluster.

use crate::store::Partition;
use anyhow::{Context, bail};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisError, RedisResult, ServerErrorKind, Value,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
    cmd, from_redis_value,
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
/// How long an answer to "who has what?" holds, however many ask.
const FRESH: Duration = Duration::from_millis(100);
const SLOTS: u16 = 16_384;

/// See the module.
pub(super) struct Servers {
    source: Source,
    map: RwLock<Arc<Map>>,
    /// When it was last asked who has what.
    asked: Mutex<Option<Instant>>,
    /// Which of those who know is asked first.
    turn: AtomicUsize,
    /// Counts how often the map has changed.
    changes: watch::Sender<u64>,
}

/// Who knows where the state is.
enum Source {
    One(ConnectionInfo),
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        name: String,
        settings: RedisConnectionInfo,
    },
    Cluster(Vec<ConnectionInfo>),
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

/// The servers by the last slot that each has, in order.
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

    /// Where the state is, for people; without credentials.
    pub(super) fn describe(&self) -> String {
        self.source.to_string()
    }

    /// The server that has a partition.
    pub(super) fn of(&self, partition: Partition) -> RedisResult<Arc<Server>> {
        let server = self.map().server(slot(&partition.to_string()));
        let nobody = ErrorKind::Server(ServerErrorKind::ClusterDown);
        server.ok_or_else(|| (nobody, "no server has this part of the state").into())
    }

    /// Wakes whenever another server has a part of the state.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn map(&self) -> Arc<Map> {
        // Nothing that can panic runs under this lock.
        let map = self.map.read();
        map.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks who has what, unless somebody did just now.
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

    /// The servers by the last slot that each has; of none that nobody has.
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
        // The next to be asked is another.
        Err(last_error)
    }
}

impl Source {
    /// `redis://host:port/db`, `unix:///path`, `redis-sentinel://a:26379,b:26379/name/db`, or
    /// `redis-cluster://a:6379,b:6379`; with `user:password@` before the hosts.
    fn parse(url: &str) -> anyhow::Result<Self> {
        let hosts = |rest: &str, port: u16| -> anyhow::Result<Vec<ConnectionInfo>> {
            let (user, hosts) = rest.rsplit_once('@').unwrap_or(("", rest));
            let at = if user.is_empty() { "" } else { "@" };
            let infos = hosts.split(',').map(|host| {
                let port = if has_port(host) {
                    String::new()
                } else {
                    format!(":{port}")
                };
                let url = format!("redis://{user}{at}{host}{port}/");
                url.into_connection_info().map_err(anyhow::Error::from)
            });
            infos.collect()
        };
        if let Some(rest) = url.strip_prefix("redis-cluster://") {
            return Ok(Self::Cluster(hosts(rest.trim_end_matches('/'), 6379)?));
        }
        if let Some(rest) = url.strip_prefix("redis-sentinel://") {
            let (list, path) = rest.split_once('/').unwrap_or((rest, ""));
            let (name, db) = path.split_once('/').unwrap_or((path, "0"));
            if name.is_empty() {
                bail!("name the primary: redis-sentinel://host:26379/name");
            }
            let sentinels = hosts(list, 26379)?;
            let first = sentinels.first().context("name a Sentinel")?;
            // The credentials are the primary's: Sentinels seldom have any.
            let settings = first.redis_settings().clone().set_db(db.parse()?);
            let bare =
                |info: ConnectionInfo| info.set_redis_settings(RedisConnectionInfo::default());
            return Ok(Self::Sentinel {
                sentinels: sentinels.into_iter().map(bare).collect(),
                name: name.to_owned(),
                settings,
            });
        }
        Ok(Self::One(url.into_connection_info()?))
    }

    /// Asks one of those who know.
    async fn ask(&self, who: &ConnectionInfo) -> RedisResult<Vec<(u16, Option<ConnectionInfo>)>> {
        let mut connection = dial(who).await?;
        match self {
            Self::One(info) => Ok(vec![(SLOTS - 1, Some(info.clone()))]),
            Self::Sentinel { name, settings, .. } => {
                let (host, port): (String, u16) = cmd("SENTINEL")
                    .arg("GET-MASTER-ADDR-BY-NAME")
                    .arg(name)
                    .query_async(&mut connection)
                    .await?;
                let address = ConnectionAddr::Tcp(host, port);
                let info = who.clone().set_addr(address);
                let info = info.set_redis_settings(settings.clone());
                // A Sentinel may be late to know.
                let role: Vec<Value> = cmd("ROLE").query_async(&mut dial(&info).await?).await?;
                let role = role.into_iter().next().map(from_redis_value::<String>);
                match role.transpose()?.as_deref() {
                    Some("master") => Ok(vec![(SLOTS - 1, Some(info))]),
                    _ => Err((ErrorKind::Io, "whom the Sentinels name is no primary").into()),
                }
            }
            Self::Cluster(_) => {
                let slots: Vec<Vec<Value>> = cmd("CLUSTER")
                    .arg("SLOTS")
                    .query_async(&mut connection)
                    .await?;
                let mut ranges = slots
                    .into_iter()
                    .map(|range| read_range(range, who))
                    .collect::<RedisResult<Vec<_>>>()?;
                ranges.sort_unstable_by_key(|(first, ..)| *first);
                let (mut map, mut next) = (Vec::new(), 0);
                for (first, last, info) in ranges {
                    if first > next {
                        map.push((first - 1, None));
                    }
                    map.push((last, Some(info)));
                    next = last + 1;
                }
                Ok(map)
            }
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |infos: &[ConnectionInfo]| {
            let addresses = infos.iter().map(|info| info.addr().to_string());
            addresses.collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::One(info) => write!(f, "{}", info.addr()),
            Self::Sentinel {
                sentinels, name, ..
            } => write!(f, "{name} of the Sentinels {}", list(sentinels)),
            Self::Cluster(seeds) => write!(f, "the Cluster of {}", list(seeds)),
        }
    }
}

/// A connection of one's own.
pub(super) async fn dial(info: &ConnectionInfo) -> RedisResult<MultiplexedConnection> {
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(CONNECT_TIMEOUT));
    Client::open(info.clone())?
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

/// First slot, last slot, and the primary that has them.
fn read_range(
    range: Vec<Value>,
    asked: &ConnectionInfo,
) -> RedisResult<(u16, u16, ConnectionInfo)> {
    let mut range = range.into_iter();
    let mut next = || range.next().unwrap_or(Value::Nil);
    let (first, last) = (from_redis_value(next())?, from_redis_value(next())?);
    let mut primary = Vec::<Value>::from_redis_value(next())?.into_iter();
    let host: Option<String> = from_redis_value(primary.next().unwrap_or(Value::Nil))?;
    let port: u16 = from_redis_value(primary.next().unwrap_or(Value::Nil))?;
    // Without a host it is the one that was asked.
    let host = host
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| match asked.addr() {
            ConnectionAddr::Tcp(host, _) => host.clone(),
            _ => "127.0.0.1".to_owned(),
        });
    let info = asked.clone().set_addr(ConnectionAddr::Tcp(host, port));
    Ok((first, last, info))
}

/// Whether a host says its port; an IPv6 address stands in brackets.
fn has_port(host: &str) -> bool {
    let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
    after.contains(':')
}

/// The slot of a key's hash tag: CRC-16 (XMODEM), as the Cluster specification has it.
fn slot(tag: &str) -> u16 {
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
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

    #[test]
    fn urls_say_which_kind_of_redis() {
        let shown = |url: &str| Source::parse(url).map(|source| source.to_string());
        for (url, expected) in [
            ("redis://a:1/2", "a:1"),
            ("unix:///tmp/x.sock", "/tmp/x.sock"),
            ("redis-cluster://a:1,b", "the Cluster of a:1, b:6379"),
            ("redis-cluster://u:p@a:1/", "the Cluster of a:1"),
            (
                "redis-sentinel://:secret@a,[::1]:5/main/3",
                "main of the Sentinels a:26379, ::1:5",
            ),
        ] {
            assert_eq!(shown(url).ok().as_deref(), Some(expected), "{url}");
        }
        for wrong in [
            "",
            "http://a",
            "redis-sentinel://a",
            "redis-sentinel://a/main/x",
        ] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }
}

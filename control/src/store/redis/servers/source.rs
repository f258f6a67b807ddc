//! Parses Redis's URL, and asks Sentinels or the Cluster which servers have the state now.

use crate::store::redis::connection::{Role, must_be_primary, open};
use anyhow::{Context as _, bail};
use redis::{
    ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisResult, Value, cmd, from_redis_value,
};
use std::net::IpAddr;

/// How many slots a Cluster has.
pub(super) const SLOTS: u16 = 16_384;
/// The kind of the error about a server that is not protected.
pub(super) const UNGUARDED: ErrorKind = ErrorKind::InvalidClientConfig;

/// Where to ask which servers have the state.
#[derive(Clone)]
pub(crate) struct Source {
    pub(super) kind: Kind,
    /// Whether servers on other machines may have no TLS or no password.
    plaintext: bool,
}

#[derive(Clone)]
pub(super) enum Kind {
    One(ConnectionInfo),
    Sentinel { sentinels: Vec<ConnectionInfo>, name: String, settings: RedisConnectionInfo },
    Cluster(Vec<ConnectionInfo>),
}

impl Source {
    /// Parses `redis://host:port/db`, `unix:///path`, `redis-sentinel://a:26379,b:26379/name/db`,
    /// or `redis-cluster://a:6379,b:6379`. All but `unix` may have `user:password@` before the
    /// hosts; for TLS, they begin with `rediss` in place of `redis`. `?sentinel_user=` and
    /// `?sentinel_password=` are the Sentinels' credentials. With `plaintext`, servers on other
    /// machines need no TLS and no password.
    pub(crate) fn parse(url: &str, plaintext: bool) -> anyhow::Result<Self> {
        let kind = Kind::parse(url).context("the URL of Redis is malformed")?;
        let source = Self { kind, plaintext };
        match &source.kind {
            Kind::One(info) => source.check(info)?,
            Kind::Cluster(seeds) => seeds.iter().try_for_each(|seed| source.check(seed))?,
            Kind::Sentinel { sentinels, settings, .. } => {
                let with_password =
                    |info: &ConnectionInfo| info.clone().set_redis_settings(settings.clone());
                sentinels.iter().map(with_password).try_for_each(|info| source.check(&info))?;
            }
        }
        Ok(source)
    }

    /// Refuses a server on another machine without TLS or without a password, unless `plaintext`
    /// allows it.
    fn check(&self, info: &ConnectionInfo) -> RedisResult<()> {
        if self.plaintext || is_guarded(info) {
            return Ok(());
        }
        let detail = format!(
            "{} is on another machine and has no password or no TLS: put both into the URL \
             (rediss://user:password@host), or say --redis-plaintext if the network is yours alone",
            info.addr()
        );
        Err((UNGUARDED, "Redis is not protected", detail).into())
    }

    /// Returns the role that the servers must have.
    pub(super) fn role(&self) -> Role {
        match self.kind {
            Kind::Sentinel { .. } => Role::Primary,
            Kind::One(_) | Kind::Cluster(_) => Role::Any,
        }
    }

    /// Asks one address which server has which slots.
    pub(super) async fn ask(
        &self,
        who: &ConnectionInfo,
    ) -> RedisResult<Vec<(u16, Option<ConnectionInfo>)>> {
        let mut connection = open(who).await?;
        match &self.kind {
            Kind::One(info) => Ok(vec![(SLOTS - 1, Some(info.clone()))]),
            Kind::Sentinel { name, settings, .. } => {
                let (host, port): (String, u16) = cmd("SENTINEL")
                    .arg("GET-MASTER-ADDR-BY-NAME")
                    .arg(name)
                    .query_async(&mut connection)
                    .await?;
                let info = beside(who, host, port);
                let info = info.set_redis_settings(settings.clone());
                self.check(&info)?;
                // A Sentinel may not know of a failover yet.
                must_be_primary(&mut open(&info).await?).await?;
                Ok(vec![(SLOTS - 1, Some(info))])
            }
            Kind::Cluster(_) => {
                let slots: Vec<Vec<Value>> =
                    cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await?;
                let mut ranges = slots
                    .into_iter()
                    .map(|range| read_range(range, who))
                    .collect::<RedisResult<Vec<_>>>()?;
                ranges.sort_unstable_by_key(|(first, ..)| *first);
                let (mut map, mut next) = (Vec::new(), 0);
                for (first, last, info) in ranges {
                    self.check(&info)?;
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

impl Kind {
    fn parse(url: &str) -> anyhow::Result<Self> {
        let tls = if url.starts_with("rediss") { "s" } else { "" };
        let after = |scheme: &str| {
            let (named, rest) = url.split_once("://")?;
            (named == format!("redis{tls}-{scheme}")).then_some(rest)
        };
        let hosts = |user: &str, hosts: &str, port: u16| -> anyhow::Result<Vec<ConnectionInfo>> {
            let at = if user.is_empty() { "" } else { "@" };
            let infos = hosts.split(',').map(|host| {
                let port = if has_port(host) { String::new() } else { format!(":{port}") };
                let url = format!("redis{tls}://{user}{at}{host}{port}/");
                url.into_connection_info().map_err(anyhow::Error::from)
            });
            infos.collect()
        };
        if let Some(rest) = after("cluster") {
            let (user, list) = rest.rsplit_once('@').unwrap_or(("", rest));
            return Ok(Self::Cluster(hosts(user, list.trim_end_matches('/'), 6379)?));
        }
        if let Some(rest) = after("sentinel") {
            let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
            let (list, path) = rest.split_once('/').unwrap_or((rest, ""));
            let (user, list) = list.rsplit_once('@').unwrap_or(("", list));
            let (name, db) = path.split_once('/').unwrap_or((path, "0"));
            if name.is_empty() {
                bail!("name the primary: redis-sentinel://host:26379/name");
            }
            // The credentials before the hosts are for the primary.
            let primary = hosts(user, list, 26379)?;
            let primary = primary.first().context("name a Sentinel")?;
            return Ok(Self::Sentinel {
                sentinels: hosts(&sentinel_user(query)?, list, 26379)?,
                name: name.to_owned(),
                settings: primary.redis_settings().clone().set_db(db.parse()?),
            });
        }
        Ok(Self::One(url.into_connection_info()?))
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |infos: &[ConnectionInfo]| {
            let addresses = infos.iter().map(|info| info.addr().to_string());
            addresses.collect::<Vec<_>>().join(", ")
        };
        match &self.kind {
            Kind::One(info) => write!(f, "{}", info.addr()),
            Kind::Sentinel { sentinels, name, .. } => {
                write!(f, "{name} of the Sentinels {}", list(sentinels))
            }
            Kind::Cluster(seeds) => write!(f, "the Cluster of {}", list(seeds)),
        }
    }
}

/// Returns the Sentinels' credentials as they stand before the host in a URL; empty without a
/// password.
fn sentinel_user(query: &str) -> anyhow::Result<String> {
    let (mut user, mut password) = ("", None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sentinel_user", value)) => user = value,
            Some(("sentinel_password", value)) => password = Some(value),
            _ => bail!("after the `?`, only sentinel_user=… and sentinel_password=… are allowed"),
        }
    }
    Ok(password.map_or_else(String::new, |password| format!("{user}:{password}")))
}

/// Parses a range of CLUSTER SLOTS: its first slot, its last slot, and the primary that has them.
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
    // An empty host means the server that was asked.
    let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| match asked.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => "127.0.0.1".to_owned(),
    });
    Ok((first, last, beside(asked, host, port)))
}

/// Returns how to connect to another server with the TLS and the credentials of `known`.
fn beside(known: &ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let address = match known.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    known.clone().set_addr(address)
}

/// Whether a server is on this machine, or has TLS and a password.
fn is_guarded(info: &ConnectionInfo) -> bool {
    match info.addr() {
        ConnectionAddr::Tcp(host, _) => is_this_machine(host),
        ConnectionAddr::TcpTls { host, .. } => {
            let password = info.redis_settings().password();
            is_this_machine(host) || password.is_some_and(|password| !password.is_empty())
        }
        _ => true,
    }
}

/// Whether a host is this machine. An IPv6 address may be in brackets.
pub(crate) fn is_this_machine(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Whether a port follows the host. An IPv6 address must be in brackets.
fn has_port(host: &str) -> bool {
    let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
    after.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_which_kind_of_redis() {
        let shown = |url: &str| Source::parse(url, true).map(|source| source.to_string());
        for (url, expected) in [
            ("redis://a:1/2", "a:1"),
            ("unix:///tmp/x.sock", "/tmp/x.sock"),
            ("redis-cluster://a:1,b", "the Cluster of a:1, b:6379"),
            ("redis-cluster://u:p@a:1/", "the Cluster of a:1"),
            ("rediss://a:1/2", "a:1"),
            ("rediss-cluster://a,b:2", "the Cluster of a:6379, b:2"),
            ("rediss-sentinel://a/main", "main of the Sentinels a:26379"),
            ("redis-sentinel://:secret@a,[::1]:5/main/3", "main of the Sentinels a:26379, ::1:5"),
        ] {
            assert_eq!(shown(url).ok().as_deref(), Some(expected), "{url}");
        }
        for wrong in [
            "",
            "http://a",
            "redis-sentinel://a",
            "redis-sentinel://a/main/x",
            "redisss-cluster://a",
        ] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_redis_elsewhere_has_tls_and_a_password() {
        for guarded in [
            "redis://127.0.0.1:6379/",
            "redis://localhost",
            "redis-cluster://[::1]:1,127.0.0.1:2",
            "unix:///run/redis.sock",
            "rediss://:secret@redis.internal/",
            "rediss-sentinel://u:secret@a:1,b:2/name",
        ] {
            assert!(Source::parse(guarded, false).is_ok(), "{guarded}");
        }
        for open in [
            "redis://redis.internal:6379/",
            "redis://:secret@redis.internal",
            "rediss://redis.internal",
            "redis-cluster://127.0.0.1:1,10.0.0.1:2",
            "rediss-sentinel://a:1/name",
        ] {
            assert!(Source::parse(open, false).is_err(), "{open}");
            assert!(Source::parse(open, true).is_ok(), "{open}");
        }
    }
}

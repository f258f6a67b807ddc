//! Control's settings: each is a flag and an environment variable, read once at the start.

use crate::{
    key::settings::MIN_LENGTH,
    limits::{Limits, MAX_HOOK_BYTES},
};
use arizuko_proto::{duration, private, tls::ServerFiles};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// The flags of control, and the variables that set them.
#[derive(clap::Args, Clone)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, env = "ARIZUKO_CONTROL_LISTEN", default_value = "127.0.0.1:7070")]
    pub listen: SocketAddr,
    /// What the minted URLs begin with; `{root}` stands for the tenant.
    #[arg(long, env = "ARIZUKO_PUBLIC_URL", default_value = "http://127.0.0.1:8080")]
    pub public_url: String,
    /// Redis to keep the state in: redis://host:6379/, redis-sentinel://host:26379,host:26379/name
    /// or redis-cluster://host:6379,host:6379; unix:///path. Over TLS each begins with rediss.
    #[arg(long, env = "ARIZUKO_REDIS", hide_env_values = true)]
    pub redis: Option<String>,
    /// File with the URL of Redis, in place of --redis: a URL with a password shows in `ps`.
    #[arg(long, env = "ARIZUKO_REDIS_FILE", value_name = "FILE")]
    pub redis_file: Option<PathBuf>,
    /// Use a Redis on another machine without TLS or without a password.
    #[arg(long, env = "ARIZUKO_REDIS_PLAINTEXT")]
    pub redis_plaintext: bool,
    /// What every key in Redis begins with.
    #[arg(long, env = "ARIZUKO_REDIS_PREFIX", default_value = "arizuko")]
    pub redis_prefix: String,
    /// Which servers must have a commit before it counts: `primary`; `replica`: one replica as well;
    /// `replica:2`: two replicas as well.
    #[arg(long, env = "ARIZUKO_DURABILITY", default_value = "primary")]
    pub durability: Durability,
    /// Folder of the embedded store, where there is no Redis.
    #[arg(long, env = "ARIZUKO_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Number of partitions of a store that is used for the first time.
    #[arg(long, env = "ARIZUKO_PARTITIONS", default_value_t = 256)]
    pub partitions: u16,
    /// The first operator's key: at least 32 characters. Needed until an operator has another one.
    #[arg(long, env = "ARIZUKO_OPERATOR_KEY", hide_env_values = true)]
    pub operator_key: Option<String>,
    /// File with the first operator's key, in place of --operator-key, which shows in `ps`.
    #[arg(long, env = "ARIZUKO_OPERATOR_KEY_FILE", value_name = "FILE")]
    pub operator_key_file: Option<PathBuf>,
    /// The first gateway's key: at least 32 characters. Needed until a gateway has another one.
    #[arg(long, env = "ARIZUKO_GATEWAY_KEY", hide_env_values = true)]
    pub gateway_key: Option<String>,
    /// File with the first gateway's key, in place of --gateway-key, which shows in `ps`.
    #[arg(long, env = "ARIZUKO_GATEWAY_KEY_FILE", value_name = "FILE")]
    pub gateway_key_file: Option<PathBuf>,
    /// The certificate to serve TLS with.
    #[command(flatten)]
    pub tls: ServerFiles,
    /// Let in only those who show a certificate by an authority in this file, PEM.
    #[arg(long, env = "ARIZUKO_CLIENT_CA", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Listen without TLS on an address other than loopback.
    #[arg(long, env = "ARIZUKO_PLAINTEXT")]
    pub plaintext: bool,
    /// How long open streams may take to end at shutdown.
    #[arg(long, env = "ARIZUKO_GRACE", default_value = "20s", value_name = "DURATION", value_parser = duration::parse)]
    pub grace: Duration,
    /// The figures that bound what others can do.
    #[command(flatten)]
    pub limits: Limits,
}

/// What has to have a commit before anybody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The primary.
    Primary,
    /// So many of its replicas as well.
    Replica(usize),
}

impl Durability {
    pub(crate) fn replicas(self) -> usize {
        match self {
            Self::Primary => 0,
            Self::Replica(count) => count,
        }
    }
}

impl std::str::FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "say primary, replica, or how many: replica:2".to_owned();
        match text.split_once(':') {
            None if text == "primary" => Ok(Self::Primary),
            None if text == "replica" => Ok(Self::Replica(1)),
            Some(("replica", count)) => match count.parse() {
                Ok(count @ 1..) => Ok(Self::Replica(count)),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}

impl Options {
    /// Reads the files of secrets.
    ///
    /// # Errors
    /// A secret is given twice, or its file can't be read or is open to others.
    pub(crate) fn read_files(&mut self) -> anyhow::Result<()> {
        for (flag, secret, file) in [
            ("--redis", &mut self.redis, &self.redis_file),
            ("--operator-key", &mut self.operator_key, &self.operator_key_file),
            ("--gateway-key", &mut self.gateway_key, &self.gateway_key_file),
        ] {
            let Some(file) = file else { continue };
            anyhow::ensure!(secret.is_none(), "give either {flag} or {flag}-file, not both");
            *secret = Some(private::read(file)?);
        }
        Ok(())
    }

    /// Refuses what can't work, with a sentence that says what to do.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.redis.is_some() || self.data_dir.is_some(),
            "where should the state be kept? Say --redis <url>, or --data-dir <folder> for the embedded store"
        );
        anyhow::ensure!(
            self.redis.is_some() || self.durability == Durability::Primary,
            "the embedded store has no replicas: leave out --durability"
        );
        for (name, key) in [("operator", &self.operator_key), ("gateway", &self.gateway_key)] {
            let long = key.as_ref().is_none_or(|key| key.len() >= MIN_LENGTH);
            anyhow::ensure!(long, "the {name}'s key is shorter than 32 characters");
        }
        anyhow::ensure!(
            self.operator_key.is_none() || self.operator_key != self.gateway_key,
            "the operator's key and the gateway's are the same; they must differ"
        );
        anyhow::ensure!(
            self.listen.ip().is_loopback() || self.plaintext || self.tls.are_named(),
            "{} is not loopback and keys would travel in the clear: name a certificate with --tls-cert and --tls-key, \
             or say --plaintext if the network is yours alone",
            self.listen
        );
        anyhow::ensure!(
            !self.plaintext || !self.tls.are_named(),
            "--plaintext and --tls-cert don't go together"
        );
        anyhow::ensure!(
            self.redis_plaintext || self.redis.as_deref().is_none_or(is_guarded),
            "Redis is on another machine and has no password or no TLS: put both into its URL \
             (rediss://user:password@host), or say --redis-plaintext if the network is yours alone"
        );
        let scheme =
            self.public_url.starts_with("http://") || self.public_url.starts_with("https://");
        anyhow::ensure!(scheme, "--public-url begins with https:// or http://");
        anyhow::ensure!(
            !self.redis_prefix.contains(['{', '}']),
            "--redis-prefix has no braces: they say which part of a key a Cluster places it by"
        );
        anyhow::ensure!(
            self.limits.hook_bytes <= MAX_HOOK_BYTES,
            "--hook-bytes is at most {MAX_HOOK_BYTES} (16 MiB)"
        );
        anyhow::ensure!(self.partitions > 0, "--partitions is at least 1");
        Ok(())
    }
}

/// Whether a Redis is on this machine, or has TLS and a password.
fn is_guarded(url: &str) -> bool {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let is_local = |host: &str| {
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    };
    let has_password = user.split_once(':').is_some_and(|(_, password)| !password.is_empty());
    scheme.starts_with("unix")
        || scheme.starts_with("redis+unix")
        || hosts.split(',').all(is_local)
        || (scheme.starts_with("rediss") && has_password)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        options: Options,
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
            assert!(is_guarded(guarded), "{guarded}");
        }
        for open in [
            "redis://redis.internal:6379/",
            "redis://:secret@redis.internal",
            "rediss://redis.internal",
            "redis-cluster://127.0.0.1:1,10.0.0.1:2",
        ] {
            assert!(!is_guarded(open), "{open}");
        }
    }

    #[test]
    fn keys_leave_the_machine_with_tls_or_by_leave() {
        let says = |flags: &[&str]| {
            let flags = [&["control", "--data-dir", "/d", "--listen", "192.0.2.1:7070"], flags];
            let alone = Alone::try_parse_from(flags.concat()).unwrap();
            alone.options.check().map_err(|error| error.to_string())
        };
        let tls = ["--tls-cert", "c", "--tls-key", "k"];
        let told = says(&[]).unwrap_err();
        assert!(told.contains("--tls-cert") && told.contains("--plaintext"), "{told}");
        assert_eq!(says(&tls), Ok(()));
        assert_eq!(says(&["--plaintext"]), Ok(()));
        let told = says(&[&tls[..], &["--plaintext"]].concat()).unwrap_err();
        assert!(told.contains("don't go together"), "{told}");
    }
}

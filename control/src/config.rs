//! Control's settings: each is a flag and an environment variable, read once at the start.

use crate::limits::Limits;
use arizuko_proto::{duration, tls::ServerFiles};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

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
    /// The first operator's key: at least 32 characters.
    #[arg(long, env = "ARIZUKO_OPERATOR_KEY", hide_env_values = true)]
    pub operator_key: Option<String>,
    /// The first gateway's key: at least 32 characters.
    #[arg(long, env = "ARIZUKO_GATEWAY_KEY", hide_env_values = true)]
    pub gateway_key: Option<String>,
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
        anyhow::ensure!(
            self.redis.is_none() || (self.operator_key.is_some() && self.gateway_key.is_some()),
            "with Redis the first keys come from the environment: set ARIZUKO_OPERATOR_KEY and ARIZUKO_GATEWAY_KEY, \
             each at least 32 random characters"
        );
        for (name, key) in [("operator", &self.operator_key), ("gateway", &self.gateway_key)] {
            let long = key.as_ref().is_none_or(|key| key.len() >= 32);
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
        let scheme =
            self.public_url.starts_with("http://") || self.public_url.starts_with("https://");
        anyhow::ensure!(scheme, "--public-url begins with https:// or http://");
        anyhow::ensure!(
            !self.redis_prefix.contains(['{', '}']),
            "--redis-prefix has no braces: they say which part of a key a Cluster places it by"
        );
        anyhow::ensure!(self.partitions > 0, "--partitions is at least 1");
        Ok(())
    }
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

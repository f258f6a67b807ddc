//! The settings of a store in Redis.

use crate::store::redis::is_this_machine;
use arizuko_proto::private;
use std::path::PathBuf;
use tonic::codegen::http::Uri;

/// Which Redis keeps the state, and how. Without Redis, the embedded store keeps the state.
#[derive(clap::Args, Clone)]
pub struct StoreOptions {
    /// Redis to keep the state in: redis://host:6379/, unix:///path,
    /// redis-sentinel://host:26379,host:26379/name or redis-cluster://host:6379,host:6379. Over
    /// TLS, rediss takes the place of redis. Sentinels with a password:
    /// redis-sentinel://…/name?sentinel_password=….
    #[arg(
        long,
        help_heading = "Store",
        env = "ARIZUKO_REDIS",
        value_name = "URL",
        hide_env_values = true
    )]
    pub redis: Option<String>,
    /// File with the URL of Redis, in place of --redis: a URL with a password shows in `ps`.
    #[arg(long, help_heading = "Store", env = "ARIZUKO_REDIS_FILE", value_name = "FILE")]
    pub redis_file: Option<PathBuf>,
    /// Use a Redis on another machine without TLS or without a password.
    #[arg(long, help_heading = "Store", env = "ARIZUKO_REDIS_PLAINTEXT")]
    pub redis_plaintext: bool,
    /// Use a Redis whose maxmemory-policy lets it evict any key when it is full (allkeys-*).
    #[arg(long, help_heading = "Store", env = "ARIZUKO_REDIS_MAY_EVICT")]
    pub redis_may_evict: bool,
    /// Beginning of every key in Redis.
    #[arg(long, help_heading = "Store", env = "ARIZUKO_REDIS_PREFIX", default_value = "arizuko")]
    pub redis_prefix: String,
    /// Name of the deployment. A Redis prefix belongs to the deployment that used it
    /// first. The default is the public URL, unless its host is this machine.
    #[arg(long, help_heading = "Store", env = "ARIZUKO_DEPLOYMENT", value_name = "NAME")]
    pub deployment: Option<String>,
    /// Which servers must have a commit before anybody is told of it: `primary`; `replica`: one
    /// replica as well; `replica:2`: two replicas as well.
    #[arg(long, help_heading = "Store", env = "ARIZUKO_DURABILITY", default_value = "primary")]
    pub durability: Durability,
    /// Number of partitions of a store that is used for the first time.
    #[arg(long, help_heading = "Store", env = "ARIZUKO_PARTITIONS", default_value_t = 256)]
    pub partitions: u16,
}

/// Which servers must have a commit before anybody is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The primary alone.
    Primary,
    /// The primary and this many of its replicas.
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

impl StoreOptions {
    /// Reads the URL from its file.
    ///
    /// # Errors
    /// The URL is given twice, or its file can't be read or is open to others.
    pub fn read_file(&mut self) -> anyhow::Result<()> {
        let file = self.redis_file.take();
        self.redis = private::given("--redis", self.redis.take(), file.as_deref())?;
        Ok(())
    }

    pub(crate) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.redis.is_some() || self.durability == Durability::Primary,
            "the embedded store has no replicas: leave out --durability"
        );
        anyhow::ensure!(
            !self.redis_prefix.contains(['{', '}']),
            "--redis-prefix can't have braces: a Redis Cluster places a key by the part in braces"
        );
        anyhow::ensure!(self.partitions > 0, "--partitions is at least 1");
        Ok(())
    }
}

/// Returns the public URL as the deployment's name; `None` for a URL of this machine, whose port
/// may differ from start to start.
pub(crate) fn default_name(public_url: &str) -> Option<String> {
    let url = public_url.parse::<Uri>();
    // A URL with `{root}` in its host doesn't parse, and is not this machine's.
    let is_local = url.is_ok_and(|url| url.host().is_some_and(is_this_machine));
    (!is_local).then(|| public_url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::default_name;

    #[test]
    fn a_url_of_this_machine_names_no_deployment() {
        for url in ["http://localhost:7070", "http://127.0.0.1:1", "http://[::1]:8080"] {
            assert_eq!(default_name(url), None, "{url}");
        }
        for url in ["https://{root}.example", "https://localhost.example", "https://a.example:8443"]
        {
            assert_eq!(default_name(url).as_deref(), Some(url));
        }
    }
}

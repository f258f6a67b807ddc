//! The store in Redis: one Lua script commits, plain commands and a short script read, and sharded
//! pub/sub wakes.
//!
//! A key is `<prefix>:{<partition>}:<name>`: the braces make a partition one Cluster slot. A record
//! is a string: its version in 16 hexadecimal digits, a space, and its JSON. A log is a list; each
//! entry is its seq, a space, and what was appended.

use super::channels::{Subscription, channel};
use super::{
    Batch, Commit, Cover, Found, Member, Millis, Order, Partition, Read, Record, Scanned, Store,
    StoreError, waiting::Waiting,
};
use ::redis::{
    Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, Script, ServerErrorKind, Value,
    from_redis_value,
};
use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

mod call;
mod check;
mod clock;
pub(crate) mod connection;
pub(super) mod errors;
mod replicas;
mod scan;
mod servers;
mod settings;
mod wake;

use call::{Call, outcome};
use clock::Clock;
use errors::{Explained, commit_error, is_refusal, unavailable};
use replicas::{Replicas, Voucher};
use servers::{Server, Servers};
pub(crate) use servers::{Source, is_this_machine};

/// How long a failed command waits for the look-up of its server, and how long after its start it
/// may be sent again.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a step of opening the store may take before it is tried again.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The greatest seq that a log may have. A number in Lua holds it exactly.
const LAST_SEQ: u64 = 1 << 52;
/// Reads a log, whose seqs have no gaps: KEYS is the log, ARGV the seq after which the entries come
/// and how many there are at most.
const READ_LOG: &str = "\
    local first = redis.call('LINDEX', KEYS[1], 0)\n\
    local from = first and math.max(ARGV[1] + 1 - string.match(first, '^%d+'), 0) or 0\n\
    return redis.call('LRANGE', KEYS[1], from, from + ARGV[2] - 1)";

/// The store in Redis. Clones share the connections.
#[derive(Clone)]
pub(crate) struct Redis {
    servers: Arc<Servers>,
    /// Set if nothing may be acknowledged before replicas have it.
    replicas: Option<Arc<Replicas>>,
    prefix: String,
    script: Script,
    clock: Arc<Clock>,
    wakes: Arc<wake::Wakes>,
    description: String,
}

impl Redis {
    /// Connects, and waits for a server that is out of reach. Refuses a server that is too old or
    /// that refuses a command which arizuko needs. Nothing is acknowledged before `replicas`
    /// replicas have it.
    pub(crate) async fn open(
        source: Source,
        prefix: &str,
        replicas: usize,
        waiting: &Waiting,
    ) -> anyhow::Result<Self> {
        let place = || format!("cannot use Redis at {source}");
        let servers = waiting.until(async || Servers::find(source.clone()).await).await?;
        let version =
            waiting.until(async || within(check::version(&servers)).await.with_context(place));
        let version = version.await?;
        let hearing = async || within(check::brings_wakes(&servers, prefix)).await;
        waiting.until(async || hearing().await.with_context(place)).await?;
        let replicas =
            (replicas > 0).then(|| Replicas::new(servers.clone(), prefix.to_owned(), replicas));
        let wakes = wake::Wakes::start(servers.clone(), replicas.clone());
        let opening = async || anyhow::Ok(wakes.opened(&*servers.of(0)?).await?);
        waiting.until(async || within(opening()).await.with_context(place)).await?;
        let starting = async || Clock::start(servers.clone(), prefix).await.map_err(Explained);
        let clock = waiting.until(async || starting().await.with_context(place)).await?;
        let store = Self {
            prefix: prefix.to_owned(),
            script: Script::new(include_str!("commit.lua")),
            clock,
            wakes,
            description: format!("Redis {version} at {source}, prefix {prefix}"),
            servers,
            replicas,
        };
        let checking = async || within(check::commands(&store)).await;
        waiting.until(async || checking().await.with_context(place)).await?;
        tokio::spawn(check::stay_informed(store.clone()));
        Ok(store)
    }

    /// Refuses servers that may evict any key when they are full.
    pub(crate) async fn must_not_evict(&self) -> anyhow::Result<()> {
        settings::must_not_evict(&self.servers).await
    }

    /// Waits for a voucher for the next commit or read; `None` if nothing waits for replicas.
    async fn voucher(&self, server: &Server) -> Result<Option<Voucher>, RedisError> {
        match &self.replicas {
            Some(replicas) => replicas.ready(server).await.map(Some),
            None => Ok(None),
        }
    }

    /// Returns how many callers and messages wait for replicas.
    #[cfg(test)]
    pub(crate) fn queued(&self) -> usize {
        let vouched = self.replicas.as_ref().map_or(0, |replicas| replicas.queued());
        vouched + self.wakes.queued()
    }

    fn key(&self, partition: Partition, name: &str) -> String {
        format!("{}:{{{partition}}}:{name}", self.prefix)
    }

    /// Returns the partition and the name in a key or channel; `None` if it is not this store's.
    fn parse_key<'a>(&self, key: &'a str) -> Option<(Partition, &'a str)> {
        let (partition, name) =
            key.strip_prefix(&self.prefix)?.strip_prefix(":{")?.split_once("}:")?;
        Some((partition.parse().ok()?, name))
    }

    /// Reads, and reads once more if the connection was lost or another server has the state by
    /// now. Only a failed command shows either; the second attempt uses the new connection.
    async fn ask<T: FromRedisValue>(
        &self,
        partition: Partition,
        reads: &Pipeline,
    ) -> Result<(Option<Voucher>, T), StoreError> {
        let begun = Instant::now();
        match self.ask_once(partition, reads).await {
            Err(error) if begun.elapsed() < PATIENCE && self.is_worth_another(&error).await => {
                self.ask_once(partition, reads).await
            }
            answer => answer,
        }
        .map_err(unavailable)
    }

    async fn ask_once<T: FromRedisValue>(
        &self,
        partition: Partition,
        reads: &Pipeline,
    ) -> Result<(Option<Voucher>, T), RedisError> {
        let server = self.servers.of(partition)?;
        let voucher = self.voucher(&server).await?;
        let answer = reads.query_async(&mut server.connection.clone()).await?;
        Ok((voucher, answer))
    }

    async fn commit_once(
        &self,
        batch: &Batch,
        call: &Cmd,
    ) -> Result<(Option<Voucher>, Vec<Value>), RedisError> {
        let server = self.servers.of(batch.partition)?;
        let voucher = self.voucher(&server).await?;
        let mut connection = server.connection.clone();
        let reply = match call.query_async(&mut connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                let script = self.script.prepare_invoke();
                script.load_async(&mut connection).await?;
                call.query_async(&mut connection).await
            }
            reply => reply,
        };
        Ok((voucher, reply?))
    }

    /// Looks up which server has the state, after an error that may come from the wrong server.
    /// Returns whether the next attempt may succeed at once.
    async fn is_worth_another(&self, error: &RedisError) -> bool {
        if !error.is_io_error() && !is_refusal(error) {
            return false;
        }
        // The look-up goes on even if nobody waits for it.
        let patience = if error.is_timeout() { Duration::ZERO } else { PATIENCE };
        let _ = timeout(patience, self.servers.look_again()).await;
        // After a timeout the server would probably not answer a second attempt either, so don't
        // make one.
        !error.is_timeout()
    }

    fn add_read(&self, pipeline: &mut Pipeline, partition: Partition, read: &Read) {
        match read {
            Read::Record(name) | Read::Count(name) => {
                pipeline.cmd("GET").arg(self.key(partition, name));
            }
            Read::Set { set, min, max, limit, order } => {
                let key = self.key(partition, set);
                match order {
                    Order::LowestFirst => pipeline.cmd("ZRANGEBYSCORE").arg(key).arg(min).arg(max),
                    Order::HighestFirst => {
                        pipeline.cmd("ZREVRANGEBYSCORE").arg(key).arg(max).arg(min)
                    }
                };
                pipeline.arg("WITHSCORES").arg("LIMIT").arg(0).arg(limit);
            }
            Read::Log { log, after, limit } => {
                let key = self.key(partition, log);
                let after = (*after).min(LAST_SEQ);
                pipeline.cmd("EVAL_RO").arg(READ_LOG).arg(1).arg(key).arg(after).arg(limit);
            }
        }
    }
}

/// Waits until enough replicas have what was just committed or read.
async fn cover(voucher: Option<Voucher>, partition: Partition) -> Result<(), StoreError> {
    match voucher {
        Some(voucher) => voucher.cover(partition).await,
        None => Ok(()),
    }
}

/// Fails if a step takes too long.
async fn within<T>(step: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    timeout(START_TIMEOUT, step).await.unwrap_or_else(|late| Err(late.into()))
}

#[async_trait]
impl Store for Redis {
    fn describe(&self) -> String {
        self.description.clone()
    }

    async fn remarks(&self) -> Vec<String> {
        match self.servers.of(0) {
            Ok(server) => settings::remarks(&server).await,
            Err(error) => vec![format!("Redis is out of reach: {error}")],
        }
    }

    fn now(&self) -> Millis {
        self.clock.now()
    }

    async fn load(&self, partition: Partition, reads: &[Read]) -> Result<Vec<Found>, StoreError> {
        let mut pipeline = Pipeline::new();
        for read in reads {
            self.add_read(&mut pipeline, partition, read);
        }
        let (voucher, values): (_, Vec<Value>) = self.ask(partition, &pipeline).await?;
        cover(voucher, partition).await?;
        let found = reads.iter().zip(values).map(|(read, value)| found(read, value));
        found.collect::<Result<_, _>>().map_err(unavailable)
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let (outcome, cover) = self.commit_early(batch).await?;
        cover.await?;
        Ok(outcome)
    }

    async fn commit_early(&self, batch: &Batch) -> Result<(Commit, Cover), StoreError> {
        let begun = Instant::now();
        let call = Call::new(self, batch);
        let command = call.command();
        let (voucher, reply) = match self.commit_once(batch, &command).await {
            Err(error) => {
                let again = self.is_worth_another(&error).await;
                // Only a refused commit, which was certainly not applied, is sent again.
                if !again || !is_refusal(&error) || begun.elapsed() > PATIENCE {
                    return Err(commit_error(error));
                }
                self.commit_once(batch, &command).await.map_err(commit_error)?
            }
            Ok(committed) => committed,
        };
        // A reply that is not understood doesn't say whether the batch was applied.
        let outcome = outcome(&call.names, reply);
        let outcome = outcome.map_err(|error| StoreError::Unknown(error.to_string()))?;
        Ok((outcome, cover(voucher, batch.partition).boxed()))
    }

    async fn gather(
        &self,
        name: &str,
        partitions: &[Partition],
        scores: RangeInclusive<u64>,
        limit: u32,
    ) -> Result<Vec<(Partition, Member)>, StoreError> {
        // One round trip to each server.
        let mut by_server: BTreeMap<String, Vec<Partition>> = BTreeMap::new();
        for &partition in partitions {
            let server = self.servers.of(partition).map_err(unavailable)?;
            by_server.entry(server.address()).or_default().push(partition);
        }
        let mut gathered = Vec::new();
        for partitions in by_server.into_values() {
            let mut pipeline = Pipeline::new();
            for partition in &partitions {
                let read = Read::Set {
                    set: name.to_owned(),
                    min: *scores.start(),
                    max: *scores.end(),
                    limit,
                    order: Order::LowestFirst,
                };
                self.add_read(&mut pipeline, *partition, &read);
            }
            let (_, sets): (_, Vec<Vec<(String, u64)>>) =
                self.ask(partitions[0], &pipeline).await?;
            for (partition, set) in partitions.into_iter().zip(sets) {
                let members = set.into_iter();
                gathered.extend(members.map(|(name, score)| (partition, Member { name, score })));
            }
        }
        Ok(gathered)
    }

    async fn scan(
        &self,
        kinds: &[&str],
        pages: mpsc::Sender<Vec<Scanned>>,
    ) -> Result<(), StoreError> {
        scan::scan(self, kinds, &pages).await.map_err(unavailable)
    }

    async fn upgrade_logs(&self) -> Result<(), StoreError> {
        scan::upgrade_logs(self).await.map_err(unavailable)
    }

    async fn is_watched(&self) -> Result<bool, StoreError> {
        scan::is_watched(self).await.map_err(unavailable)
    }

    async fn watch(&self, partition: Partition, topic: &str) -> Result<Subscription, StoreError> {
        let channel = format!("{}:{}", self.prefix, channel(partition, topic));
        Ok(self.wakes.watch(channel, partition, topic).await)
    }
}

fn found(read: &Read, value: Value) -> Result<Found, RedisError> {
    Ok(match read {
        Read::Record(_) => Found::Record(record(value)?),
        Read::Count(_) => Found::Count(from_redis_value::<Option<u64>>(value)?.unwrap_or(0)),
        Read::Set { .. } => {
            let members = from_redis_value::<Vec<(String, u64)>>(value)?.into_iter();
            Found::Set(members.map(|(name, score)| Member { name, score }).collect())
        }
        Read::Log { .. } => {
            let entries = from_redis_value::<Vec<Vec<u8>>>(value)?.into_iter().map(Bytes::from);
            Found::Log(entries.map(entry).collect::<Result<_, RedisError>>()?)
        }
    })
}

fn record(value: Value) -> Result<Option<Record>, RedisError> {
    // The script returns `false` for an absent record, and some protocols keep it a boolean.
    if matches!(value, Value::Boolean(false)) {
        return Ok(None);
    }
    let Some(text) = from_redis_value::<Option<String>>(value)? else {
        return Ok(None);
    };
    let (version, body) = text.split_once(' ').ok_or_else(|| malformed("a record"))?;
    let version = u64::from_str_radix(version, 16).map_err(|_| malformed("a record's version"))?;
    Ok(Some(Record { version, body: body.into() }))
}

/// Splits a stored entry of a log into its seq and its content.
fn entry(stored: Bytes) -> Result<(u64, Bytes), RedisError> {
    let space = stored.iter().position(|byte| *byte == b' ');
    let seq = space.and_then(|space| std::str::from_utf8(&stored[..space]).ok()?.parse().ok());
    match space.zip(seq) {
        Some((space, seq)) => Ok((seq, stored.slice(space + 1..))),
        None => Err(malformed("an entry of a log")),
    }
}

fn malformed(what: &'static str) -> RedisError {
    (ErrorKind::UnexpectedReturnType, what).into()
}

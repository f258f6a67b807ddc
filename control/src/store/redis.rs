//! The store in Redis: one Lua script commits, plain commands read, sharded pub/sub wakes.
//!
//! A key is `<prefix>:{<partition>}:<name>`: the braces make a partition one Cluster slot. A
//! record is a string, its version in 16 hexadecimal digits before its JSON.

use super::channels::{Subscription, channel};
use super::{
    Batch, Commit, Found, Guard, Member, Millis, Order, Partition, Read, Record, Store, StoreError,
    Write,
};
use ::redis::{
    Client, ErrorKind, FromRedisValue, Pipeline, RedisError, Script, Value,
    aio::{ConnectionManager, ConnectionManagerConfig},
    from_redis_value,
};
use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use std::{collections::HashMap, sync::Arc, time::Duration};

mod wake;

/// How long Redis may take to answer. Past that the outcome of a commit is unknown.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Redis {
    connection: ConnectionManager,
    prefix: String,
    script: Script,
    wakes: Arc<wake::Wakes>,
    description: String,
}

impl Redis {
    /// Connects, and refuses a server that is too old or out of reach.
    pub(crate) async fn open(url: &str, prefix: &str) -> anyhow::Result<Self> {
        let client = Client::open(url).context("the URL of Redis is malformed")?;
        let address = client.get_connection_info().addr().to_string();
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_millis(500));
        let mut connection = ConnectionManager::new_with_config(client.clone(), config)
            .await
            .with_context(|| format!("cannot reach Redis at {address}"))?;
        let info: ::redis::InfoDict = ::redis::cmd("INFO")
            .arg("server")
            .query_async(&mut connection)
            .await?;
        let version: String = info.get("redis_version").unwrap_or_default();
        let major: u32 = version
            .split('.')
            .next()
            .unwrap_or_default()
            .parse()
            .unwrap_or(0);
        anyhow::ensure!(
            major >= 7,
            "Redis at {address} is {version}; arizuko needs 7.0 or later"
        );
        Ok(Self {
            connection,
            prefix: prefix.to_owned(),
            script: Script::new(include_str!("commit.lua")),
            wakes: wake::Wakes::start(client, prefix.to_owned()).await?,
            description: format!("Redis {version} at {address}, prefix {prefix}"),
        })
    }

    fn key(&self, partition: Partition, name: &str) -> String {
        format!("{}:{{{partition}}}:{name}", self.prefix)
    }

    /// Reads, once more where the connection had been lost: that shows only with the next command,
    /// which fails, and from which on there is a new one.
    async fn ask<T: FromRedisValue>(&self, reads: &Pipeline) -> Result<T, StoreError> {
        let mut connection = self.connection.clone();
        let answer = match reads.query_async(&mut connection).await {
            Err(error) if error.is_io_error() && !error.is_timeout() => {
                reads.query_async(&mut connection).await
            }
            answer => answer,
        };
        answer.map_err(unavailable)
    }

    fn add_read(&self, pipeline: &mut Pipeline, partition: Partition, read: &Read) {
        match read {
            Read::Record(name) => {
                pipeline.cmd("GET").arg(self.key(partition, name));
            }
            Read::Set {
                set,
                min,
                max,
                limit,
                order,
            } => {
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
                pipeline
                    .cmd("XRANGE")
                    .arg(key)
                    .arg(format!("0-{}", after.saturating_add(1)));
                pipeline.arg("+").arg("COUNT").arg(limit);
            }
        }
    }
}

#[async_trait]
impl Store for Redis {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn now(&self) -> Millis {
        self.wakes.now()
    }

    async fn load(&self, partition: Partition, reads: &[Read]) -> Result<Vec<Found>, StoreError> {
        let mut pipeline = Pipeline::new();
        for read in reads {
            self.add_read(&mut pipeline, partition, read);
        }
        let values: Vec<Value> = self.ask(&pipeline).await?;
        let found = reads
            .iter()
            .zip(values)
            .map(|(read, value)| found(read, value));
        found.collect::<Result<_, _>>().map_err(unavailable)
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let mut call = Call::new(self, batch);
        batch.guards.iter().for_each(|guard| call.guard(guard));
        batch.writes.iter().for_each(|write| call.write(write));
        let mut invocation = self.script.prepare_invoke();
        for name in &call.names {
            invocation.key(self.key(batch.partition, name));
        }
        for arg in &call.args {
            invocation.arg(&arg[..]);
        }
        let mut connection = self.connection.clone();
        let reply: Vec<Value> = match invocation.invoke_async(&mut connection).await {
            // The last attempt to connect had failed, and this started another.
            Err(error) if error.is_connection_refusal() => {
                invocation.invoke_async(&mut connection).await
            }
            reply => reply,
        }
        .map_err(commit_error)?;
        outcome(&call.names, reply).map_err(unavailable)
    }

    async fn gather(
        &self,
        name: &str,
        partitions: Partition,
        max: u64,
        limit: u32,
    ) -> Result<Vec<(Partition, Member)>, StoreError> {
        let mut pipeline = Pipeline::new();
        for partition in 0..partitions {
            let read = Read::Set {
                set: name.to_owned(),
                min: 0,
                max,
                limit,
                order: Order::LowestFirst,
            };
            self.add_read(&mut pipeline, partition, &read);
        }
        let sets: Vec<Vec<(String, u64)>> = self.ask(&pipeline).await?;
        let members = (0..).zip(sets).flat_map(|(partition, set)| {
            set.into_iter()
                .map(move |(name, score)| (partition, Member { name, score }))
        });
        Ok(members.collect())
    }

    async fn watch(&self, partition: Partition, topic: &str) -> Result<Subscription, StoreError> {
        let channel = format!("{}:{}", self.prefix, channel(partition, topic));
        self.wakes.watch(channel, topic).await
    }
}

/// The arguments of one call of the script.
struct Call<'a> {
    store: &'a Redis,
    batch: &'a Batch,
    names: Vec<&'a str>,
    indices: HashMap<&'a str, usize>,
    args: Vec<Bytes>,
}

impl<'a> Call<'a> {
    fn new(store: &'a Redis, batch: &'a Batch) -> Self {
        let args = vec![
            text(batch.now),
            text(format_args!("{:016x}", batch.version)),
        ];
        let (names, indices) = (Vec::new(), HashMap::new());
        Self {
            store,
            batch,
            names,
            indices,
            args,
        }
    }

    fn guard(&mut self, guard: &'a Guard) {
        match guard {
            Guard::Version { record, version } => {
                let version = version.map(|v| format!("{v:016x}")).unwrap_or_default();
                self.push("v", record, [text(version)]);
            }
            Guard::Fewer { set, than } => self.push("f", set, [text(than)]),
            Guard::Rate {
                bucket,
                interval,
                burst,
            } => {
                self.push("r", bucket, [text(interval), text(burst)]);
            }
        }
    }

    fn write(&mut self, write: &'a Write) {
        match write {
            Write::Put {
                record,
                body,
                lifetime,
            } => {
                let lifetime = lifetime
                    .map(|l| l.as_millis().to_string())
                    .unwrap_or_default();
                self.push("p", record, [text(lifetime), text(body)]);
            }
            Write::Add { set, member, score } => {
                self.push("a", set, [text(score), text(member)]);
            }
            Write::Remove { set, member } => self.push("x", set, [text(member)]),
            Write::Append { log, seq, entry } => {
                self.push("l", log, [text(seq), entry.clone()]);
            }
            Write::Trim { log, through } => self.push("t", log, [text(through + 1)]),
            Write::Delete { name } => self.push("d", name, []),
            Write::Publish { topic, payload } => {
                let channel = channel(self.batch.partition, topic);
                let channel = format!("{}:{channel}", self.store.prefix);
                let payload = wake::pack(topic, payload);
                self.args.extend([text("b"), text(channel), payload]);
            }
        }
    }

    /// Adds an operation on a key, which is named by its index in KEYS.
    fn push<const N: usize>(&mut self, operation: &str, name: &'a str, operands: [Bytes; N]) {
        let next = self.names.len() + 1;
        let index = *self.indices.entry(name).or_insert(next);
        if index == next {
            self.names.push(name);
        }
        self.args.extend([text(operation), text(index)]);
        self.args.extend(operands);
    }
}

fn text(value: impl ToString) -> Bytes {
    value.to_string().into()
}

/// Reads the script's answer.
fn outcome(names: &[&str], reply: Vec<Value>) -> Result<Commit, RedisError> {
    let name = |index: Value| -> Result<String, RedisError> {
        let index: usize = from_redis_value(index)?;
        Ok(names.get(index - 1).copied().unwrap_or_default().to_owned())
    };
    let mut reply = reply.into_iter();
    let mut next = || reply.next().unwrap_or(Value::Nil);
    match from_redis_value::<String>(next())?.as_str() {
        "applied" => Ok(Commit::Applied),
        "full" => Ok(Commit::Full { set: name(next())? }),
        "limited" => Ok(Commit::Limited {
            bucket: name(next())?,
            retry_after: from_redis_value(next())?,
        }),
        _ => {
            let mut records = HashMap::new();
            let mut guarded = from_redis_value::<Vec<Value>>(next())?.into_iter();
            while let (Some(index), Some(value)) = (guarded.next(), guarded.next()) {
                records.insert(name(index)?, record(value)?);
            }
            Ok(Commit::Conflict(records))
        }
    }
}

fn found(read: &Read, value: Value) -> Result<Found, RedisError> {
    Ok(match read {
        Read::Record(_) => Found::Record(record(value)?),
        Read::Set { .. } => {
            let members = from_redis_value::<Vec<(String, u64)>>(value)?.into_iter();
            Found::Set(
                members
                    .map(|(name, score)| Member { name, score })
                    .collect(),
            )
        }
        Read::Log { .. } => {
            let entries = from_redis_value::<Vec<(String, (String, Vec<u8>))>>(value)?.into_iter();
            let entries = entries.map(|(id, (_, entry))| {
                let seq = id.strip_prefix("0-").and_then(|seq| seq.parse().ok());
                Ok((seq.ok_or_else(|| malformed("an entry's id"))?, entry.into()))
            });
            Found::Log(entries.collect::<Result<_, RedisError>>()?)
        }
    })
}

fn record(value: Value) -> Result<Option<Record>, RedisError> {
    // The script says `false` for an absent record, which some protocols keep as such.
    if matches!(value, Value::Boolean(false)) {
        return Ok(None);
    }
    let Some(text) = from_redis_value::<Option<String>>(value)? else {
        return Ok(None);
    };
    let (version, body) = text.split_once(' ').ok_or_else(|| malformed("a record"))?;
    let version = u64::from_str_radix(version, 16).map_err(|_| malformed("a record's version"))?;
    Ok(Some(Record {
        version,
        body: body.to_owned(),
    }))
}

fn malformed(what: &'static str) -> RedisError {
    (ErrorKind::UnexpectedReturnType, what).into()
}

fn unavailable(error: RedisError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// What Redis says before a script's first write is certain, as is a refused connection; silence,
/// and an error from the middle of a script, are not.
fn commit_error(error: RedisError) -> StoreError {
    const REFUSALS: [&str; 9] = [
        "OOM",
        "NOREPLICAS",
        "READONLY",
        "LOADING",
        "BUSY",
        "MASTERDOWN",
        "MISCONF",
        "CLUSTERDOWN",
        "NOAUTH",
    ];
    let refused = error.code().is_some_and(|code| REFUSALS.contains(&code));
    if refused || error.is_connection_refusal() {
        StoreError::Unavailable(error.to_string())
    } else {
        StoreError::Unknown(error.to_string())
    }
}

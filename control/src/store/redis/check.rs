//! Checks that Redis is new enough and allows all commands that arizuko needs, before they are
//! needed.

use super::{
    Redis,
    call::Call,
    connection,
    errors::Explained,
    servers::{Server, Servers, with_pushes},
};
use crate::store::{Batch, Flow, Guard, Millis, Order, Partition, Read, Write, channels::channel};
use anyhow::Context as _;
use bytes::Bytes;
use redis::{AsyncConnectionConfig, InfoDict, Pipeline, RedisError, RedisResult, Value, cmd};
use std::{sync::Arc, time::Duration};

/// Returns the version of the server that has partition 0.
///
/// # Errors
/// The version is too old, or the server cannot be asked.
pub(super) async fn version(servers: &Servers) -> anyhow::Result<String> {
    let mut connection = servers.of(0)?.connection.clone();
    let info = cmd("INFO").arg("server").query_async(&mut connection).await;
    let info: InfoDict = info.map_err(Explained)?;
    let version: String = info.get("redis_version").unwrap_or_default();
    let major: u32 = version.split('.').next().unwrap_or_default().parse().unwrap_or(0);
    anyhow::ensure!(major >= 7, "it is {version}; arizuko needs 7.0 or later");
    Ok(version)
}

/// Checks that each server speaks RESP3 and allows SSUBSCRIBE, by which wake-ups come.
pub(super) async fn brings_wakes(servers: &Servers, prefix: &str) -> anyhow::Result<()> {
    for (server, partition) in homes(servers) {
        let channel = format!("{prefix}:{}", channel(partition, "check"));
        let hearing = async {
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            let mut connection = connection::dial(&with_pushes(&server.info), config).await?;
            cmd("SSUBSCRIBE").arg(channel).exec_async(&mut connection).await
        };
        pass(&server, hearing.await)?;
    }
    Ok(())
}

/// Checks every other command, on each server.
pub(super) async fn commands(store: &Redis) -> anyhow::Result<()> {
    for (server, partition) in homes(&store.servers) {
        let trying = async {
            // The script is loaded each time, because Redis may forget it at any time.
            let mut connection = server.connection.clone();
            store.script.prepare_invoke().load_async(&mut connection).await?;
            commit(store, partition).await?;
            read(store, &server, partition).await
        };
        pass(&server, trying.await)?;
    }
    Ok(())
}

/// Checks the commands again whenever a connection for wake-ups was opened again: there may be
/// another server at the address by now, or the user may have other rights.
pub(super) async fn stay_informed(store: Redis) {
    let mut told = None;
    loop {
        store.wakes.reopened().await;
        let trouble = commands(&store).await.err().map(|error| format!("{error:#}"));
        match &trouble {
            Some(trouble) if told.as_ref() != Some(trouble) => tracing::error!("{trouble}"),
            None if told.is_some() => tracing::info!("Redis takes all commands again"),
            _ => {}
        }
        told = trouble;
    }
}

/// Returns each server, with a partition that it has.
fn homes(servers: &Servers) -> impl Iterator<Item = (Arc<Server>, Partition)> {
    servers.all().into_iter().filter_map(|server| {
        let is_here = |partition: &Partition| {
            servers.of(*partition).is_ok_and(|other| Arc::ptr_eq(&other, &server))
        };
        let partition = (0..=Partition::MAX).find(is_here)?;
        Some((server, partition))
    })
}

/// Fails if the server refused something. Ignores a server that is out of reach: that may pass by
/// itself.
fn pass(server: &Server, outcome: RedisResult<()>) -> anyhow::Result<()> {
    match outcome {
        Err(error) if !error.is_io_error() => Err(Explained(error))
            .with_context(|| format!("Redis at {} refuses what arizuko needs", server.address())),
        _ => Ok(()),
    }
}

/// Commits a batch with every kind of guard and write. The batch deletes all that it writes.
async fn commit(store: &Redis, partition: Partition) -> RedisResult<()> {
    let name = |name: &str| format!("check:{name}");
    let names = ["record", "set", "queue", "rounds", "counter", "log", "bucket", "taken"].map(name);
    let [record, set, queue, rounds, counter, log, bucket, taken] = names.clone();
    const LONG: Millis = 1_000;
    let flow = Some(Flow { id: name("flow"), group: name("group") });
    let (member, seq, entry) = (name("member"), 1, Bytes::new());
    let mut writes = vec![
        Write::Put {
            record: record.clone(),
            body: "{}".into(),
            lifetime: Some(Duration::from_secs(1)),
        },
        Write::Add { set: set.clone(), member: member.clone(), score: 1 },
        Write::Remove { set: set.clone(), member: member.clone() },
        Write::Enqueue { queue, rounds, member, flow },
        Write::Count { counter: counter.clone(), by: 1 },
        Write::Append { log: log.clone(), seq, entry },
        Write::Trim { log, through: seq },
        Write::Publish { topic: name("topic"), payload: Bytes::new() },
    ];
    writes.extend(names.into_iter().map(|name| Write::Delete { name }));
    let batch = Batch {
        partition,
        version: 0,
        now: store.clock.now(),
        guards: vec![
            Guard::Version { record, version: None },
            Guard::Fewer { set, min: 0, than: 1 },
            Guard::Room { counter, by: 1, most: 1 },
            Guard::Rate { bucket: bucket.clone(), interval: LONG, burst: 2 },
            Guard::Share { taken, forget: LONG, most: 2, bucket, interval: LONG, burst: 2 },
        ],
        writes,
    };
    store.commit_once(&batch, &Call::new(store, &batch).command()).await.map(drop)
}

/// Sends every other command: those that read, and WAIT if replicas are needed.
async fn read(store: &Redis, server: &Server, partition: Partition) -> RedisResult<()> {
    let sets = [Order::LowestFirst, Order::HighestFirst].map(|order| Read::Set {
        set: "check:set".to_owned(),
        min: 0,
        max: 1,
        limit: 1,
        order,
    });
    let mut reads = Pipeline::new();
    store.add_read(&mut reads, partition, &Read::Record("check:record".to_owned()));
    sets.iter().for_each(|set| store.add_read(&mut reads, partition, set));
    let log = Read::Log { log: "check:log".to_owned(), after: 0, limit: 1 };
    store.add_read(&mut reads, partition, &log);
    reads.cmd("PTTL").arg(store.key(partition, "check:record"));
    reads.cmd("SCAN").arg(0).arg("COUNT").arg(1).arg("TYPE").arg("string");
    reads.cmd("PUBSUB").arg("SHARDCHANNELS");
    if store.replicas.is_some() {
        reads.cmd("WAIT").arg(0).arg(1);
    }
    let answers = server.connection.open().await?.ask_all(&reads).await?;
    let refused = answers.into_iter().find_map(|answer| match answer {
        Value::ServerError(error) => Some(RedisError::from(error)),
        _ => None,
    });
    refused.map_or(Ok(()), Err)
}

//! Reads all records, server by server and a page at a time.

use super::{Redis, connection, record};
use crate::store::{PAGE, Partition, Scanned};
use ::redis::{
    Pipeline, RedisError, Script, Value, aio::MultiplexedConnection, cmd, from_redis_value,
};
use std::time::Duration;
use tokio::sync::mpsc;

/// How many keys a server looks at for one answer.
const COUNT: u32 = 1_000;

/// Sends the records of these kinds. A cursor of SCAN means nothing to another server, or to the
/// same one after a restart. So each server is read over one connection, and the loss of it is an
/// error.
pub(super) async fn scan(
    store: &Redis,
    kinds: &[&str],
    pages: &mpsc::Sender<Vec<Scanned>>,
) -> Result<(), RedisError> {
    for server in store.servers.all() {
        let mut connection = connection::open(&server.info).await?;
        let mut cursor = 0;
        loop {
            let (next, names) = names(store, kinds, &mut connection, cursor).await?;
            for names in names.chunks(PAGE) {
                let page = records(store, &mut connection, names).await?;
                if pages.send(page).await.is_err() {
                    return Ok(());
                }
            }
            if next == 0 {
                break;
            }
            cursor = next;
        }
    }
    Ok(())
}

/// Returns the next cursor, which is 0 at the end, and the names of the records that were found.
async fn names(
    store: &Redis,
    kinds: &[&str],
    connection: &mut MultiplexedConnection,
    cursor: u64,
) -> Result<(u64, Vec<(Partition, String)>), RedisError> {
    let mut scan = cmd("SCAN");
    scan.arg(cursor).arg("COUNT").arg(COUNT).arg("TYPE").arg("string");
    let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(connection).await?;
    let names = keys.iter().filter_map(|key| {
        let (partition, name) = store.parse_key(std::str::from_utf8(key).ok()?)?;
        let (kind, _) = name.split_once(':')?;
        kinds.contains(&kind).then(|| (partition, name.to_owned()))
    });
    Ok((next, names.collect()))
}

async fn records(
    store: &Redis,
    connection: &mut MultiplexedConnection,
    names: &[(Partition, String)],
) -> Result<Vec<Scanned>, RedisError> {
    let mut reads = Pipeline::new();
    for (partition, name) in names {
        let key = store.key(*partition, name);
        reads.cmd("GET").arg(&key).cmd("PTTL").arg(&key);
    }
    let mut values = reads.query_async::<Vec<Value>>(connection).await?.into_iter();
    let mut found = Vec::with_capacity(names.len());
    for (partition, name) in names {
        let (body, left) = (values.next(), values.next());
        let left: i64 = from_redis_value(left.unwrap_or(Value::Nil))?;
        if let Some(record) = record(body.unwrap_or(Value::Nil))? {
            // PTTL is negative if the record has no lifetime, or if its lifetime has just ended.
            let lifetime = u64::try_from(left).ok().map(Duration::from_millis);
            found.push(Scanned { partition: *partition, name: name.clone(), record, lifetime });
        }
    }
    Ok(found)
}

/// Converts the logs that are Redis streams into lists. Before schema 5, all were streams.
pub(super) async fn upgrade_logs(store: &Redis) -> Result<(), RedisError> {
    let script = Script::new(
        "local log, entries = KEYS[1], redis.call('XRANGE', KEYS[1], '-', '+')\n\
         redis.call('DEL', log)\n\
         for _, entry in ipairs(entries) do\n\
           redis.call('RPUSH', log, string.match(entry[1], '%d+$') .. ' ' .. entry[2][2])\n\
         end",
    );
    for server in store.servers.all() {
        let mut connection = connection::open(&server.info).await?;
        let mut cursor = 0;
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("COUNT").arg(COUNT).arg("TYPE").arg("stream");
            let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(&mut connection).await?;
            let is_ours = |key: &Vec<u8>| {
                std::str::from_utf8(key).is_ok_and(|key| store.parse_key(key).is_some())
            };
            for key in keys.into_iter().filter(is_ours) {
                script.key(key).invoke_async::<()>(&mut connection).await?;
            }
            if next == 0 {
                break;
            }
            cursor = next;
        }
    }
    Ok(())
}

/// Whether some connection is subscribed to a channel of this store.
pub(super) async fn is_watched(store: &Redis) -> Result<bool, RedisError> {
    for server in store.servers.all() {
        let mut connection = server.connection.clone();
        let channels: Vec<String> =
            cmd("PUBSUB").arg("SHARDCHANNELS").query_async(&mut connection).await?;
        if channels.iter().any(|channel| store.parse_key(channel).is_some()) {
            return Ok(true);
        }
    }
    Ok(false)
}

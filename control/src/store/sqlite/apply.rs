//! How the writer applies batches.

use super::{now, read_record, signed, sizes::Sizes};
use crate::store::{Batch, Commit, Flow, Guard, Millis, Partition, Record, Write, bucket, fair};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::collections::HashMap;

/// Applies batches in one transaction, so that they share one fsync, and returns their outcomes, in
/// order. If a batch fails, applies each batch in a transaction of its own, so that the others
/// don't fail, too. (A savepoint for each batch would cost a tenth of the writer's time.)
pub(super) fn all(
    connection: &mut Connection,
    sizes: &mut Sizes,
    batches: &[&Batch],
) -> Vec<Result<Commit, String>> {
    match together(connection, sizes, batches) {
        Ok(commits) => commits.into_iter().map(Ok).collect(),
        Err(error) if batches.len() == 1 => vec![Err(error.to_string())],
        Err(_) => batches.iter().flat_map(|batch| all(connection, sizes, &[batch])).collect(),
    }
}

/// Applies batches in one transaction.
///
/// # Errors
/// The transaction failed, and no batch is applied.
fn together(
    connection: &mut Connection,
    sizes: &mut Sizes,
    batches: &[&Batch],
) -> rusqlite::Result<Vec<Commit>> {
    let mut apply = || {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let commits = batches.iter().map(|batch| one(&transaction, sizes, batch));
        let commits = commits.collect::<rusqlite::Result<_>>()?;
        collect(&transaction)?;
        transaction.commit()?;
        Ok(commits)
    };
    let commits = apply();
    if commits.is_err() {
        sizes.forget_all();
    }
    commits
}

fn one(connection: &Connection, sizes: &mut Sizes, batch: &Batch) -> rusqlite::Result<Commit> {
    let p = batch.partition;
    if let Some(conflict) = conflict(connection, batch)? {
        return Ok(Commit::Conflict(conflict));
    }
    let mut buckets = Vec::new();
    for guard in &batch.guards {
        match guard {
            Guard::Version { .. } => {}
            Guard::Fewer { set, min, than } => {
                let below = if *min > 0 { members_below(connection, p, set, *min)? } else { 0 };
                if sizes.of(connection, p, set)?.saturating_sub(below) >= u64::from(*than) {
                    return Ok(Commit::Full { name: set.clone() });
                }
            }
            Guard::Room { counter, by, most } => {
                if count(connection, p, counter)?.saturating_add(*by) > *most {
                    return Ok(Commit::Full { name: counter.clone() });
                }
            }
            Guard::Rate { bucket, interval, burst } => {
                let capacity = interval * u64::from(*burst);
                let holds = full_at(connection, p, bucket)?;
                let full_at = bucket::used_until(holds, capacity, batch.now) + interval;
                let room_at = full_at.saturating_sub(capacity);
                if room_at > batch.now {
                    let retry_after = room_at - batch.now;
                    return Ok(Commit::Limited { bucket: bucket.clone(), retry_after });
                }
                buckets.push((bucket, full_at));
            }
            Guard::Share { taken, forget, most, bucket, interval, burst } => {
                let capacity = interval * u64::from(*burst);
                let holds = full_at(connection, p, bucket)?;
                let left = batch.now + capacity - bucket::used_until(holds, capacity, batch.now);
                let (holds, capacity) = (full_at(connection, p, taken)?, forget * u64::from(*most));
                let at_most = batch.now + capacity;
                let taken_at = bucket::used_until(holds, capacity, batch.now);
                let needed = ((taken_at - batch.now) * interval).div_ceil(2 * forget);
                if needed > left {
                    let retry_after = needed - left;
                    return Ok(Commit::Limited { bucket: bucket.clone(), retry_after });
                }
                buckets.push((taken, (taken_at + forget).min(at_most)));
            }
        }
    }
    for (bucket, full_at) in buckets {
        let sql = "INSERT OR REPLACE INTO bucket VALUES (?1, ?2, ?3)";
        connection.prepare_cached(sql)?.execute(params![p, bucket, full_at as i64])?;
    }
    for operation in &batch.writes {
        write(connection, sizes, batch, operation)?;
    }
    Ok(Commit::Applied)
}

/// Counts the members with a score below `limit`, which is the `min` of a [`Guard::Fewer`]. They
/// are few: in the sets that have a guard with a `min`, only members whose time is over are below.
fn members_below(
    connection: &Connection,
    p: Partition,
    set: &str,
    limit: u64,
) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM member
               WHERE set_name = ?1 AND partition = ?2 AND score < ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let members =
        statement.query_row(params![set, p, signed(limit)], |row| row.get::<_, i64>(0))?;
    Ok(members as u64)
}

/// Returns a counter's value; 0 for a new one.
pub(super) fn count(connection: &Connection, p: Partition, counter: &str) -> rusqlite::Result<u64> {
    let sql = "SELECT value FROM counter WHERE partition = ?1 AND name = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let value = statement.query_row(params![p, counter], |row| row.get::<_, i64>(0)).optional()?;
    Ok(value.map_or(0, |value| value as u64))
}

/// Returns when a bucket has room for a whole burst again; 0 or another time in the past if it has
/// that room now.
fn full_at(connection: &Connection, p: Partition, bucket: &str) -> rusqlite::Result<Millis> {
    let sql = "SELECT full_at FROM bucket WHERE partition = ?1 AND name = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let full_at: Option<i64> =
        statement.query_row(params![p, bucket], |row| row.get(0)).optional()?;
    Ok(full_at.map_or(0, |at| at as u64))
}

/// Returns the guarded records if one of them has another version than its guard.
fn conflict(
    connection: &Connection,
    batch: &Batch,
) -> rusqlite::Result<Option<HashMap<String, Option<Record>>>> {
    let guarded = || {
        batch.guards.iter().filter_map(|guard| match guard {
            Guard::Version { record, version } => Some((record, version)),
            _ => None,
        })
    };
    let sql = "SELECT version FROM record WHERE partition = ?1 AND name = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    for (record, version) in guarded() {
        let current = statement.query_row(params![batch.partition, record], |row| row.get(0));
        let current: Option<i64> = current.optional()?;
        if current.map(|version| version as u64) != *version {
            let read = |(record, _): (&String, _)| {
                Ok((record.clone(), read_record(connection, batch.partition, record)?))
            };
            return guarded().map(read).collect::<rusqlite::Result<_>>().map(Some);
        }
    }
    Ok(None)
}

fn write(
    connection: &Connection,
    sizes: &mut Sizes,
    batch: &Batch,
    operation: &Write,
) -> rusqlite::Result<()> {
    let p = batch.partition;
    match operation {
        Write::Put { record, body, lifetime } => {
            let collect_at = lifetime.map(|l| (batch.now + l.as_millis() as u64) as i64);
            let sql = "INSERT OR REPLACE INTO record VALUES (?1, ?2, ?3, ?4, ?5)";
            connection.prepare_cached(sql)?.execute(params![
                p,
                record,
                batch.version as i64,
                body,
                collect_at
            ])?;
        }
        Write::Add { set, member, score } => {
            sizes.adding(connection, p, set, member)?;
            add(connection, p, (set, member), *score)?;
        }
        Write::Enqueue { queue, rounds, member, flow } => {
            sizes.forget(p, queue);
            sizes.forget(p, rounds);
            enqueue(connection, batch, (queue, rounds), member, flow.as_ref())?;
        }
        Write::Remove { set, member } => {
            let sql = "DELETE FROM member WHERE partition = ?1 AND set_name = ?2 AND name = ?3";
            let removed = connection.prepare_cached(sql)?.execute(params![p, set, member])?;
            sizes.removed(p, set, removed);
        }
        Write::Count { counter, by } => {
            let sql = "INSERT INTO counter VALUES (?1, ?2, ?3)
                       ON CONFLICT DO UPDATE SET value = value + excluded.value";
            connection.prepare_cached(sql)?.execute(params![p, counter, by])?;
            if *by < 0 {
                let sql = "DELETE FROM counter WHERE partition = ?1 AND name = ?2 AND value <= 0";
                connection.prepare_cached(sql)?.execute(params![p, counter])?;
            }
        }
        Write::Append { log, seq, entry } => {
            let sql = "DELETE FROM entry WHERE partition = ?1 AND log = ?2 AND seq >= ?3";
            connection.prepare_cached(sql)?.execute(params![p, log, signed(*seq)])?;
            let sql = "INSERT INTO entry VALUES (?1, ?2, ?3, ?4)";
            connection.prepare_cached(sql)?.execute(params![p, log, signed(*seq), &entry[..]])?;
        }
        Write::Trim { log, through } => {
            let sql = "DELETE FROM entry WHERE partition = ?1 AND log = ?2 AND seq <= ?3";
            connection.prepare_cached(sql)?.execute(params![p, log, signed(*through)])?;
        }
        Write::Delete { name } => {
            sizes.forget(p, name);
            for sql in [
                "DELETE FROM record WHERE partition = ?1 AND name = ?2",
                "DELETE FROM member WHERE partition = ?1 AND set_name = ?2",
                "DELETE FROM entry WHERE partition = ?1 AND log = ?2",
            ] {
                connection.prepare_cached(sql)?.execute(params![p, name])?;
            }
        }
        Write::Publish { .. } => {}
    }
    Ok(())
}

fn add(
    connection: &Connection,
    p: Partition,
    (set, member): (&str, &str),
    score: u64,
) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO member VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute(params![p, set, member, signed(score)])?;
    Ok(())
}

/// Adds a member to a fair queue, and notes the next round of its flow and group.
fn enqueue(
    connection: &Connection,
    batch: &Batch,
    (queue, rounds): (&str, &str),
    member: &str,
    flow: Option<&Flow>,
) -> rusqlite::Result<()> {
    let (p, now) = (batch.partition, batch.now);
    let sql = "SELECT min(score) FROM member WHERE set_name = ?1 AND partition = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let first: Option<i64> = statement.query_row(params![queue, p], |row| row.get(0))?;
    let current = first.map(|first| fair::current_round(first as u64, now));
    let sql = "DELETE FROM member WHERE set_name = ?1 AND partition = ?2 AND score <= ?3";
    let past = current.unwrap_or(u64::MAX);
    connection.prepare_cached(sql)?.execute(params![rounds, p, signed(past)])?;

    let sql = "SELECT score FROM member WHERE partition = ?1 AND set_name = ?2 AND name = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut next = |name: &str| -> rusqlite::Result<u64> {
        let next = statement.query_row(params![p, rounds, name], |row| row.get::<_, i64>(0));
        Ok(next.optional()?.map_or(0, |round| round as u64))
    };
    let next = flow.map(|flow| Ok::<_, rusqlite::Error>((next(&flow.id)?, next(&flow.group)?)));
    let next = next.transpose()?;
    let place = fair::place(current.unwrap_or_default(), next, now);
    if let (Some(flow), Some((_, group))) = (flow, next) {
        add(connection, p, (rounds, &flow.id), place.round + 1)?;
        add(connection, p, (rounds, &flow.group), group.max(place.round + 1))?;
    }
    add(connection, p, (queue, member), place.score)
}

/// Deletes some records past their lifetime, and some buckets that have room for a whole burst
/// again. Called with each group of batches.
fn collect(connection: &Connection) -> rusqlite::Result<()> {
    let now = now() as i64;
    let sql = "DELETE FROM record WHERE (partition, name) IN
               (SELECT partition, name FROM record WHERE collect_at < ?1 LIMIT 8)";
    connection.prepare_cached(sql)?.execute([now])?;
    let sql = "DELETE FROM bucket WHERE (partition, name) IN
               (SELECT partition, name FROM bucket WHERE full_at < ?1 LIMIT 8)";
    connection.prepare_cached(sql)?.execute([now])?;
    Ok(())
}

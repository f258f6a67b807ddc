//! Commits a batch, and repeats a commit that may or may not have been applied.

use super::Ledger;
use crate::store::{Batch, Commit, Cover, Record, StoreError, Write};
use arizuko_proto::public_id;
use futures_util::FutureExt as _;
use std::{collections::HashMap, future::ready, time::Duration};
use tokio::time::Instant;

/// A commit that fails without an answer is repeated only if it failed within this time. The repeat
/// of a slower one would most likely take as long again.
const SLOW: Duration = Duration::from_millis(1_500);

impl Ledger {
    /// Commits a batch. If it soon fails without an answer, commits it once more. A batch that was
    /// applied the first time then conflicts with itself, and its version shows that.
    pub(super) async fn commit(
        &self,
        batch: &Batch,
        covered: bool,
    ) -> Result<(Commit, Cover), StoreError> {
        let begun = Instant::now();
        match self.commit_once(batch, covered).await {
            Err(StoreError::Unknown(_)) if begun.elapsed() < SLOW => {}
            known => return known,
        }
        let (second, cover) =
            self.commit_once(batch, covered).await.map_err(|error| match error {
                // Whatever became of the second commit, the first is still in doubt.
                StoreError::Unavailable(why) | StoreError::Unknown(why) => StoreError::Unknown(why),
            })?;
        Ok(match second {
            Commit::Conflict(fresh) if is_done(batch, &fresh) => (Commit::Applied, cover),
            other => (other, cover),
        })
    }

    async fn commit_once(
        &self,
        batch: &Batch,
        covered: bool,
    ) -> Result<(Commit, Cover), StoreError> {
        match covered {
            true => Ok((self.store.commit(batch).await?, ready(Ok(())).boxed())),
            false => self.store.commit_early(batch).await,
        }
    }
}

/// Logs the names of what a commit wrote, with public ids in place of the ids, which are private,
/// as the contents are.
pub(super) fn log(batch: &Batch, attempt: u32) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let words = batch.writes.iter().map(|write| match write {
        Write::Put { record, .. } => format!("put {record}"),
        Write::Add { set, .. } => format!("add to {set}"),
        Write::Enqueue { queue, .. } => format!("add to {queue}"),
        Write::Remove { set, .. } => format!("remove from {set}"),
        Write::Count { counter, by } => format!("add {by} to {counter}"),
        Write::Append { log, seq, .. } => format!("append {seq} to {log}"),
        Write::Trim { log, through } => format!("trim {log} through {through}"),
        Write::Delete { name } => format!("delete {name}"),
        Write::Publish { topic, .. } => format!("publish {topic}"),
    });
    let writes = public_id::redact(&words.collect::<Vec<_>>().join(", "));
    let guards = batch.guards.len();
    tracing::debug!(partition = batch.partition, attempt, guards, writes, "committed");
}

/// Whether a batch in conflict was applied before: the records are as the batch itself leaves them.
pub(super) fn is_done(batch: &Batch, fresh: &HashMap<String, Option<Record>>) -> bool {
    let puts = batch.writes.iter().filter_map(|write| match write {
        Write::Put { record, .. } => fresh.get(record),
        _ => None,
    });
    let puts: Vec<_> = puts.collect();
    if !puts.is_empty() {
        // No other batch has this version. A missing record proves nothing: other batches delete
        // records, too.
        return puts.into_iter().flatten().any(|found| found.version == batch.version);
    }
    batch.writes.iter().any(|write| match write {
        // The record was there when the batch was decided, or the batch would not delete it.
        Write::Delete { name } => fresh.get(name) == Some(&None),
        _ => false,
    })
}

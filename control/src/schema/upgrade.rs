//! Applies the steps of an upgrade to all records of the store.

use super::{AT_ONCE, Change, STEPS, Step};
use crate::{
    fence::{SCHEMA, check, guard},
    ledger,
    store::{Batch, Commit, Guard, Partition, Record, Scanned, Store, Write},
};
use arizuko_proto::public_id;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use std::future::ready;
use tokio::sync::mpsc;

/// Brings everything to this schema. It may be interrupted anywhere and begin again.
pub(super) async fn upgrade(
    store: &dyn Store,
    partitions: Partition,
    from: u32,
) -> anyhow::Result<()> {
    if from == SCHEMA {
        return Ok(());
    }
    tracing::info!(from, to = SCHEMA, "upgrading the store");
    store.upgrade_logs().await?;
    let mut upgraded = 0;
    // A step may make records that the next step changes, so each step reads the store anew.
    for step in STEPS.iter().filter(|step| step.from >= from) {
        upgraded += take(store, step).await?;
        for partition in 0..partitions {
            delete(store, partition, step.obsolete).await?;
        }
    }
    tracing::info!(upgraded, to = SCHEMA, "the store is upgraded");
    Ok(())
}

/// Applies a step to all records; returns how many it changed.
async fn take(store: &dyn Store, step: &Step) -> anyhow::Result<u32> {
    let (sender, mut pages) = mpsc::channel(1);
    let scan = async { Ok(store.scan(step.kinds, sender).await?) };
    let upgrade = async {
        let mut upgraded = 0;
        while let Some(page) = pages.recv().await {
            let records = page.into_iter().map(|scanned| upgrade_record(store, step, scanned));
            let changed = stream::iter(records).buffer_unordered(AT_ONCE);
            let changed = changed.try_fold(0, |sum, is| ready(Ok(sum + u32::from(is)))).await?;
            if changed > 0 {
                upgraded += changed;
                tracing::debug!(upgraded, schema = step.from + 1, "records are upgraded");
            }
        }
        anyhow::Ok(upgraded)
    };
    let ((), upgraded) = tokio::try_join!(scan, upgrade)?;
    Ok(upgraded)
}

/// Applies a step to one record; returns whether that changed something.
async fn upgrade_record(
    store: &dyn Store,
    step: &Step,
    mut scanned: Scanned,
) -> anyhow::Result<bool> {
    loop {
        let changes = match (step.upgrade)(&scanned.name, &scanned.record.body) {
            Ok(Some(changes)) => changes,
            Ok(None) => return Ok(false),
            Err(error) => {
                let (name, partition) = (public_id::redact(&scanned.name), scanned.partition);
                let error = public_id::redact(&error.to_string());
                tracing::error!(partition, name, error, "cannot upgrade a record, leaving it");
                return Ok(false);
            }
        };
        match commit(store, &scanned, changes).await? {
            None => return Ok(true),
            Some(Some(record)) => scanned.record = record,
            Some(None) => return Ok(false),
        }
    }
}

/// Deletes sets of a partition.
async fn delete(store: &dyn Store, partition: Partition, sets: &[&str]) -> anyhow::Result<()> {
    if sets.is_empty() {
        return Ok(());
    }
    let batch = Batch {
        partition,
        version: u64::from_le_bytes(ledger::random()?),
        now: store.now(),
        guards: vec![guard()],
        writes: sets.iter().map(|set| Write::Delete { name: (*set).to_owned() }).collect(),
    };
    if let Commit::Conflict(mut fence) = store.commit(&batch).await? {
        check(&mut fence)?;
    }
    Ok(())
}

/// Commits changes if the record is as it was scanned, and returns `None`. Otherwise returns the
/// record as it is now; `Some(None)` if it is gone.
async fn commit(
    store: &dyn Store,
    scanned: &Scanned,
    changes: Vec<Change>,
) -> anyhow::Result<Option<Option<Record>>> {
    let Scanned { partition, name, record, lifetime } = scanned;
    let version = u64::from_le_bytes(ledger::random()?);
    let write = |change| match change {
        Change::Put { name, body } => {
            Write::Put { record: name, body: body.into(), lifetime: *lifetime }
        }
        Change::Delete { name } => Write::Delete { name },
        Change::Add { set, member, score } => Write::Add { set, member, score },
    };
    let is_as_scanned = Guard::Version { record: name.clone(), version: Some(record.version) };
    let batch = Batch {
        partition: *partition,
        version,
        now: store.now(),
        guards: vec![is_as_scanned, guard()],
        writes: changes.into_iter().map(write).collect(),
    };
    let outcome = store.commit(&batch).await?;
    if let Commit::Conflict(mut fresh) = outcome {
        check(&mut fresh)?;
        // Another control has upgraded, changed or deleted the record.
        return Ok(Some(fresh.remove(name).flatten()));
    }
    Ok(None)
}

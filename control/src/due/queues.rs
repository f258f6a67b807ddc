//! Measures the queues of all folders: how many turns wait in each, and for how long.

use crate::{
    control::Control,
    jid::FolderName,
    ledger::Error,
    names,
    queue::Backlog,
    refusal::Refusal,
    store::{Order, Partition},
    transaction::Tx,
    turn::Turn,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How many turns are counted in one queue, at most.
const COUNTED_TURNS: u32 = 1_000;
/// How many folders are looked at in each partition, at most: those whose queues were entered
/// longest ago.
const FOLDERS: u32 = 1_000;
/// How many queues are read at a time.
const AT_ONCE: usize = 16;
/// After how long without a new turn the folder of an empty queue is forgotten.
const REMEMBERED: Duration = Duration::from_secs(60);

/// How long a measurement is reused, so that many readers cost no more than one.
const FRESH: Duration = Duration::from_secs(1);

/// Returns the folders in whose queues turns wait, the folder with the longest wait first. Measures
/// the queues unless that was done within the last second, and sets the metrics.
pub(crate) async fn waiting(control: &Control) -> Result<Arc<[Backlog]>, Error> {
    let (ledger, mut last) = (&control.ledger, control.waiting.lock().await);
    let now = ledger.now();
    if let Some((measured_at, waiting)) = &*last
        && now - *measured_at < FRESH
    {
        return Ok(waiting.clone());
    }
    let mut folders = BTreeMap::<_, Vec<_>>::new();
    for (partition, (folder, entered)) in
        ledger.gather(&names::queues(), &control.all_partitions(), 0..=u64::MAX, FOLDERS).await?
    {
        if let Ok(folder) = FolderName::try_from(folder) {
            folders.entry(partition).or_default().push((folder, entered));
        }
    }
    let mut waiting = Vec::new();
    for (partition, folders) in folders {
        for folders in folders.chunks(AT_ONCE) {
            waiting.extend(measure(control, partition, folders).await?);
        }
    }
    waiting.sort_by_key(|waiting| waiting.since);
    control.metrics.set_waiting(&waiting, now);
    let waiting: Arc<[Backlog]> = waiting.into();
    *last = Some((now, waiting.clone()));
    Ok(waiting)
}

/// Returns the folders in whose queues turns wait. Counts at most [`COUNTED_TURNS`] in each.
/// Forgets the folders whose queues are empty and have had no new turn for [`REMEMBERED`].
async fn measure(
    control: &Control,
    partition: Partition,
    folders: &[(FolderName, u64)],
) -> Result<Vec<Backlog>, Error> {
    let ledger = &control.ledger;
    let queues: Vec<_> = folders.iter().map(|(folder, _)| names::queue(folder)).collect();
    let turns = ledger.first_of_each(partition, &queues, Order::LowestFirst, COUNTED_TURNS);
    let turns = turns.await?;
    let next = turns.iter().filter_map(|turns| turns.first());
    let mut next = ledger.records::<Turn>(partition, next).await?.into_iter();
    let earlier = ledger.now().as_millis().saturating_sub(REMEMBERED.as_millis() as u64);
    let mut waiting = Vec::new();
    for ((folder, entered), turns) in folders.iter().zip(&turns) {
        if turns.is_empty() {
            if *entered < earlier {
                forget(control, partition, folder).await?;
            }
        } else if let Some(next) = next.next().flatten() {
            let (folder, since) = (folder.clone(), next.origin.created_at);
            waiting.push(Backlog { folder, turns: turns.len(), since });
        }
    }
    Ok(waiting)
}

/// Forgets a folder, unless a turn has entered its queue meanwhile.
async fn forget(control: &Control, partition: Partition, folder: &FolderName) -> Result<(), Error> {
    let forgetting = |tx: &mut Tx<'_>| {
        let entered = Refusal::TooManyTurns { of: "folder" };
        tx.limit_members(&names::queue(folder), 0_u64, 1, entered);
        tx.remove(&names::queues(), &folder.to_string());
        Ok(())
    };
    match control.ledger.transact(partition, &[], forgetting).await {
        Err(Error::Refused(_)) => Ok(()),
        forgotten => forgotten,
    }
}

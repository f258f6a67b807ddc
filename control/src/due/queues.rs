//! Measures the queues of all folders: how many turns wait, and for how long.

use crate::{
    control::Control,
    jid::FolderName,
    ledger::Error,
    names,
    refusal::Refusal,
    store::{Order, Partition},
    time::Time,
    transaction::Tx,
    turn::Turn,
};
use std::{collections::BTreeMap, time::Duration};

/// How many turns are counted in one queue, at most.
const COUNTED_TURNS: u32 = 1_000;
/// How many folders are looked at in each partition, at most: those whose queues were entered
/// longest ago.
const FOLDERS: u32 = 1_000;
/// How many queues are read at a time.
const AT_ONCE: usize = 16;
/// For how long no turn has entered an empty queue before its folder is forgotten.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Measures how many turns wait for an agent, and how many seconds those that are next in their
/// queues have waited.
pub(super) async fn measure(control: &Control) -> Result<(), Error> {
    let (ledger, metrics) = (&control.ledger, &control.metrics);
    let mut folders = BTreeMap::<_, Vec<_>>::new();
    for (partition, (folder, entered)) in
        ledger.gather(&names::queues(), control.partitions, 0..=u64::MAX, FOLDERS).await?
    {
        if let Ok(folder) = FolderName::try_from(folder) {
            folders.entry(partition).or_default().push((folder, entered));
        }
    }
    let (mut waiting, mut since) = (0, ledger.now());
    for (partition, folders) in folders {
        for folders in folders.chunks(AT_ONCE) {
            let (count, oldest) = measure_some(control, partition, folders).await?;
            waiting += count;
            since = since.min(oldest.unwrap_or(since));
        }
    }
    metrics.waiting.set(waiting as i64);
    metrics.longest_wait.set((ledger.now() - since).as_secs() as i64);
    Ok(())
}

/// Returns how many turns wait in the queues of these folders, at most [`COUNTED_TURNS`] in each,
/// and when the oldest of their first turns was posted. Forgets the folders whose queues are empty
/// and have had no new turn for [`REMEMBERED`].
async fn measure_some(
    control: &Control,
    partition: Partition,
    folders: &[(FolderName, u64)],
) -> Result<(usize, Option<Time>), Error> {
    let ledger = &control.ledger;
    let queues: Vec<_> = folders.iter().map(|(folder, _)| names::queue(folder)).collect();
    let waiting = ledger.first_of_each(partition, &queues, Order::LowestFirst, COUNTED_TURNS);
    let waiting = waiting.await?;
    let next = waiting.iter().filter_map(|turns| turns.first());
    let next = ledger.records::<Turn>(partition, next).await?.into_iter().flatten();
    let earlier = ledger.now().as_millis().saturating_sub(REMEMBERED.as_millis() as u64);
    for ((folder, entered), turns) in folders.iter().zip(&waiting) {
        if turns.is_empty() && *entered < earlier {
            forget(control, partition, folder).await?;
        }
    }
    let count = waiting.iter().map(Vec::len).sum();
    Ok((count, next.map(|turn| turn.origin.created_at).min()))
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

//! When keys were last used: noted in memory by each call, and stored in the background.

use crate::{
    ids::KeyId,
    key::{self, Key},
    ledger::{Error, Ledger},
    store::Partition,
    time::Time,
    transaction::Tx,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How many keys' uses may wait to be stored, at most. While that many wait, the use of another key
/// is not noted; one of its later calls is.
const WAITING: usize = 200;

/// The keys whose use is still to be stored.
#[derive(Default)]
pub(crate) struct KeyUses(Mutex<BTreeSet<KeyId>>);

impl KeyUses {
    /// Notes that a key is used, unless its record shows a use in the last hour.
    pub(crate) fn note(&self, key: &Key, now: Time) {
        if !key.was_used_lately(now) {
            let mut waiting = self.waiting();
            if waiting.len() < WAITING {
                waiting.insert(key.id.clone());
            }
        }
    }

    /// Stores the uses that wait, with one commit for each partition.
    pub(crate) async fn store(&self, ledger: &Ledger, partitions: Partition) -> Result<(), Error> {
        let mut by_partition = BTreeMap::<Partition, Vec<KeyId>>::new();
        for id in mem::take(&mut *self.waiting()) {
            if let Some(partition) = id.partition(partitions) {
                by_partition.entry(partition).or_default().push(id);
            }
        }
        for (partition, ids) in by_partition {
            let noting = |tx: &mut Tx<'_>| key::note_uses(tx, &ids);
            ledger.transact(partition, &[], noting).await?;
        }
        Ok(())
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeSet<KeyId>> {
        // Nothing that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

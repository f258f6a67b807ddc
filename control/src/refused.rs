//! How many messages each link has refused: counted in memory, and stored in the background, so
//! that a flood that is refused writes nothing.

use crate::{
    ids::TokenId,
    ledger::{Error, Ledger},
    refusal::Refusal,
    store::Partition,
    time::Day,
    transaction::Tx,
    turn::daily::{self, Counted},
};
use std::{
    collections::BTreeMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How many links' refusals may wait to be stored, at most. Those of further links are not counted.
const WAITING: usize = 1_000;

/// The refusals that are still to be stored.
#[derive(Default)]
pub(crate) struct Refused(Mutex<BTreeMap<(String, u64), u64>>);

impl Refused {
    /// Counts a refusal by a limit, a budget or a pause. Others, such as those of unknown links,
    /// don't count.
    pub(crate) fn note(&self, token: &TokenId, day: Day, error: &Error) {
        let Error::Refused(
            Refusal::RateLimited { .. }
            | Refusal::TooManyTurns { .. }
            | Refusal::BudgetSpent { .. }
            | Refusal::LimitReached(_)
            | Refusal::Paused,
        ) = error
        else {
            return;
        };
        let mut waiting = self.waiting();
        let key = (token.to_string(), day.number());
        if waiting.len() < WAITING || waiting.contains_key(&key) {
            *waiting.entry(key).or_default() += 1;
        }
    }

    /// Stores the numbers that wait, with one commit for each partition. Those of a commit that
    /// fails wait for the next time.
    pub(crate) async fn store(&self, ledger: &Ledger, partitions: Partition) -> Result<(), Error> {
        let mut by_partition = BTreeMap::<Partition, Vec<(TokenId, Day, u64)>>::new();
        for ((token, day), count) in mem::take(&mut *self.waiting()) {
            let token = TokenId::from(token);
            if let Some(partition) = token.partition(partitions) {
                let counted = (token, Day::from_number(day), count);
                by_partition.entry(partition).or_default().push(counted);
            }
        }
        let mut failed = Ok(());
        for (partition, counts) in by_partition {
            let storing = |tx: &mut Tx<'_>| {
                for (token, day, count) in &counts {
                    daily::begin(tx, token, *day);
                    tx.count(Counted::Refused.of(token, *day), *count as i64);
                }
                Ok(())
            };
            if let Err(error) = ledger.transact(partition, &[], storing).await {
                failed = Err(error);
                let mut waiting = self.waiting();
                for (token, day, count) in counts {
                    *waiting.entry((token.to_string(), day.number())).or_default() += count;
                }
            }
        }
        failed
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<(String, u64), u64>> {
        // Nothing that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

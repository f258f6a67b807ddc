//! When something is next due in each partition, as far as this control knows: a sweep reads only
//! the partitions in which something is due.
//!
//! A control knows what it has committed itself. Every other control takes the items that it has
//! made due; if one of them died, the next look at all partitions finds its items.

use super::{Error, Ledger};
use crate::{
    names::Set,
    store::{Batch, Partition, Write},
};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long after a look at all partitions the next one is due.
const LOOK_AT_ALL: Duration = Duration::from_secs(5);

/// What is known of one set of due items.
pub(super) struct Soonest {
    set: String,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// A time at which something may be due, for each partition; none where nothing is known.
    next: HashMap<Partition, u64>,
    /// When all partitions were looked at, if nothing has failed since then.
    looked_at_all: Option<Instant>,
}

impl Soonest {
    pub(super) fn of<M>(set: &Set<M>) -> Self {
        Self { set: set.name.clone(), known: Mutex::default() }
    }

    /// Notes what a batch that was applied has made due.
    pub(super) fn note(&self, batch: &Batch) {
        let due = batch.writes.iter().filter_map(|write| match write {
            Write::Add { set, score, .. } if *set == self.set => Some((batch.partition, *score)),
            _ => None,
        });
        self.learn(due);
    }

    fn learn(&self, due: impl Iterator<Item = (Partition, u64)>) {
        let mut due = due.peekable();
        if due.peek().is_none() {
            return;
        }
        let mut known = self.known();
        for (partition, at) in due {
            let next = known.next.entry(partition).or_insert(at);
            *next = at.min(*next);
        }
    }

    /// Returns the partitions below `partitions` to read now, and forgets what is known of them:
    /// what is committed from now on is noted again.
    fn take(&self, partitions: Partition, now: u64) -> Vec<Partition> {
        let mut known = self.known();
        if known.looked_at_all.is_none_or(|at| at.elapsed() >= LOOK_AT_ALL) {
            *known = Known { looked_at_all: Some(Instant::now()), ..Known::default() };
            return (0..partitions).collect();
        }
        known.next.extract_if(|_, at| *at <= now).map(|(partition, _)| partition).collect()
    }

    /// Makes the next look one at all partitions.
    fn forget(&self) {
        self.known().looked_at_all = None;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing that can panic runs under this lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    /// Loads the items of a set that are due, lowest score first, at most `limit` from each
    /// partition. An item that a control made due less than [`LOOK_AT_ALL`] before it died may come
    /// up to [`LOOK_AT_ALL`] late.
    pub(crate) async fn due<M: From<String>>(
        &self,
        set: &Set<M>,
        partitions: Partition,
        limit: u32,
    ) -> Result<Vec<(Partition, (M, u64))>, Error> {
        let soonest = self.soonest.iter().find(|soonest| soonest.set == set.name);
        let soonest = soonest.ok_or_else(|| Error::Internal(format!("{} is unknown", set.name)))?;
        let now = self.now().as_millis();
        let partitions = soonest.take(partitions, now);
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let read = async {
            let due = self.gather(set, &partitions, 0..=now, limit).await?;
            let later = self.gather(set, &partitions, now + 1..=u64::MAX, 1).await?;
            Ok((due, later))
        };
        let (due, later) = read.await.inspect_err(|_: &Error| soonest.forget())?;
        // What is due stays due until a commit has taken it.
        let known = due.iter().chain(&later).map(|(partition, (_, at))| (*partition, *at));
        soonest.learn(known);
        Ok(due)
    }
}

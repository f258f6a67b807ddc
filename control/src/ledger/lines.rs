//! Lines of commands that change one record, so that each command gets its turn, however many there
//! are.

use crate::store::Partition;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use tokio::sync::{Mutex, MutexGuard};

/// How many lines there are. If two records share a line, their commands wait for each other, which
/// does no harm.
const LINES: usize = 64;

/// First come, first served: tokio's mutex is fair.
pub(super) struct Lines([Mutex<()>; LINES]);

impl Default for Lines {
    fn default() -> Self {
        Self([const { Mutex::const_new(()) }; LINES])
    }
}

impl Lines {
    /// Returns whether any command is in this record's line.
    pub(super) fn has_one(&self, partition: Partition, record: &str) -> bool {
        self.of(partition, record).try_lock().is_err()
    }

    /// Waits until the commands that came earlier for this record are done.
    pub(super) async fn wait(&self, partition: Partition, record: &str) -> MutexGuard<'_, ()> {
        self.of(partition, record).lock().await
    }

    fn of(&self, partition: Partition, record: &str) -> &Mutex<()> {
        let mut hasher = DefaultHasher::new();
        (partition, record).hash(&mut hasher);
        let line = usize::try_from(hasher.finish() % LINES as u64).unwrap_or_default();
        &self.0[line]
    }
}

//! What has been loaded for a decision.

use crate::{
    maps::FastMap,
    store::{self, Found, Read},
};

/// The records, sets and logs that have been loaded for a decision.
#[derive(Default)]
pub(crate) struct Known {
    records: FastMap<String, Option<store::Record>>,
    others: FastMap<Read, Found>,
}

impl Known {
    pub(crate) fn insert(&mut self, read: Read, found: Found) {
        match (read, found) {
            (Read::Record(name), Found::Record(record)) => drop(self.records.insert(name, record)),
            (read, found) => drop(self.others.insert(read, found)),
        }
    }

    /// Returns a record, or `None` inside if it doesn't exist.
    pub(super) fn record(&self, name: &str) -> Option<&Option<store::Record>> {
        self.records.get(name)
    }

    /// Returns what is not a record.
    pub(super) fn other(&self, read: &Read) -> Option<&Found> {
        self.others.get(read)
    }
}

impl Extend<(Read, Found)> for Known {
    fn extend<T: IntoIterator<Item = (Read, Found)>>(&mut self, loaded: T) {
        loaded.into_iter().for_each(|(read, found)| self.insert(read, found));
    }
}

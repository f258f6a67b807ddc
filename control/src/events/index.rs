//! The index of a tenant's subscriptions.

use super::event::Kind;
use crate::{
    ids::SubscriptionId,
    jid::FolderName,
    names::events as names,
    transaction::{Decision, Record, Tx},
};
use serde::{Deserialize, Serialize};

/// What a commit reads of a tenant's subscriptions to decide what becomes an event. A tenant
/// without subscriptions has no index.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Index(Vec<Entry>);

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    id: SubscriptionId,
    folder: FolderName,
    kinds: Vec<Kind>,
    /// Whether the subscription gets no new events: it is paused or full.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_closed: bool,
}

impl Record for Index {
    type Id = str;

    fn name(root: &str) -> String {
        names::subscription_index(root)
    }
}

impl Index {
    /// Returns the subscriptions that get events of this kind in a folder.
    pub(super) fn wanting(&self, kind: Kind, folder: &FolderName) -> Vec<SubscriptionId> {
        let wants = |entry: &&Entry| {
            !entry.is_closed && entry.kinds.contains(&kind) && folder.is_within(&entry.folder)
        };
        self.0.iter().filter(wants).map(|entry| entry.id.clone()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn insert(&mut self, id: SubscriptionId, folder: FolderName, kinds: Vec<Kind>) {
        self.0.push(Entry { id, folder, kinds, is_closed: false });
    }

    pub(super) fn remove(&mut self, id: &SubscriptionId) {
        self.0.retain(|entry| entry.id != *id);
    }

    pub(super) fn close(&mut self, id: &SubscriptionId, is_closed: bool) {
        for entry in self.0.iter_mut().filter(|entry| entry.id == *id) {
            entry.is_closed = is_closed;
        }
    }

    /// Stores the index, or deletes it if no subscription is left.
    pub(super) fn store(&self, tx: &mut Tx<'_>, root: &str) -> Decision<()> {
        if self.0.is_empty() {
            tx.delete::<Self>(root);
            return Ok(());
        }
        tx.put(root, self)
    }
}

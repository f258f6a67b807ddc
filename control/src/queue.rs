//! Who waits where: the turns that a folder's agents are to take next.

use crate::{ids::TurnId, jid::FolderName, names, time::Time, transaction::Tx};

/// Queues a turn that began at `since`. It may be delivered from `at` on.
pub(crate) fn enter(tx: &mut Tx<'_>, folder: &FolderName, turn: &TurnId, since: Time, at: Time) {
    tx.add(&names::queue(folder), turn, at);
    tx.add(&names::waiting(), turn, since);
    wake(tx, folder);
}

/// Takes a turn out of its folder's queue, if it is there.
pub(crate) fn leave(tx: &mut Tx<'_>, folder: &FolderName, turn: &TurnId) {
    tx.remove(&names::queue(folder), turn);
    tx.remove(&names::waiting(), turn);
}

/// Wakes a folder's sessions: its queue, or its assigned conversations, have changed.
pub(crate) fn wake(tx: &mut Tx<'_>, folder: &FolderName) {
    tx.publish(names::queue_topic(folder), "changed");
}

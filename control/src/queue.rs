//! The queue of each folder: the turns that wait for the folder's agents, in fair order.

use crate::{
    jid::FolderName,
    names,
    store::Flow,
    time::Time,
    transaction::{Decision, Tx},
    turn::{Origin, Turn},
};

/// What waits in a folder's queue.
#[derive(Clone, Debug)]
pub(crate) struct Backlog {
    pub(crate) folder: FolderName,
    /// How many turns.
    pub(crate) turns: usize,
    /// When the turn that is next was posted.
    pub(crate) since: Time,
}

/// Queues a turn for its folder. In each round, at most one such turn comes from each network of a
/// link's visitors, and at most one from each webhook.
pub(crate) fn enter(tx: &mut Tx<'_>, turn: &Turn) {
    enqueue(tx, turn, Some(flow(&turn.origin)));
}

/// Queues a turn that has been in a queue before. It goes to the end of the current round.
pub(crate) fn enter_again(tx: &mut Tx<'_>, turn: &Turn) {
    enqueue(tx, turn, None);
}

fn enqueue(tx: &mut Tx<'_>, turn: &Turn, flow: Option<Flow>) {
    let folder = &turn.place.folder;
    tx.enqueue(&names::queue(folder), &names::rounds(folder), &turn.id, flow);
    tx.add(&names::queues(), &folder.to_string(), tx.now);
    wake(tx, folder);
}

/// Returns a turn's flow. All turns from one network to one link are a flow, whatever their
/// conversations. The link's turns that have no known visitor, such as all turns of a webhook, are
/// another flow. The link is the group.
fn flow(origin: &Origin) -> Flow {
    let group = origin.token.to_string();
    let id = match &origin.visitor {
        Some(visitor) => format!("{group}:{}", visitor.network),
        None => group.clone(),
    };
    Flow { id, group }
}

/// Takes a turn out of its folder's queue, if it is there.
pub(crate) fn leave(tx: &mut Tx<'_>, turn: &Turn) {
    tx.remove(&names::queue(&turn.place.folder), &turn.id);
}

/// Wakes a folder's desks and inboxes, because its queue or its assigned conversations have
/// changed.
pub(crate) fn wake(tx: &mut Tx<'_>, folder: &FolderName) {
    tx.publish(names::queue_topic(folder), "changed");
}

/// Whether nobody is attached to the folder. The answer is only for people to read: no commit
/// depends on it.
pub(crate) fn is_unattended(tx: &Tx<'_>, folder: &FolderName) -> Decision<bool> {
    Ok(tx.members(&names::present(folder), 0..=u64::MAX, 1)?.is_empty())
}

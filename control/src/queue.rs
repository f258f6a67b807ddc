//! Who waits where: the turns that a folder's agents are to take next, in fair order.

use crate::{
    jid::FolderName,
    names,
    store::Flow,
    transaction::Tx,
    turn::{Origin, Turn},
};

/// Queues a turn for its folder. In a round, each network of a link's visitors has one turn, and so
/// has each webhook.
pub(crate) fn enter(tx: &mut Tx<'_>, turn: &Turn) {
    enqueue(tx, turn, Some(flow(&turn.origin)));
}

/// Queues a turn that has been in a queue before: it joins the current round.
pub(crate) fn enter_again(tx: &mut Tx<'_>, turn: &Turn) {
    enqueue(tx, turn, None);
}

fn enqueue(tx: &mut Tx<'_>, turn: &Turn, flow: Option<Flow>) {
    let folder = &turn.place.folder;
    tx.enqueue(&names::queue(folder), &names::rounds(folder), &turn.id, flow);
    tx.add(&names::waiting(), &turn.id, turn.origin.created_at);
    wake(tx, folder);
}

/// Returns the turn's flow. All turns from one network to one link are a flow, whatever their
/// conversations. So are all turns of a link whose sender is unknown, as with every webhook. The
/// link is the group.
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
    tx.remove(&names::waiting(), &turn.id);
}

/// Wakes a folder's sessions: its queue, or its assigned conversations, have changed.
pub(crate) fn wake(tx: &mut Tx<'_>, folder: &FolderName) {
    tx.publish(names::queue_topic(folder), "changed");
}

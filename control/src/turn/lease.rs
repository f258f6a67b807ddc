//! Ends sessions and requeues their turns, when an agent leaves or a lease runs out.

use super::{
    Turn,
    hold::{requeue, requeue_with_strike},
};
use crate::{
    ids::SessionId,
    names::{self, Due},
    queue,
    session::{Session, Speaker},
    transaction::{Decision, Record as _, Tracked, Tx},
};

/// Ends a session whose agent leaves, and requeues its turns at once.
pub(crate) fn leave(tx: &mut Tx<'_>, speaker: &Speaker) -> Decision<()> {
    let session = speaker.session(tx)?;
    for turn in held_turns(tx, &session)? {
        requeue(tx, turn, "the agent left", tx.now)?;
    }
    forget(tx, &session);
    Ok(())
}

/// Handles a session's due item: ends the session if its lease has run out, and requeues its turns
/// as lost.
pub(crate) fn expire(tx: &mut Tx<'_>, id: &SessionId) -> Decision<()> {
    let due = Due::Session(id.clone());
    match tx.get::<Session>(id)? {
        None => tx.unschedule(&due),
        Some(session) if tx.now < session.expires_at => tx.schedule(&due, session.expires_at),
        Some(session) => {
            for turn in held_turns(tx, &session)? {
                requeue_with_strike(tx, turn, "nothing was heard of its agent", tx.now)?;
            }
            forget(tx, &session);
        }
    }
    Ok(())
}

/// Deletes a session. Colleagues of a person see that the person has left.
fn forget(tx: &mut Tx<'_>, session: &Session) {
    session.forget(tx);
    if session.person {
        queue::wake(tx, &session.folder);
    }
}

fn held_turns(tx: &mut Tx<'_>, session: &Session) -> Decision<Vec<Tracked<Turn>>> {
    let ids = tx.all_members(&names::held(&session.id))?;
    tx.expect(ids.iter().map(Turn::name))?;
    let mut turns = Vec::new();
    for id in ids {
        // The set may be older than the record: a turn that has just ended is no longer held.
        turns.extend(tx.get_tracked::<Turn>(&id)?.filter(|turn| turn.is_held_by(&session.id)));
    }
    Ok(turns)
}

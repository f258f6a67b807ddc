//! Who holds a turn: it is handed to a session, and taken back from one.

use super::{COULD_NOT_ANSWER, End, Status, Turn, end_turn, make_ready, ready, record, redirect};
use crate::{
    conversation::{self, Conversation},
    frame::Body,
    limits::Limits,
    session::{self, Session},
    store::Millis,
    transaction::{Decision, Tx},
};

/// How many waiting turns a claim looks at, should the first not be there any more.
const CANDIDATES: u32 = 4;

/// Hands the turn that has waited longest of the session's folder to it.
pub(crate) fn claim(
    tx: &mut Tx<'_>,
    limits: &Limits,
    (session, epoch): (&str, u64),
) -> Decision<Option<Turn>> {
    let holder = session::live(tx, session, epoch)?;
    let queue = ready(&holder.folder);
    for member in tx.members(&queue, 0..=tx.now, CANDIDATES)? {
        let turn = tx.get::<Turn>(&record(&member.name))?;
        let Some(turn) = turn.filter(|turn| turn.status == Status::Queued) else {
            tx.remove(&queue, &member.name);
            continue;
        };
        return give(tx, limits, &holder, turn).map(Some);
    }
    Ok(None)
}

/// Hands one turn to the session of its choice, if it still waits in the session's folder.
/// `assign`: the conversation is the folder's from now on.
pub(crate) fn claim_this(
    tx: &mut Tx<'_>,
    limits: &Limits,
    (session, epoch): (&str, u64),
    id: &str,
    assign: bool,
) -> Decision<Option<Turn>> {
    let holder = session::live(tx, session, epoch)?;
    let turn = tx.get::<Turn>(&record(id))?;
    let waits = |turn: &Turn| turn.status == Status::Queued && turn.folder == holder.folder;
    let Some(turn) = turn.filter(waits) else {
        return Ok(None);
    };
    let conversation = tx.get::<Conversation>(&conversation::record(&turn.conversation))?;
    // One turn of a conversation at a time.
    let is_first = |c: &Conversation| c.open.first().is_some_and(|first| first == id);
    let Some(mut conversation) = conversation.filter(is_first) else {
        return Ok(None);
    };
    if assign {
        conversation.assign(tx, Some(&holder.folder));
        redirect(tx, limits, &mut conversation, &turn.id)?;
        conversation.put(tx, limits)?;
    }
    give(tx, limits, &holder, turn).map(Some)
}

/// Hands a queued turn to a session.
fn give(tx: &mut Tx<'_>, limits: &Limits, holder: &Session, mut turn: Turn) -> Decision<Turn> {
    turn.attempt += 1;
    turn.status = Status::Running;
    turn.session = Some(holder.id.clone());
    turn.person = holder.person.then(|| holder.name.clone());
    turn.next_seq = 1;
    turn.accept_by = Some(tx.now + limits.accept_timeout.as_millis() as Millis);
    tx.remove(ready(&turn.folder), &turn.id);
    tx.add(session::held(&holder.id), &turn.id, tx.now);
    turn.schedule(tx);
    if (turn.attempt > 1 || turn.keep)
        && let Some(mut conversation) =
            tx.get::<Conversation>(&conversation::record(&turn.conversation))?
    {
        let restart = Body::Restart {
            attempt: turn.attempt,
            keep: turn.keep,
        };
        turn.append(tx, &mut conversation, restart)?;
        conversation.put(tx, limits)?;
        turn.keep = false;
    }
    turn.put(tx, limits)?;
    // Changed by every claim, so that the end of the session misses none.
    tx.put(&session::record(&holder.id), holder, None)?;
    turn.tell(tx, "claimed", &holder.name)?;
    Ok(turn)
}

/// Takes a running turn from an agent that lost it: to the queue, from `at` on, or after too many such losses to
/// its end.
pub(crate) fn take_away(
    tx: &mut Tx<'_>,
    limits: &Limits,
    mut turn: Turn,
    why: &str,
    at: Millis,
) -> Decision<()> {
    turn.strikes += 1;
    if turn.strikes >= limits.attempts {
        let end = End {
            status: Status::Failed,
            error: COULD_NOT_ANSWER,
            detail: why,
            by_agent: false,
        };
        return end_turn(tx, limits, turn, end).map(drop);
    }
    take_back(tx, limits, turn, why, at)
}

/// Takes a running turn back to the queue, to be handed out from `at` on.
pub(crate) fn take_back(
    tx: &mut Tx<'_>,
    limits: &Limits,
    mut turn: Turn,
    why: &str,
    at: Millis,
) -> Decision<()> {
    if let Some(session) = turn.session.take() {
        tx.remove(session::held(&session), &turn.id);
        tx.publish(session::topic(&session), session::Notice::lost(&turn, why));
    }
    turn.status = Status::Queued;
    turn.person = None;
    turn.spoke = false;
    turn.accept_by = None;
    turn.schedule(tx);
    make_ready(tx, &turn, at);
    turn.put(tx, limits)?;
    turn.tell(tx, "taken back", why)
}

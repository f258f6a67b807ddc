//! Who holds a turn: it is handed to a session, and taken back from one.

use super::{COULD_NOT_ANSWER, End, Status, Turn, due, end_turn, make_ready, ready, record};
use crate::{
    conversation::{self, Conversation},
    frame::Body,
    limits::Limits,
    session,
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
        let Some(mut turn) = turn.filter(|turn| turn.status == Status::Queued) else {
            tx.remove(&queue, &member.name);
            continue;
        };
        turn.attempt += 1;
        turn.status = Status::Running;
        turn.session = Some(session.to_owned());
        turn.next_seq = 1;
        let accept_by = tx.now + limits.accept_timeout.as_millis() as Millis;
        turn.accept_by = Some(accept_by);
        tx.remove(&queue, &turn.id);
        tx.add(session::held(session), &turn.id, tx.now);
        tx.schedule(due(&turn.id), accept_by.min(turn.deadline));
        if turn.attempt > 1
            && let Some(mut conversation) =
                tx.get::<Conversation>(&conversation::record(&turn.conversation))?
        {
            let restart = Body::Restart {
                attempt: turn.attempt,
                keep: false,
            };
            turn.append(tx, &mut conversation, restart)?;
            conversation.put(tx, limits)?;
        }
        turn.put(tx, limits)?;
        // Changed by every claim, so that the end of the session misses none.
        tx.put(&session::record(session), &holder, None)?;
        turn.tell(tx, "claimed", &holder.name)?;
        return Ok(Some(turn));
    }
    Ok(None)
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
    turn.accept_by = None;
    tx.schedule(due(&turn.id), turn.deadline);
    make_ready(tx, &turn, at);
    turn.put(tx, limits)?;
    turn.tell(tx, "taken back", why)
}

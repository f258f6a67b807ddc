//! How turns end: by their agent, by a cancellation, by another module's decision, or at once.

use super::{
    End, Finisher, State, Turn, budget, daily, exchange::Exchange, observe, quota, retention,
};
use crate::{
    conversation::Conversation,
    events::Kind,
    frame::{Body, Message, Outcome, Transcript, TurnDone},
    ids::TurnId,
    names, queue,
    session::Notice,
    transaction::{Decision, Tx},
};

/// What a visitor reads when the agent could not answer and says nothing better.
pub(super) const COULD_NOT_ANSWER: &str = "The agent could not answer.";
/// Why the turns of a revoked or expired link are cancelled.
pub(crate) const LINK_ENDED: &str = "its link has ended";

/// How a turn ends, and why.
pub(super) struct Ending<'a> {
    pub(super) outcome: Outcome,
    /// What the visitor is told; may be empty.
    pub(super) error: &'a str,
    /// What the operator is told; may be empty.
    pub(super) detail: &'a str,
}

/// Cancels a turn, unless it has ended, and returns it; `None` if the turn or its conversation is
/// gone.
pub(crate) fn cancel(tx: &mut Tx<'_>, id: &TurnId, why: &str) -> Decision<Option<Turn>> {
    let Some(turn) = tx.get_tracked::<Turn>(id)? else {
        return Ok(None);
    };
    if !turn.is_open() {
        return Ok(Some(turn.into_inner()));
    }
    let Some(exchange) = Exchange::of(tx, turn)? else {
        return Ok(None);
    };
    end(tx, exchange, &Ending { outcome: Outcome::Cancelled, error: "", detail: why }).map(Some)
}

/// Ends a turn that its agent has not ended, and notifies the session that holds the turn.
pub(super) fn end(tx: &mut Tx<'_>, exchange: Exchange, ending: &Ending<'_>) -> Decision<Turn> {
    let notice = exchange.turn.cancelled();
    end_open(tx, exchange, ending, Some(notice), None)
}

/// Ends a turn as the agent that holds it asks, and counts the `tokens` that it reports. The agent
/// gets an answer and needs no notice.
pub(super) fn end_by_agent(
    tx: &mut Tx<'_>,
    mut exchange: Exchange,
    ending: &Ending<'_>,
    tokens: Option<u64>,
) -> Decision<Turn> {
    budget::settle(tx, &mut exchange.turn, tokens);
    exchange.conversation.with = exchange.turn.place.folder.clone();
    let next_seq = exchange.frames.progress.next_seq;
    let hold = exchange.turn.hold();
    let finisher = hold.map(|hold| Finisher { session: hold.session.clone(), next_seq });
    end_open(tx, exchange, ending, None, finisher)
}

fn end_open(
    tx: &mut Tx<'_>,
    mut exchange: Exchange,
    ending: &Ending<'_>,
    notice: Option<Notice>,
    finished_by: Option<Finisher>,
) -> Decision<Turn> {
    let Exchange { turn, conversation, frames } = &mut exchange;
    turn.release(tx, notice);
    let was_first = conversation.is_first(&turn.id);
    conversation.open.retain(|open| *open != turn.id);
    conversation.touch(tx);
    if turn.attempt == 0 {
        observe::put_back(tx, turn, Some(conversation))?;
    }
    if was_first {
        queue_next(tx, conversation)?;
    }
    let mut transcript = Transcript::default();
    if frames.progress.n > 0 {
        let log = names::log(&turn.conversation);
        transcript.add_those_of(&turn.id, &tx.entries(&log, turn.before_reply())?)?;
    }
    close(tx, &mut exchange, ending, transcript, finished_by)?;
    exchange.turn.tell(tx, ending.outcome.word(), ending.detail)?;
    exchange.store(tx)
}

/// Ends a new turn at once, with `messages` as its reply: no agent is to answer it.
pub(super) fn end_new(
    tx: &mut Tx<'_>,
    exchange: &mut Exchange,
    outcome: Outcome,
    messages: Vec<Message>,
) -> Decision<()> {
    let transcript = Transcript { messages, ..Transcript::default() };
    close(tx, exchange, &Ending { outcome, error: "", detail: "" }, transcript, None)
}

/// Adds the turn's last frame, and stores the whole reply.
fn close(
    tx: &mut Tx<'_>,
    exchange: &mut Exchange,
    ending: &Ending<'_>,
    mut transcript: Transcript,
    finished_by: Option<Finisher>,
) -> Decision<()> {
    let response = exchange.frames.progress.response_bytes;
    quota::add_reply(tx, exchange, transcript.size() + response);
    let Exchange { turn, conversation, frames } = exchange;
    let done = TurnDone {
        outcome: ending.outcome,
        error: ending.error.to_owned(),
        traceparent: turn.origin.traceparent.clone(),
    };
    daily::count_end(tx, turn, ending.outcome);
    let last_seq = frames.append(tx, Body::TurnDone(done.clone()))?;
    transcript.n = frames.progress.n;
    transcript.status_text.clear();
    transcript.end = Some(done);
    tx.put(&turn.id, &transcript)?;
    turn.state = State::Ended(End {
        outcome: ending.outcome,
        at: tx.now,
        detail: ending.detail.to_owned(),
        finished_by,
        last_seq,
    });
    retention::schedule(tx, conversation)?;
    add_event(tx, turn, ending.outcome)
}

/// Adds the event of the turn's end for the tenant's own systems. A message that no agent was to
/// answer makes no event.
fn add_event(tx: &mut Tx<'_>, turn: &Turn, outcome: Outcome) -> Decision<()> {
    let kind = match outcome {
        Outcome::Done => Kind::TurnDone,
        Outcome::Failed => Kind::TurnFailed,
        Outcome::Cancelled => Kind::TurnCancelled,
        Outcome::Expired => Kind::TurnExpired,
        Outcome::Observed | Outcome::Dropped => return Ok(()),
    };
    turn.add_event(tx, kind, &[])
}

/// Queues the conversation's first open turn. Turns whose records are gone are removed, so that
/// they don't block those after them.
fn queue_next(tx: &mut Tx<'_>, conversation: &mut Conversation) -> Decision<()> {
    while let Some(id) = conversation.open.first() {
        if let Some(next) = tx.get::<Turn>(id)? {
            if next.is_queued() {
                queue::enter(tx, &next);
            }
            return Ok(());
        }
        tx.remove(&names::open_turns(&conversation.token), id);
        conversation.open.remove(0);
    }
    Ok(())
}

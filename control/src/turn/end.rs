//! How turns end: by their agent, by a cancel, by their deadlines, or as they begin.

use super::{
    Input, NOBODY_CAME, SECOND_THOUGHTS, TOOK_TOO_LONG, Turn, aside, due, input, make_ready, pass,
    record, release, reply, take_away,
};
use crate::{
    conversation::{self, Conversation},
    frame::{Body, Frame, Message, Status, Transcript},
    limits::Limits,
    token,
    transaction::{Decision, Stop, Tx},
};
use bytes::Bytes;

/// A turn that nobody is to answer: it ends as it begins. The caller has appended its frames.
pub(super) fn end_at_once(
    tx: &mut Tx<'_>,
    limits: &Limits,
    turn: &mut Turn,
    conversation: &mut Conversation,
    (status, messages): (Status, Vec<Message>),
) -> Decision<()> {
    let done =
        Body::TurnDone { status, error: String::new(), traceparent: turn.traceparent.clone() };
    turn.append(tx, conversation, done)?;
    turn.status = status;
    turn.ended_at = Some(tx.now);
    let transcript = Transcript {
        messages,
        n: turn.n,
        end: Some((status, String::new())),
        ..Transcript::default()
    };
    let lifetime = Some(conversation::lifetime(limits));
    tx.put(&reply(&turn.id), &transcript, lifetime)?;
    conversation::schedule_clean_up(tx, limits, conversation);
    Ok(())
}

/// How a turn ends.
pub(super) struct End<'a> {
    pub(super) status: Status,
    /// For the visitor.
    pub(super) error: &'a str,
    /// For the operator.
    pub(super) detail: &'a str,
    /// Whether its agent said so; otherwise the session that holds it is told.
    pub(super) by_agent: bool,
}

/// Ends a turn for good: its last frame, its whole reply, and the conversation's next turn.
pub(super) fn end_turn(
    tx: &mut Tx<'_>,
    limits: &Limits,
    mut turn: Turn,
    end: End<'_>,
) -> Decision<Turn> {
    release(tx, &turn, !end.by_agent);
    turn.status = end.status;
    turn.error = end.error.to_owned();
    turn.detail = end.detail.to_owned();
    turn.finished = end.by_agent;
    turn.ended_at = Some(tx.now);
    turn.accept_by = None;

    let mut transcript = transcript(
        tx.entries(&conversation::log(&turn.conversation), turn.before_reply(), u32::MAX)?,
        &turn.id,
    )?;
    if let Some(mut conversation) =
        tx.get::<Conversation>(&conversation::record(&turn.conversation))?
    {
        let done = Body::TurnDone {
            status: end.status,
            error: end.error.to_owned(),
            traceparent: turn.traceparent.clone(),
        };
        turn.append(tx, &mut conversation, done)?;
        let was_first = conversation.open.first() == Some(&turn.id);
        conversation.open.retain(|open| *open != turn.id);
        conversation.active_at = tx.now;
        if end.by_agent {
            conversation.with = turn.folder.clone();
        }
        if turn.attempt == 0 {
            aside::give_back(tx, limits, &turn, Some(&mut conversation))?;
        }
        if was_first
            && let Some(next) = next_turn(tx, &mut conversation)?
            && next.status == Status::Queued
        {
            make_ready(tx, &next, tx.now);
        }
        conversation::schedule_clean_up(tx, limits, &mut conversation);
        conversation.put(tx, limits)?;
    }
    transcript.n = turn.n;
    transcript.status_text.clear();
    transcript.end = Some((end.status, end.error.to_owned()));
    tx.put(&reply(&turn.id), &transcript, Some(conversation::lifetime(limits)))?;
    turn.put(tx, limits)?;
    turn.tell(tx, end.status.word(), end.detail)?;
    Ok(turn)
}

/// The conversation's first open turn. One whose record is gone must not stand before the others.
fn next_turn(tx: &mut Tx<'_>, conversation: &mut Conversation) -> Decision<Option<Turn>> {
    while let Some(id) = conversation.open.first() {
        if let Some(turn) = tx.get::<Turn>(&record(id))? {
            return Ok(Some(turn));
        }
        tx.remove(token::open_turns(&conversation.token), id);
        conversation.open.remove(0);
    }
    Ok(None)
}

/// Adds up a turn's frames.
pub(crate) fn transcript(entries: &[(u64, Bytes)], turn: &str) -> Decision<Transcript> {
    let mut transcript = Transcript::default();
    for (seq, entry) in entries {
        let frame: Frame = serde_json::from_slice(entry)
            .map_err(|error| Stop::Corrupt(format!("frame {seq}: {error}")))?;
        if frame.turn == turn {
            transcript.add(frame);
        }
    }
    Ok(transcript)
}

/// Stops a turn; one that has ended stays as it is.
pub(crate) fn cancel(
    tx: &mut Tx<'_>,
    limits: &Limits,
    id: &str,
    why: &str,
) -> Decision<Option<Turn>> {
    let Some(turn) = tx.get::<Turn>(&record(id))? else {
        return Ok(None);
    };
    if !turn.status.is_open() {
        return Ok(Some(turn));
    }
    let end = End { status: Status::Cancelled, error: "", detail: why, by_agent: false };
    end_turn(tx, limits, turn, end).map(Some)
}

/// Looks after the turn's deadlines: its acceptance, and its end.
pub(crate) fn check_deadlines(tx: &mut Tx<'_>, limits: &Limits, id: &str) -> Decision<()> {
    let turn = tx.get::<Turn>(&record(id))?.filter(|turn| turn.status.is_open());
    let Some(turn) = turn else {
        tx.settle(due(id));
        return Ok(());
    };
    if tx.now >= turn.deadline {
        let route = tx.get::<Input>(&input(id))?.map(|input| input.route);
        let said = route.map(|route| route.give_up_say).unwrap_or_default();
        let error = match (said.as_str(), turn.attempt) {
            ("", 0) => NOBODY_CAME,
            ("", _) => TOOK_TOO_LONG,
            (said, _) => said,
        };
        let end =
            End { status: Status::Expired, error, detail: "past its deadline", by_agent: false };
        return end_turn(tx, limits, turn, end).map(drop);
    }
    if pass::escalation_is_due(&turn, tx.now) {
        return pass::escalate(tx, limits, turn);
    }
    if turn.accept_by.is_some_and(|by| tx.now >= by) {
        let at = tx.now + SECOND_THOUGHTS;
        return take_away(tx, limits, turn, "it was not accepted in time", at);
    }
    turn.schedule(tx);
    Ok(())
}

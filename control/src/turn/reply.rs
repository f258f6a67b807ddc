//! What the agent that holds a turn does with it. Everything is safe to repeat.

use super::{
    COULD_NOT_ANSWER, End, SECOND_THOUGHTS, Status, Turn, end_turn, record, take_away, take_back,
};
use crate::{
    conversation::{self, Conversation},
    frame::Body,
    limits::Limits,
    store::Millis,
    transaction::{Decision, Refusal, Tx},
};

/// How far an attempt got, or why it may not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Stored {
        next_seq: u64,
        finished: bool,
    },
    /// The turn has ended otherwise.
    Ended,
    /// Another attempt, or nobody, holds it.
    Lost(&'static str),
}

/// A hold: which turn, by whom, and which attempt.
pub(crate) type Hold<'a> = (&'a str, &'a str, u32);

/// The turn, if this session's attempt still holds it.
pub(super) fn held(
    tx: &mut Tx<'_>,
    (turn, session, attempt): Hold<'_>,
) -> Decision<Result<Turn, Progress>> {
    let Some(turn) = tx.get::<Turn>(&record(turn))? else {
        return Ok(Err(Progress::Ended));
    };
    let mine = turn.attempt == attempt && turn.session.as_deref() == Some(session);
    Ok(match turn.status {
        Status::Running if mine => Ok(turn),
        Status::Running | Status::Queued => Err(Progress::Lost("another attempt has it")),
        _ if mine && turn.finished => {
            Err(Progress::Stored { next_seq: turn.next_seq, finished: true })
        }
        _ => Err(Progress::Ended),
    })
}

/// The agent took the turn up.
pub(crate) fn accept(tx: &mut Tx<'_>, limits: &Limits, hold: Hold<'_>) -> Decision<Progress> {
    let mut turn = match held(tx, hold)? {
        Ok(turn) => turn,
        Err(progress) => return Ok(progress),
    };
    if turn.accept_by.take().is_some() {
        turn.schedule(tx);
        turn.put(tx, limits)?;
    }
    Ok(Progress::Stored { next_seq: turn.next_seq, finished: false })
}

/// Adds frames, the first of which is the attempt's number `seq`.
pub(crate) fn append(
    tx: &mut Tx<'_>,
    limits: &Limits,
    hold: Hold<'_>,
    seq: u64,
    frames: &[Body],
) -> Decision<Progress> {
    let mut turn = match held(tx, hold)? {
        Ok(turn) => turn,
        Err(progress) => return Ok(progress),
    };
    if seq == 0 {
        return Err(Refusal::invalid("a frame's seq counts from 1").into());
    }
    // Stored before: acknowledged again. After a hole: nothing is stored, the answer says where.
    let known = usize::try_from(turn.next_seq.saturating_sub(seq)).unwrap_or(usize::MAX);
    let fresh = if seq > turn.next_seq { &[] } else { frames.get(known..).unwrap_or_default() };
    if fresh.is_empty() {
        return Ok(Progress::Stored { next_seq: turn.next_seq, finished: false });
    }
    let cost: u64 = fresh.iter().map(Body::cost).sum();
    let large = fresh.iter().any(|frame| frame.len() > limits.frame_bytes);
    if large || turn.bytes + cost > limits.turn_bytes {
        let end = End {
            status: Status::Failed,
            error: "The reply was too long.",
            detail: "a frame, or the whole reply, is over its limit of bytes",
            by_agent: false,
        };
        end_turn(tx, limits, turn, end)?;
        return Ok(Progress::Ended);
    }
    let id = conversation::record(&turn.conversation);
    let Some(mut conversation) = tx.get::<Conversation>(&id)? else {
        return Ok(Progress::Ended);
    };
    for frame in fresh {
        let mut frame = frame.clone();
        if let Body::Message { by, .. } = &mut frame {
            by.clone_from(&turn.person);
        }
        turn.append(tx, &mut conversation, frame)?;
    }
    turn.next_seq += fresh.len() as u64;
    turn.accept_by = None;
    turn.spoke = true;
    conversation.with = turn.folder.clone();
    conversation.put(tx, limits)?;
    turn.put(tx, limits)?;
    Ok(Progress::Stored { next_seq: turn.next_seq, finished: false })
}

/// What the agent says at the end.
#[derive(Clone, Debug)]
pub(crate) struct Finish {
    /// The number that a next frame would have.
    pub(crate) seq: u64,
    pub(crate) failed: bool,
    pub(crate) error: String,
    pub(crate) detail: String,
}

/// Ends the turn, if all frames before the end are stored.
pub(crate) fn finish(
    tx: &mut Tx<'_>,
    limits: &Limits,
    hold: Hold<'_>,
    finish: &Finish,
) -> Decision<Progress> {
    let turn = match held(tx, hold)? {
        Ok(turn) => turn,
        Err(progress) => return Ok(progress),
    };
    if finish.seq != turn.next_seq {
        return Ok(Progress::Stored { next_seq: turn.next_seq, finished: false });
    }
    let (error, detail) = (brief(&finish.error), brief(&finish.detail));
    let (status, error) = match (finish.failed, error) {
        (false, _) => (Status::Done, ""),
        (true, "") => (Status::Failed, COULD_NOT_ANSWER),
        (true, error) => (Status::Failed, error),
    };
    let end = End { status, error, detail, by_agent: true };
    let turn = end_turn(tx, limits, turn, end)?;
    Ok(Progress::Stored { next_seq: turn.next_seq, finished: true })
}

/// Hands the turn back, for another session or a later time.
pub(crate) fn reject(
    tx: &mut Tx<'_>,
    limits: &Limits,
    hold: Hold<'_>,
    why: &str,
    retry_after: Millis,
) -> Decision<Progress> {
    match held(tx, hold)? {
        Ok(turn) => {
            let soonest = tx.now + SECOND_THOUGHTS;
            let at = tx.now.saturating_add(retry_after).min(turn.deadline).max(soonest);
            take_back(tx, limits, turn, brief(why), at)?;
            Ok(Progress::Lost("it was handed back"))
        }
        Err(progress) => Ok(progress),
    }
}

/// The agent does not know of the turn any more, and there are frames of its attempt: another
/// begins.
pub(crate) fn forgotten(tx: &mut Tx<'_>, limits: &Limits, hold: Hold<'_>) -> Decision<()> {
    match held(tx, hold)? {
        Ok(turn) => {
            let now = tx.now;
            take_away(tx, limits, turn, "its agent has forgotten it", now)
        }
        // It has found its end meanwhile.
        Err(_) => Ok(()),
    }
}

/// As much of an agent's sentence as is kept.
pub(super) fn brief(text: &str) -> &str {
    &text[..text.floor_char_boundary(1_000)]
}

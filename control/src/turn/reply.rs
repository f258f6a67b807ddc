//! Handles the commands of the agent that holds a turn: to accept it, to add frames, to finish it,
//! to reject it. Each is safe to repeat.

use super::{
    State, Turn,
    end::{COULD_NOT_ANSWER, Ending, end, end_by_agent},
    exchange::Exchange,
    frames::{FrameWriter, Progress},
    hold::{requeue, requeue_with_strike},
    response::HttpResponse,
};
use crate::{
    conversation::Conversation,
    frame::{Body, FRAME_OVERHEAD, Outcome},
    ids::{SessionId, TurnId},
    jid::FolderName,
    names,
    refusal::Refusal,
    token::Kind,
    transaction::{Decision, Tracked, Tx},
};
use std::time::Duration;

/// How long a turn stays out of the queue at least, after its agent did not accept it or rejected
/// it, so that it doesn't return to that agent at once. A person gets only turns that they claim,
/// so a turn that a person rejects doesn't wait.
pub(super) const REDELIVERY_DELAY: Duration = Duration::from_secs(1);
/// How many bytes of an agent's error, detail or reason are kept, at most.
const MAX_SENTENCE: usize = 1_000;

/// The answer to an agent's message about an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    /// All frames before `next_seq` are stored. If `finished`, this attempt has finished the turn.
    Stored { next_seq: u64, finished: bool },
    /// The turn has ended, and this attempt did not finish it.
    Ended,
    /// Another attempt holds the turn, or none does.
    Lost(&'static str),
    /// The turn was handed off. `unattended` is its new folder if nobody is attached there.
    HandedOff { unattended: Option<FolderName> },
}

/// One delivery of a turn to a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    pub(crate) turn: TurnId,
    pub(crate) session: SessionId,
    pub(crate) number: u32,
}

impl Attempt {
    /// Whether this is the turn's newest attempt.
    pub(crate) fn is_newest_of(&self, turn: &Turn) -> bool {
        self.turn == turn.id && self.number == turn.attempt
    }

    /// Returns the turn if this attempt still holds it, and otherwise the answer to the agent.
    pub(super) fn turn(&self, tx: &mut Tx<'_>) -> Decision<Result<Tracked<Turn>, Ack>> {
        let Some(turn) = tx.get_tracked::<Turn>(&self.turn)? else {
            return Ok(Err(Ack::Ended));
        };
        let is_mine = |session: &SessionId| turn.attempt == self.number && *session == self.session;
        Ok(Err(match &turn.state {
            State::Running(hold) if is_mine(&hold.session) => return Ok(Ok(turn)),
            State::Running(_) | State::Queued => Ack::Lost("this attempt no longer holds the turn"),
            State::Ended(end) => match &end.finished_by {
                Some(by) if is_mine(&by.session) => {
                    Ack::Stored { next_seq: by.next_seq, finished: true }
                }
                _ => Ack::Ended,
            },
        }))
    }
}

/// Notes that the agent has begun to work on the turn.
pub(crate) fn accept(tx: &mut Tx<'_>, attempt: &Attempt) -> Decision<Ack> {
    let mut turn = match attempt.turn(tx)? {
        Ok(turn) => turn,
        Err(ack) => return Ok(ack),
    };
    if turn.hold().is_some_and(|hold| hold.accept_by.is_some()) {
        turn.accepted();
        turn.schedule(tx);
        turn.store(tx, &attempt.turn)?;
    }
    let next_seq = Progress::of(tx, &turn)?.map_or(1, |progress| progress.next_seq);
    Ok(Ack::Stored { next_seq, finished: false })
}

/// A frame of an agent. Each takes a number.
#[derive(Clone, Debug)]
pub(crate) enum AgentFrame {
    /// A frame of the conversation's log.
    Said(Body),
    /// The answer to a webhook's sender.
    Response(HttpResponse),
    /// A newer agent's frame, of a kind that this control doesn't know.
    Unknown,
}

impl AgentFrame {
    /// Returns the length of its text in bytes.
    fn len(&self) -> usize {
        match self {
            Self::Said(body) => body.len(),
            Self::Response(response) => response.size(),
            Self::Unknown => 0,
        }
    }

    /// Returns how many bytes of the turn's limit it takes.
    fn cost(&self) -> u64 {
        match self {
            Self::Unknown => 0,
            frame => FRAME_OVERHEAD + frame.len() as u64,
        }
    }

    /// Returns why the frame fails this turn; `None` if it doesn't.
    fn fault(&self, turn: &Turn) -> Option<String> {
        match (self, turn.origin.kind) {
            (Self::Response(response), Kind::Hook) => response.fault(),
            (Self::Response(_), Kind::Chat) => {
                Some("only the sender of a webhook gets a response".to_owned())
            }
            _ => None,
        }
    }
}

/// Adds frames. `seq` is the first frame's number within the attempt.
pub(crate) fn append_frames(
    tx: &mut Tx<'_>,
    attempt: &Attempt,
    seq: u64,
    frames: &[AgentFrame],
) -> Decision<Ack> {
    let mut turn = match attempt.turn(tx)? {
        Ok(turn) => turn,
        Err(ack) => return Ok(ack),
    };
    if seq == 0 {
        return Err(Refusal::invalid("a frame's seq counts from 1").into());
    }
    let Some(mut writer) = FrameWriter::open(tx, &turn)? else {
        return Ok(Ack::Ended);
    };
    let next_seq = writer.progress.next_seq;
    // Frames that are stored already are acknowledged again. If frames are missing before these,
    // nothing is stored, and the answer names the seq expected.
    let known = usize::try_from(next_seq.saturating_sub(seq)).unwrap_or(usize::MAX);
    let fresh = if seq > next_seq { &[] } else { frames.get(known..).unwrap_or_default() };
    if fresh.is_empty() {
        return Ok(Ack::Stored { next_seq, finished: false });
    }
    let cost: u64 = fresh.iter().map(AgentFrame::cost).sum();
    let is_large = fresh.iter().any(|frame| frame.len() > tx.limits.frame_bytes);
    if is_large || writer.progress.bytes + cost > tx.limits.turn_bytes {
        let detail = "a frame, or the whole reply, is over its limit of bytes";
        return end_as_failed(tx, turn, "The reply was too long.", detail);
    }
    if let Some(fault) = fresh.iter().find_map(|frame| frame.fault(&turn)) {
        return end_as_failed(tx, turn, COULD_NOT_ANSWER, &fault);
    }
    let person = turn.hold().and_then(|hold| hold.person.clone());
    for frame in fresh {
        match frame.clone() {
            AgentFrame::Said(mut body) => {
                match &mut body {
                    Body::Message { by, .. } => by.clone_from(&person),
                    Body::Title { text } => entitle(tx, &turn, text)?,
                    _ => {}
                }
                writer.append(tx, body)?;
            }
            AgentFrame::Response(response) => {
                respond(tx, &turn, &mut writer, &response)?;
            }
            AgentFrame::Unknown => {}
        }
    }
    let next_seq = next_seq + fresh.len() as u64;
    writer.progress.next_seq = next_seq;
    writer.store(tx, true)?;
    if fresh.iter().any(|frame| !matches!(frame, AgentFrame::Unknown)) {
        note_first_frame(tx, &mut turn)?;
    }
    Ok(Ack::Stored { next_seq, finished: false })
}

/// Keeps the title of the turn's conversation.
fn entitle(tx: &mut Tx<'_>, turn: &Turn, title: &str) -> Decision<()> {
    if let Some(mut conversation) = tx.get_tracked::<Conversation>(&turn.conversation)? {
        conversation.title = Some(title.to_owned()).filter(|title| !title.is_empty());
        conversation.store(tx, &turn.conversation)?;
    }
    Ok(())
}

/// Stores the response of a webhook's turn, and wakes those who wait for it. The first one stands,
/// since the sender may have it already.
fn respond(
    tx: &mut Tx<'_>,
    turn: &Turn,
    writer: &mut FrameWriter,
    response: &HttpResponse,
) -> Decision<()> {
    if writer.progress.response_bytes > 0 {
        return Ok(());
    }
    writer.progress.response_bytes = response.size();
    writer.progress.bytes += FRAME_OVERHEAD + response.size() as u64;
    tx.publish(names::conversation_topic(&turn.conversation), "response");
    tx.put(&turn.id, response)
}

fn end_as_failed(tx: &mut Tx<'_>, turn: Tracked<Turn>, error: &str, detail: &str) -> Decision<Ack> {
    if let Some(exchange) = Exchange::of(tx, turn)? {
        end(tx, exchange, &Ending { outcome: Outcome::Failed, error, detail })?;
    }
    Ok(Ack::Ended)
}

/// Notes a folder's first frame in its turn and conversation.
fn note_first_frame(tx: &mut Tx<'_>, turn: &mut Tracked<Turn>) -> Decision<()> {
    if turn.place.spoke {
        return Ok(());
    }
    turn.place.spoke = true;
    turn.first_frame_at.get_or_insert(tx.now);
    turn.accepted();
    turn.store(tx, &turn.id)?;
    let conversation = tx.get_tracked::<Conversation>(&turn.conversation)?;
    if let Some(mut conversation) = conversation.filter(|c| c.with != turn.place.folder) {
        conversation.with = turn.place.folder.clone();
        conversation.store(tx, &turn.conversation)?;
    }
    Ok(())
}

impl Turn {
    fn accepted(&mut self) {
        if let State::Running(hold) = &mut self.state {
            hold.accept_by = None;
        }
    }
}

/// How an agent ends its turn.
#[derive(Clone, Debug)]
pub(crate) struct Finish {
    /// The number that the attempt's next frame would have.
    pub(crate) seq: u64,
    pub(crate) failed: bool,
    pub(crate) error: String,
    pub(crate) detail: String,
    /// How many model tokens the turn used; `None` if that is unknown.
    pub(crate) tokens: Option<u64>,
}

/// Ends the turn, if `finish.seq` is the number that the attempt's next frame would have.
pub(crate) fn finish(tx: &mut Tx<'_>, attempt: &Attempt, finish: &Finish) -> Decision<Ack> {
    let turn = match attempt.turn(tx)? {
        Ok(turn) => turn,
        Err(ack) => return Ok(ack),
    };
    let Some(exchange) = Exchange::of(tx, turn)? else {
        return Ok(Ack::Ended);
    };
    let next_seq = exchange.frames.progress.next_seq;
    if finish.seq != next_seq {
        return Ok(Ack::Stored { next_seq, finished: false });
    }
    let (error, detail) = (brief(&finish.error), brief(&finish.detail));
    let (outcome, error) = match (finish.failed, error) {
        (false, _) => (Outcome::Done, ""),
        (true, "") => (Outcome::Failed, COULD_NOT_ANSWER),
        (true, error) => (Outcome::Failed, error),
    };
    end_by_agent(tx, exchange, &Ending { outcome, error, detail }, finish.tokens)?;
    Ok(Ack::Stored { next_seq, finished: true })
}

/// Requeues a turn that its agent rejects. It enters the queue after `retry_after`, or after
/// [`REDELIVERY_DELAY`] if that is longer and no person rejects it.
pub(crate) fn reject(
    tx: &mut Tx<'_>,
    attempt: &Attempt,
    why: &str,
    retry_after: Option<Duration>,
) -> Decision<Ack> {
    match attempt.turn(tx)? {
        Ok(turn) => {
            let is_persons = turn.hold().is_some_and(|hold| hold.person.is_some());
            let least = if is_persons { Duration::ZERO } else { REDELIVERY_DELAY };
            let wait = retry_after.unwrap_or_default();
            let at = (tx.now + wait).min(turn.deadline).max(tx.now + least);
            requeue(tx, turn, brief(why), at)?;
            Ok(Ack::Lost("it was rejected"))
        }
        Err(ack) => Ok(ack),
    }
}

/// Requeues a turn that its agent has begun and forgotten, as lost.
pub(crate) fn requeue_forgotten(tx: &mut Tx<'_>, attempt: &Attempt) -> Decision<()> {
    match attempt.turn(tx)? {
        Ok(turn) => requeue_with_strike(tx, turn, "its agent has forgotten it", tx.now),
        // The attempt no longer holds the turn.
        Err(_) => Ok(()),
    }
}

/// Returns the part of an agent's text that is kept.
fn brief(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_SENTENCE)]
}

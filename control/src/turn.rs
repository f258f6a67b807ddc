//! Turns: one message, and all that is replied to it.
//!
//! A turn is queued, then running in the hands of one agent's session, then ended for good. Each
//! hand-out is a new attempt, and only the newest attempt may write.

use crate::{
    audit::{self, Event},
    conversation::{self, Conversation, Handed},
    frame::{Body, Frame, Message, Status, Transcript},
    jid::Folder,
    limits::Limits,
    session,
    store::Millis,
    token::{self, Kind},
    transaction::{Decision, Stop, Tx},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

mod aside;
mod hold;
mod pass;
pub(crate) mod post;
mod repeat;
mod reply;
mod speak;

pub(crate) use aside::{DROPPED, Dropped, dropped, give_back};
pub(crate) use hold::{claim, claim_this, take_away, take_back};
pub(crate) use pass::{Handoff, hand_off, redirect};
pub(crate) use post::{Input, Post, post};
pub(crate) use reply::{Finish, Progress, accept, append, finish, forgotten, reject};
pub(crate) use speak::{Speech, speak};

/// What a visitor reads when the agent could not answer and says nothing better.
pub(crate) const COULD_NOT_ANSWER: &str = "The agent could not answer.";
const TOOK_TOO_LONG: &str = "The agent took too long to answer.";
const NOBODY_CAME: &str = "Nobody was there to answer in time.";
/// How long nobody gets a turn that was not accepted, so that another session has a chance.
const SECOND_THOUGHTS: Millis = 1_000;
/// The set of a partition's turns that wait for an agent, scored by when they began: what queues
/// of folders have in it, for whoever looks at all of them.
pub(crate) const WAITING: &str = "waiting";

/// A turn's record. The message is in [`input`], so that this stays small: it changes with every
/// frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) id: String,
    pub(crate) conversation: String,
    pub(crate) token: String,
    pub(crate) kind: Kind,
    pub(crate) jid: String,
    /// The agent that is to answer.
    pub(crate) folder: Folder,
    /// The one that the route named, to which it can be handed back.
    pub(crate) home: Folder,
    /// The agent spoke first: there is no message of a visitor's.
    pub(crate) unasked: bool,
    pub(crate) sender: String,
    pub(crate) traceparent: String,
    pub(crate) created_at: Millis,
    pub(crate) deadline: Millis,
    pub(crate) status: Status,
    /// The number of the newest hold; 0 before the first.
    pub(crate) attempt: u32,
    /// The session that holds it.
    pub(crate) session: Option<String>,
    /// The name of the person who holds it, if it is one.
    pub(crate) person: Option<String>,
    /// Whether there is a frame of the folder that has it now.
    pub(crate) spoke: bool,
    /// From whom it comes, if another had it before.
    pub(crate) handed: Option<Handed>,
    /// The next step of its escalation; how long without a frame it waits, until when, and until
    /// when without an end.
    pub(crate) step: usize,
    pub(crate) silence: Option<Millis>,
    pub(crate) silent_until: Option<Millis>,
    pub(crate) unfinished_until: Option<Millis>,
    /// Whether what was said stays when the next agent begins.
    pub(crate) keep: bool,
    /// How often it went from folder to folder.
    pub(crate) passes: u32,
    /// When it has to be accepted; `None` once it is.
    pub(crate) accept_by: Option<Millis>,
    /// The number that the attempt's next frame has.
    pub(crate) next_seq: u64,
    /// The number of the turn's last frame.
    pub(crate) n: u32,
    /// What its frames take of the limit.
    pub(crate) bytes: u64,
    /// The seq of the visitor's message.
    pub(crate) first_seq: u64,
    /// The seq of the last frame.
    pub(crate) last_seq: u64,
    /// How often an agent lost it. Not those that handed it back in peace.
    pub(crate) strikes: u32,
    pub(crate) ended_at: Option<Millis>,
    /// Whether its agent ended it.
    pub(crate) finished: bool,
    pub(crate) error: String,
    /// For the operator.
    pub(crate) detail: String,
}

impl Turn {
    /// Adds a frame. The caller puts the turn and the conversation.
    fn append(
        &mut self,
        tx: &mut Tx<'_>,
        conversation: &mut Conversation,
        body: Body,
    ) -> Decision<()> {
        self.n += 1;
        self.bytes += body.cost();
        conversation.append(tx, &self.id, self.n, body)?;
        self.last_seq = conversation.head;
        Ok(())
    }

    fn put(&self, tx: &mut Tx<'_>, limits: &Limits) -> Decision<()> {
        tx.put(
            &record(&self.id),
            self,
            Some(conversation::lifetime(limits)),
        )
    }

    /// Makes sure that it is looked at when something is due.
    fn schedule(&self, tx: &mut Tx<'_>) {
        let silent = self.silent_until.filter(|_| !self.spoke);
        let soonest = [self.accept_by, silent, self.unfinished_until];
        let soonest = soonest.into_iter().flatten().min();
        tx.schedule(
            due(&self.id),
            soonest.map_or(self.deadline, |at| at.min(self.deadline)),
        );
    }

    /// The seq after which the reply begins.
    pub(crate) fn before_reply(&self) -> u64 {
        self.first_seq - u64::from(self.unasked)
    }

    /// Whether the session's agent is at work on it.
    pub(crate) fn is_held_by(&self, session: &str) -> bool {
        self.status == Status::Running && self.session.as_deref() == Some(session)
    }

    /// Whether nothing has been said in it: there are no frames but those that begin an attempt
    /// after the first.
    pub(crate) fn is_silent(&self) -> bool {
        self.n + 1 == self.attempt
    }

    /// The id of the visitor's message.
    pub(crate) fn user_message(&self) -> String {
        format!("{}.user", self.id)
    }

    fn tell(&self, tx: &mut Tx<'_>, event: &str, detail: &str) -> Decision<()> {
        audit::tell(
            tx,
            Event {
                event: event.to_owned(),
                folder: self.folder.to_string(),
                jid: self.jid.clone(),
                conversation: self.conversation.clone(),
                turn: self.id.clone(),
                detail: detail.to_owned(),
                ..Event::default()
            },
        )
    }
}

pub(crate) fn record(id: &str) -> String {
    format!("turn:{id}")
}

/// The record of the message.
pub(crate) fn input(id: &str) -> String {
    format!("input:{id}")
}

/// The record of the whole reply, once it has ended.
pub(crate) fn reply(id: &str) -> String {
    format!("reply:{id}")
}

/// The due item of its deadlines.
pub(crate) fn due(id: &str) -> String {
    format!("turn:{id}")
}

/// The set of a folder's turns that wait for an agent, scored by when they may be handed out.
pub(crate) fn ready(folder: &Folder) -> String {
    format!("ready:{folder}")
}

/// The topic that says that a folder's turns are waiting.
pub(crate) fn ready_topic(folder: &Folder) -> String {
    format!("ready:{folder}")
}

/// Puts the turn into its folder's queue.
fn make_ready(tx: &mut Tx<'_>, turn: &Turn, at: Millis) {
    tx.add(ready(&turn.folder), &turn.id, at);
    tx.add(WAITING, &turn.id, turn.created_at);
    tx.publish(ready_topic(&turn.folder), "ready");
}

/// Takes it out again.
fn leave_queue(tx: &mut Tx<'_>, turn: &Turn) {
    tx.remove(ready(&turn.folder), &turn.id);
    tx.remove(WAITING, &turn.id);
}

/// Takes the turn out of every queue and hand. `tell_session`: its session hears that it ended.
pub(crate) fn release(tx: &mut Tx<'_>, turn: &Turn, tell_session: bool) {
    leave_queue(tx, turn);
    tx.remove(token::open_turns(&turn.token), &turn.id);
    tx.settle(due(&turn.id));
    if let Some(session) = &turn.session {
        tx.remove(session::held(session), &turn.id);
        if tell_session {
            tx.publish(session::topic(session), session::Notice::cancel(turn));
        }
    }
}

/// A turn that nobody is to answer: it ends as it begins. The caller has appended its frames.
fn end_at_once(
    tx: &mut Tx<'_>,
    limits: &Limits,
    turn: &mut Turn,
    conversation: &mut Conversation,
    (status, messages): (Status, Vec<Message>),
) -> Decision<()> {
    let done = Body::TurnDone {
        status,
        error: String::new(),
        traceparent: turn.traceparent.clone(),
    };
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
struct End<'a> {
    status: Status,
    /// For the visitor.
    error: &'a str,
    /// For the operator.
    detail: &'a str,
    /// Whether its agent said so; otherwise the session that holds it is told.
    by_agent: bool,
}

/// Ends a turn for good: its last frame, its whole reply, and the conversation's next turn.
fn end_turn(tx: &mut Tx<'_>, limits: &Limits, mut turn: Turn, end: End<'_>) -> Decision<Turn> {
    release(tx, &turn, !end.by_agent);
    turn.status = end.status;
    turn.error = end.error.to_owned();
    turn.detail = end.detail.to_owned();
    turn.finished = end.by_agent;
    turn.ended_at = Some(tx.now);
    turn.accept_by = None;

    let mut transcript = transcript(
        tx.entries(
            &conversation::log(&turn.conversation),
            turn.before_reply(),
            u32::MAX,
        )?,
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
    tx.put(
        &reply(&turn.id),
        &transcript,
        Some(conversation::lifetime(limits)),
    )?;
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
    let end = End {
        status: Status::Cancelled,
        error: "",
        detail: why,
        by_agent: false,
    };
    end_turn(tx, limits, turn, end).map(Some)
}

/// Looks after the turn's deadlines: its acceptance, and its end.
pub(crate) fn check_deadlines(tx: &mut Tx<'_>, limits: &Limits, id: &str) -> Decision<()> {
    let turn = tx
        .get::<Turn>(&record(id))?
        .filter(|turn| turn.status.is_open());
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
        let end = End {
            status: Status::Expired,
            error,
            detail: "past its deadline",
            by_agent: false,
        };
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

//! Turns: one message, and all that is replied to it.
//!
//! A turn is queued, then running in the hands of one agent's session, then ended for good. Each
//! hand-out is a new attempt, and only the newest attempt may write.

use crate::{
    audit::{self, Event},
    conversation::{self, Conversation, Handed},
    frame::{Body, Status},
    jid::Folder,
    limits::Limits,
    session,
    store::Millis,
    token::{self, Kind},
    transaction::{Decision, Tx},
};
use serde::{Deserialize, Serialize};

mod aside;
mod end;
mod hold;
mod pass;
pub(crate) mod post;
mod repeat;
mod reply;
mod speak;

pub(crate) use aside::{DROPPED, Dropped, dropped, give_back};
pub(crate) use end::{cancel, check_deadlines, transcript};
pub(crate) use hold::{claim, claim_this, take_away, take_back};
pub(crate) use pass::{Handoff, hand_off, redirect};
pub(crate) use post::{Input, Post, post};
pub(crate) use reply::{Finish, Progress, accept, append, finish, forgotten, reject};
pub(crate) use speak::{Speech, speak};

use end::{End, end_at_once, end_turn};

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
        tx.put(&record(&self.id), self, Some(conversation::lifetime(limits)))
    }

    /// Makes sure that it is looked at when something is due.
    fn schedule(&self, tx: &mut Tx<'_>) {
        let silent = self.silent_until.filter(|_| !self.spoke);
        let soonest = [self.accept_by, silent, self.unfinished_until];
        let soonest = soonest.into_iter().flatten().min();
        tx.schedule(due(&self.id), soonest.map_or(self.deadline, |at| at.min(self.deadline)));
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

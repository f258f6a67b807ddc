//! Turns: one message, and everything that is replied to it.
//!
//! A turn is queued, then running in the hands of one agent's session, then ended for good. Each
//! delivery is a new attempt, and only the newest attempt may write.

use crate::{
    audit::{self, Event},
    conversation::Handoff,
    frame::Outcome,
    ids::{ConversationId, SessionId, TokenId, TurnId},
    jid::FolderName,
    limits::Limits,
    names::{self, Due},
    queue,
    session::Notice,
    time::Time,
    token::Kind,
    transaction::{Decision, Record, Tx},
    visitor::Visitor,
};
use arizuko_proto::public_id;
use journal::Delivery;
use serde::{Deserialize, Serialize};
use std::time::Duration;

mod caps;
pub(crate) mod deadlines;
pub(crate) mod end;
pub(crate) mod erasure;
pub(crate) mod exchange;
pub(crate) mod frames;
pub(crate) mod handoff;
pub(crate) mod hold;
pub(crate) mod input;
pub(crate) mod journal;
pub(crate) mod lease;
pub(crate) mod observe;
pub(crate) mod overdue;
pub(crate) mod post;
mod quota;
pub(crate) mod reassign;
pub(crate) mod repeat;
pub(crate) mod reply;
pub(crate) mod retention;
pub(crate) mod speak;

/// A turn, without its message ([`input::Input`]) and without what changes with each frame
/// ([`frames::Progress`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) id: TurnId,
    pub(crate) conversation: ConversationId,
    pub(crate) origin: Origin,
    pub(crate) place: Place,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) escalation: Escalation,
    /// When the turn ends as expired.
    pub(crate) deadline: Time,
    /// The number of the newest delivery; 0 before the first.
    #[serde(default)]
    pub(crate) attempt: u32,
    /// How often agents lost it. An agent that gives it back does not count.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) strikes: u32,
    /// Whether the messages so far stay when the next attempt begins.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) keep: bool,
    /// When it enters its folder's queue again, if its agent has just lost it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) back_at: Option<Time>,
    /// Its newest delivery; `None` before the first, and for those of an older control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delivery: Option<Delivery>,
    /// How many entries its journal has had.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) events: u64,
    /// When an agent first added a frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_frame_at: Option<Time>,
    /// The seq of the visitor's message, or of the agent's if it spoke first.
    pub(crate) first_seq: u64,
    /// The bytes that it counts as, in the limits of its link and its tenant.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) kept: u64,
    pub(crate) state: State,
}

/// Where a turn comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) token: TokenId,
    pub(crate) kind: Kind,
    pub(crate) jid: String,
    /// `visitor`, or a webhook's source. Empty where the agent spoke first.
    pub(crate) sender: String,
    /// Where the visitor is, until the turn ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) visitor: Option<Visitor>,
    /// The W3C trace context of the post, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) traceparent: String,
    /// Whether an agent spoke first, so that there is no message of a visitor.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) unasked: bool,
    pub(crate) created_at: Time,
}

/// Whose agent answers a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) folder: FolderName,
    /// The folder that the route named, to which the turn can be handed back.
    pub(crate) home: FolderName,
    /// Who had it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) handoff: Option<Handoff>,
    /// How often it moved from folder to folder.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) moves: u32,
    /// Whether an agent of this folder has added a frame.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) spoke: bool,
}

/// Where a turn stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It waits for an agent, or for the conversation's turns before it.
    Queued,
    Running(Hold),
    Ended(End),
}

/// How a session holds a running turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    pub(crate) session: SessionId,
    /// The name of the person who answers, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) person: Option<String>,
    /// Until when the agent has to accept it; `None` once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) accept_by: Option<Time>,
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    pub(crate) at: Time,
    /// For the operator.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) detail: String,
    /// The session whose agent ended it, and the number that its next frame would have had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finished_by: Option<Finisher>,
    /// The seq of the turn's last frame.
    pub(crate) last_seq: u64,
}

/// The session whose agent ended a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finisher {
    pub(crate) session: SessionId,
    /// The number that the attempt's next frame would have had.
    pub(crate) next_seq: u64,
}

/// When somebody else is asked, because no answer comes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Escalation {
    /// The number of the next step, counted from 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) step: usize,
    /// How long the next step waits for a frame.
    #[serde(default, skip_serializing_if = "is_default", with = "crate::time::stored::option")]
    pub(crate) silence: Option<Duration>,
    /// When the step is taken if the folder has not added a frame.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) silent_until: Option<Time>,
    /// When the step is taken if the turn has not ended.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) unfinished_until: Option<Time>,
}

impl Record for Turn {
    type Id = TurnId;

    fn name(id: &TurnId) -> String {
        names::turn(id)
    }

    fn lifetime(&self, limits: &Limits) -> Option<Duration> {
        Some(limits.conversation_lifetime())
    }
}

impl Turn {
    pub(crate) fn is_open(&self) -> bool {
        self.end().is_none()
    }

    pub(crate) fn is_queued(&self) -> bool {
        self.state == State::Queued
    }

    pub(crate) fn end(&self) -> Option<&End> {
        match &self.state {
            State::Ended(end) => Some(end),
            State::Queued | State::Running(_) => None,
        }
    }

    pub(crate) fn hold(&self) -> Option<&Hold> {
        match &self.state {
            State::Running(hold) => Some(hold),
            State::Queued | State::Ended(_) => None,
        }
    }

    /// Whether the session's agent is at work on it.
    pub(crate) fn is_held_by(&self, session: &SessionId) -> bool {
        self.hold().is_some_and(|hold| hold.session == *session)
    }

    /// Whether it waits for an agent of this folder.
    pub(crate) fn waits_for(&self, folder: &FolderName) -> bool {
        self.is_queued() && self.place.folder == *folder
    }

    /// The seq after which the reply begins.
    pub(crate) fn before_reply(&self) -> u64 {
        self.first_seq - u64::from(self.origin.unasked)
    }

    /// The id of the visitor's message.
    pub(crate) fn user_message(&self) -> String {
        format!("{}.user", self.id)
    }

    /// Takes it from the session that holds it, if one does: the only way out of
    /// [`State::Running`]. `notice` is what that session is told.
    fn leave_running(&mut self, tx: &mut Tx<'_>, notice: Option<Notice>) -> Option<Hold> {
        let hold = self.hold()?.clone();
        tx.remove(&names::held(&hold.session), &self.id);
        if let Some(notice) = notice {
            notice.publish(tx, &hold.session);
        }
        self.state = State::Queued;
        Some(hold)
    }

    /// Removes it from its session, from its queue, and from the open turns of its token and
    /// visitor.
    fn release(&mut self, tx: &mut Tx<'_>, notice: Option<Notice>) {
        self.leave_running(tx, notice);
        queue::leave(tx, self);
        let token = &self.origin.token;
        tx.remove(&names::open_turns(token), &self.id);
        for hash in self.origin.visitor.iter().flat_map(Visitor::counted) {
            tx.remove(&names::open_turns_from(token, hash), &self.id);
        }
        self.origin.visitor = None;
        tx.unschedule(&Due::Turn(self.id.clone()));
    }

    /// The notice that tells its session that it has ended.
    fn cancelled(&self) -> Notice {
        Notice::Cancel { turn: self.id.clone(), attempt: self.attempt }
    }

    /// The notice that tells its session that it no longer holds the turn.
    fn lost(&self, why: &str) -> Notice {
        Notice::Lost { turn: self.id.clone(), attempt: self.attempt, why: why.to_owned() }
    }

    /// Publishes an event about it to `tail` subscribers, who see public ids alone.
    fn tell(&self, tx: &mut Tx<'_>, event: &str, detail: &str) -> Decision<()> {
        audit::tell(
            tx,
            Event {
                event: event.to_owned(),
                folder: self.place.folder.to_string(),
                jid: self.origin.jid.clone(),
                conversation: public_id::conversation(self.conversation.as_str()),
                turn: public_id::turn(self.id.as_str()),
                detail: detail.to_owned(),
                ..Event::default()
            },
        )
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

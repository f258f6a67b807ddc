//! Turns: one message, and everything that is sent in reply to it.
//!
//! A turn is queued, then running while one agent's session holds it, then ended for good. Each
//! delivery is a new attempt, and only the newest attempt may write.

use crate::{
    audit::{self, Event},
    conversation::Handoff,
    events::{self, Happened, Kind as EventKind},
    frame::Outcome,
    ids::{ConversationId, SessionId, TokenId, TurnId},
    jid::FolderName,
    limits::Limits,
    names,
    session::Notice,
    time::Time,
    token::Kind,
    transaction::{Decision, Record, Tx},
    visitor::Visitor,
};
use arizuko_proto::public_id;
use journal::Delivery;
use rating::Rating;
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub(crate) mod budget;
pub(crate) mod caps;
pub(crate) mod daily;
pub(crate) mod deadlines;
mod dedupe;
pub(crate) mod end;
pub(crate) mod erasure;
pub(crate) mod exchange;
pub(crate) mod frames;
pub(crate) mod handoff;
pub(crate) mod hold;
pub(crate) mod input;
pub(crate) mod journal;
pub(crate) mod lease;
pub(crate) mod note;
pub(crate) mod observe;
pub(crate) mod overdue;
pub(crate) mod post;
pub(crate) mod proof;
mod quota;
pub(crate) mod rating;
pub(crate) mod reassign;
mod release;
pub(crate) mod repeat;
pub(crate) mod replay;
pub(crate) mod reply;
pub(crate) mod response;
pub(crate) mod retention;
pub(crate) mod speak;
pub(crate) mod texts;

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
    /// How many times agents have lost the turn since it was last handed off or escalated. An agent
    /// that rejects the turn does not lose it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) strikes: u32,
    /// Whether the visitor keeps the messages so far when the next attempt begins.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) keep: bool,
    /// When the turn enters its folder's queue again, after its agent lost or rejected it;
    /// `None` if no such wait is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) back_at: Option<Time>,
    /// The newest delivery; `None` before the first, or if an older control delivered the turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delivery: Option<Delivery>,
    /// How many entries were ever added to the turn's journal.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) events: u64,
    /// When an agent first added a frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_frame_at: Option<Time>,
    /// The seq of the message that began the turn.
    pub(crate) first_seq: u64,
    /// How many bytes the turn counts as in the limits of its link and its tenant.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) kept: u64,
    /// How many tokens of its link's budget are reserved for the turn, until it ends.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) reserved_tokens: u64,
    /// The turn whose message is replaced by this turn's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) supersedes: Option<TurnId>,
    /// The turn whose message has replaced this turn's message. Agents no longer see this turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) superseded_by: Option<TurnId>,
    /// What the visitor thinks of the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rating: Option<Rating>,
    pub(crate) state: State,
}

/// Where a turn comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) token: TokenId,
    pub(crate) kind: Kind,
    pub(crate) jid: String,
    /// `visitor`, or a webhook's source. Empty in an unasked turn.
    pub(crate) sender: String,
    /// The hashes of the visitor's address, until the turn ends. `None` if the address is unknown,
    /// and for a webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) visitor: Option<Visitor>,
    /// The W3C trace context of the post, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) traceparent: String,
    /// What a webhook's sender calls the delivery; empty if it has no name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) delivery: String,
    /// Whether an agent or a person sent the turn's message without being asked. Such a turn has no
    /// message of a visitor.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) unasked: bool,
    pub(crate) created_at: Time,
}

/// Which folder answers a turn, and how the turn came to that folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) folder: FolderName,
    /// The folder that the route named, or else the token's folder. The turn can be returned to it.
    pub(crate) home: FolderName,
    /// Which folder had the turn or its conversation before, if it was moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) handoff: Option<Handoff>,
    /// How many times the turn was handed off or escalated.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) moves: u32,
    /// Whether an agent of this folder has added a frame since the turn last entered the queue.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) spoke: bool,
}

/// The state of a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// The turn waits for an agent, or for earlier turns of its conversation.
    Queued,
    Running(Hold),
    Ended(End),
}

/// How a session holds a running turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    pub(crate) session: SessionId,
    /// The person's name, if a person answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) person: Option<String>,
    /// When the agent must have accepted the turn; `None` once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) accept_by: Option<Time>,
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    pub(crate) at: Time,
    /// Says why, for the operator; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) detail: String,
    /// The session whose agent ended the turn; `None` if something else ended it.
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

/// The next step of a turn's escalation, and when the step is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Escalation {
    /// The number of the next step, counted from 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) step: usize,
    /// How long the next step waits for a frame.
    #[serde(default, skip_serializing_if = "is_default", with = "crate::time::stored::option")]
    pub(crate) silence: Option<Duration>,
    /// When the step is taken if no agent of the folder has added a frame.
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

    /// Returns the name of the person or the agent that holds the turn.
    pub(crate) fn holder(&self) -> Option<&str> {
        let agent = self.delivery.as_ref().map(|delivery| delivery.agent.as_str());
        let agent = agent.filter(|name| !name.is_empty()).unwrap_or("an agent");
        self.hold().map(|hold| hold.person.as_deref().unwrap_or(agent))
    }

    /// Whether the session holds the turn.
    pub(crate) fn is_held_by(&self, session: &SessionId) -> bool {
        self.hold().is_some_and(|hold| hold.session == *session)
    }

    /// Whether the turn waits for an agent of this folder.
    pub(crate) fn waits_for(&self, folder: &FolderName) -> bool {
        self.is_queued() && self.place.folder == *folder
    }

    /// Returns the seq after which the reply begins.
    pub(crate) fn before_reply(&self) -> u64 {
        self.first_seq - u64::from(self.origin.unasked)
    }

    /// Returns the id of the visitor's message.
    pub(crate) fn user_message(&self) -> String {
        format!("{}.user", self.id)
    }

    /// Takes the turn from the session that holds it, if one does, and publishes `notice` to that
    /// session. Returns how the session held the turn, which is [`State::Queued`] from then on. No
    /// other function takes a turn out of [`State::Running`].
    fn leave_running(&mut self, tx: &mut Tx<'_>, notice: Option<Notice>) -> Option<Hold> {
        let hold = self.hold()?.clone();
        tx.remove(&names::held(&hold.session), &self.id);
        if let Some(notice) = notice {
            notice.publish(tx, &hold.session);
        }
        self.state = State::Queued;
        Some(hold)
    }

    /// Returns the notice that tells the turn's session that the turn has ended.
    fn cancelled(&self) -> Notice {
        Notice::Cancel { turn: self.id.clone(), attempt: self.attempt }
    }

    /// Returns the notice that tells the turn's session that it no longer holds the turn.
    fn lost(&self, why: &str) -> Notice {
        Notice::Lost { turn: self.id.clone(), attempt: self.attempt, why: why.to_owned() }
    }

    /// Publishes an event about the turn to `tail` subscribers, who see only public ids.
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

impl Turn {
    /// Adds an event about the turn, for the tenant's own systems that subscribe to such events.
    fn add_event(&self, tx: &mut Tx<'_>, kind: EventKind, more: &[(&str, &str)]) -> Decision<()> {
        let jid = [("jid", self.origin.jid.as_str())];
        events::add(
            tx,
            &Happened {
                kind,
                folder: &self.place.folder,
                token: &self.origin.token,
                conversation: &self.conversation,
                turn: Some(&self.id),
                more: &[&jid, more].concat(),
            },
        )
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

//! Events as they are kept until they are delivered.

use crate::{
    ids::{ConversationId, EventId, SubscriptionId, TokenId, TurnId},
    jid::FolderName,
    limits::Limits,
    names::events as names,
    refusal::Refusal,
    time::Time,
    transaction::Record,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    TurnDone,
    TurnFailed,
    TurnCancelled,
    TurnExpired,
    Escalated,
    ConversationDeleted,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::TurnDone,
        Self::TurnFailed,
        Self::TurnCancelled,
        Self::TurnExpired,
        Self::Escalated,
        Self::ConversationDeleted,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::TurnDone => "turn.done",
            Self::TurnFailed => "turn.failed",
            Self::TurnCancelled => "turn.cancelled",
            Self::TurnExpired => "turn.expired",
            Self::Escalated => "escalated",
            Self::ConversationDeleted => "conversation.deleted",
        }
    }

    /// Reads the word of a kind.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for any other word.
    pub(crate) fn parse(word: &str) -> Result<Self, Refusal> {
        let kind = Self::ALL.into_iter().find(|kind| kind.word() == word);
        kind.ok_or_else(|| {
            let words = Self::ALL.map(Self::word).join(", ");
            Refusal::Invalid(format!("there is no event {word:?}; there are {words}"))
        })
    }
}

/// Something that has just happened.
pub(crate) struct Happened<'a> {
    pub(crate) kind: Kind,
    /// The folder that had the turn or the conversation.
    pub(crate) folder: &'a FolderName,
    pub(crate) token: &'a TokenId,
    pub(crate) conversation: &'a ConversationId,
    pub(crate) turn: Option<&'a TurnId>,
    /// Further members of the event's JSON, by their names.
    pub(crate) more: &'a [(&'a str, &'a str)],
}

/// An event for one subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) id: EventId,
    pub(crate) subscription: SubscriptionId,
    pub(crate) kind: Kind,
    pub(crate) at: Time,
    pub(crate) folder: FolderName,
    pub(crate) token: TokenId,
    /// The public ids of the conversation and, unless `turn` is empty, of the turn.
    pub(crate) conversation: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) turn: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) more: BTreeMap<String, String>,
    /// An attempt that fails at this time or later is the last one.
    pub(crate) give_up_at: Time,
    /// How many attempts have failed since the event happened or was replayed.
    #[serde(default)]
    pub(crate) attempts: u32,
    /// Why the last attempt failed, or why the event was parked without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) last_error: String,
    /// When control gave up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parked_at: Option<Time>,
}

impl Record for Event {
    type Id = EventId;

    fn name(id: &EventId) -> String {
        names::event(id)
    }

    const IS_READ_SOON: bool = false;

    fn lifetime(&self, limits: &Limits) -> Option<Duration> {
        // An event may wait for earlier ones of its conversation for as long as its own delivery is
        // tried. The day is for a late clean-up.
        let waits = 2 * limits.events.event_retry_for;
        Some(waits + limits.keep_parked_events + Duration::from_secs(86_400))
    }
}

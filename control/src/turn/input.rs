//! A turn's message as it came, its route at that time, and the observed messages to deliver with
//! it.

use super::Turn;
use crate::{
    conversation::Observed,
    hook_request::{Blob, Header, HookRequest},
    identity::{Identity, Page},
    ids::{ConversationId, TurnId},
    jid::FolderName,
    limits::Limits,
    names,
    route::{Route, Step},
    transaction::Record,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A turn's message, plan and context, as its agent gets them. They are written once; only a
/// delivery to a person adds observed webhooks.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Input {
    pub(crate) content: Blob,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) headers: Vec<Header>,
    /// The rest of a webhook's request. `None` for a chat, and if an older gateway took the
    /// message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<HookRequest>,
    /// Who the visitor is; `None` if nobody vouches for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<Identity>,
    /// The page from which the visitor wrote, as the page itself says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) page: Option<Page>,
    pub(crate) plan: Plan,
    pub(crate) context: Context,
}

impl Record for Input {
    type Id = TurnId;

    const IS_READ_SOON: bool = false;

    fn name(turn: &TurnId) -> String {
        names::input(turn)
    }

    fn lifetime(&self, limits: &Limits) -> Option<Duration> {
        Some(limits.conversation_lifetime())
    }
}

impl Input {
    /// Returns how many bytes the message takes when it is delivered.
    pub(super) fn size(&self) -> usize {
        let request = self.request.as_ref().map_or(0, HookRequest::size);
        let headers = self.headers.iter().map(Header::size).sum::<usize>();
        let visitor = self.identity.as_ref().map_or(0, Identity::size);
        let page = self.page.as_ref().map_or(0, Page::size);
        self.content.size() + headers + request + visitor + page
    }
}

/// A message that a visitor or a webhook's caller sends.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    /// The conversation that the message is for; `None` for a new one.
    pub(crate) conversation: Option<ConversationId>,
    /// The turn whose message this one replaces.
    pub(crate) supersedes: Option<TurnId>,
    pub(crate) content: Vec<u8>,
    pub(crate) headers: Vec<Header>,
    /// Headers that only the check of the sender's signature reads. They are not stored.
    pub(crate) credentials: Vec<Header>,
    /// The rest of a webhook's request. `None` for a chat.
    pub(crate) request: Option<HookRequest>,
    /// The page from which the visitor writes, as the page itself says.
    pub(crate) page: Option<Page>,
    /// Empty if there is none.
    pub(crate) idempotency_key: String,
    /// The solution of a challenge; empty if there is none.
    pub(crate) proof: String,
    /// Empty if it is unknown.
    pub(crate) client_address: String,
    pub(crate) traceparent: String,
    /// Whether an operator replays a delivery. A replay is not recognised as a repeat.
    pub(crate) is_replay: bool,
}

/// The turn's route as it was when the turn began. Later changes of the route don't affect the
/// turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Plan {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) persona: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) topic: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) steps: Vec<Step>,
    /// The sentence that the visitor reads if the turn expires; empty for control's own
    /// sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) give_up_say: String,
}

impl From<Route> for Plan {
    fn from(route: Route) -> Self {
        Self {
            persona: route.persona.unwrap_or_default(),
            topic: route.topic.unwrap_or_default(),
            steps: route.escalation.unwrap_or_default(),
            give_up_say: route.give_up.map(|give_up| give_up.say).unwrap_or_default(),
        }
    }
}

/// The observed messages that are delivered with a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Context {
    #[serde(skip_serializing_if = "Observed::is_empty")]
    pub(super) conversation: Observed,
    /// Webhooks that a folder observed.
    #[serde(skip_serializing_if = "Observed::is_empty")]
    pub(super) folder: Observed,
    /// The folder that observed these webhooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<FolderName>,
}

impl Context {
    /// Returns the turns of the observed messages to deliver with `turn`: first the folder's
    /// webhooks that the turn's holder may see, then the conversation's own messages, each group
    /// from the oldest to the newest.
    pub(crate) fn turns(&self, turn: &Turn) -> Vec<TurnId> {
        let own = self.conversation.turns();
        match turn.sees_all_webhooks() {
            true => self.folder.turns().chain(own).cloned().collect(),
            false => self.folder.turns_for_visitors().chain(own).cloned().collect(),
        }
    }
}

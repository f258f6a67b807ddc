//! A turn's message as it came, its route at that time, and the observed messages to deliver with
//! it.

use super::Turn;
use crate::{
    conversation::Observed,
    ids::TurnId,
    jid::FolderName,
    limits::Limits,
    names,
    route::{Route, Step},
    transaction::Record,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A turn's message, plan and context, as its agent gets them. They are written once; only a
/// delivery to a person adds observed webhooks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Input {
    pub(crate) content: Blob,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) headers: Vec<Header>,
    /// The rest of a webhook's request. `None` for a chat, and if an older gateway took the
    /// message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<HookRequest>,
    pub(crate) plan: Plan,
    pub(crate) context: Context,
}

impl Record for Input {
    type Id = TurnId;

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
        self.content.size() + self.headers.iter().map(Header::size).sum::<usize>() + request
    }
}

/// A webhook's request, without its headers and its decoded body.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct HookRequest {
    pub(crate) method: String,
    /// The path after the link's secret, with its escapes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) path: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) query: String,
    /// The body as it was sent, if it had a Content-Encoding.
    #[serde(default, skip_serializing_if = "Blob::is_empty")]
    pub(crate) encoded_content: Blob,
}

impl HookRequest {
    fn size(&self) -> usize {
        let Self { method, path, query, encoded_content } = self;
        method.len() + path.len() + query.len() + encoded_content.size()
    }
}

/// A header of a webhook's request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) value: Blob,
}

impl Header {
    /// Returns how many bytes the header takes when it is delivered.
    fn size(&self) -> usize {
        self.name.len() + self.value.size()
    }
}

/// Bytes, stored as text if they are UTF-8, so that operators can read them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Blob {
    Text(String),
    Base64(String),
}

impl Blob {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(BASE64.encode(bytes)),
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            // Control wrote valid Base64. A corrupt record reads as empty.
            Self::Base64(text) => BASE64.decode(text).unwrap_or_default(),
        }
    }

    fn is_empty(&self) -> bool {
        self.size() == 0
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Base64(text) => text.len() / 4 * 3,
        }
    }

    /// Returns the bytes as text; empty if they are not UTF-8.
    pub(crate) fn into_text(self) -> String {
        String::from_utf8(self.into_bytes()).unwrap_or_default()
    }
}

impl Default for Blob {
    fn default() -> Self {
        Self::Text(String::new())
    }
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
    /// The sentence that the visitor reads if the turn expires; empty for control's own.
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
    /// Returns the turns of the messages to deliver with `turn` to the agent or person that holds
    /// it: first the webhooks, then the conversation's own, each from the oldest to the newest.
    pub(crate) fn turns(&self, turn: &Turn) -> Vec<TurnId> {
        let own = self.conversation.turns();
        match turn.sees_all_webhooks() {
            true => self.folder.turns().chain(own).cloned().collect(),
            false => self.folder.turns_for_visitors().chain(own).cloned().collect(),
        }
    }
}

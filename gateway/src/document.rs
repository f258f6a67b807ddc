//! The JSON of answers and event streams, made from control's messages.

pub(crate) mod frames;

use crate::{renderer::Rendered, schema::Id};
use arizuko_proto::v1::{self as pb, Author, Thumb, TurnStatus};
use prost_types::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// observed: kept as context for the agent, and gets no reply of its own. dropped: shown to no
/// agent. Both end the turn at once.
#[derive(Clone, Copy, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Queued,
    Running,
    Done,
    Failed,
    Cancelled,
    Expired,
    Observed,
    Dropped,
}

/// What the visitor thinks of a reply.
#[derive(Clone, Copy, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Rating {
    Up,
    Down,
}

/// A turn with its messages.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Turn")]
pub(crate) struct TurnDocument<'a> {
    #[schemars(with = "Id")]
    pub(crate) turn_id: &'a str,
    pub(crate) status: Status,
    /// `null` if an agent or a person sent the turn's message without being asked.
    pub(crate) user: Option<MessageDocument<'a>>,
    pub(crate) assistant: Vec<MessageDocument<'a>>,
    /// How many of `assistant`, counted from the first, stay even if a later restart drops the
    /// rest.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) kept: u32,
    /// The number of the last frame that is included.
    pub(crate) n: u32,
    pub(crate) attempt: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) status_text: &'a str,
    /// What the agent has done: its first 50 statuses, each cut after 200 characters.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) steps: &'a [String],
    /// A sentence for the visitor.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) error: &'a str,
    #[schemars(with = "String", extend("format" = "date-time"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at: Option<String>,
    /// The turn whose message has replaced this turn's message.
    #[schemars(with = "Id")]
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) superseded_by: &'a str,
    #[schemars(with = "Rating")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rating: Option<Rating>,
}

impl<'a> TurnDocument<'a> {
    /// Makes a turn's document. If HTML is wanted, `html` has the rendered text of each message in
    /// `assistant`; the messages then have no `content`.
    pub(crate) fn new(turn: &'a pb::ConversationTurn, html: Option<&'a [Rendered]>) -> Self {
        let assistant = turn.assistant.iter().enumerate().map(|(index, message)| {
            let mut document = MessageDocument::new(message);
            document.author = Some(author(message.author()));
            document.name = &message.name;
            if let Some(html) = html.and_then(|html| html.get(index)) {
                (document.content, document.html) = (None, Some(&**html));
            }
            document
        });
        Self {
            turn_id: &turn.turn_id,
            status: status(turn.status()),
            user: turn.user.as_ref().map(MessageDocument::new),
            assistant: assistant.collect(),
            kept: turn.kept,
            n: turn.n,
            attempt: turn.attempt,
            status_text: &turn.status_text,
            steps: &turn.steps,
            error: &turn.error,
            ended_at: turn.ended_at.as_ref().and_then(time),
            superseded_by: &turn.superseded_by,
            rating: thumb(turn.thumb()),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A message. The visitor's own messages have no author.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Message")]
pub(crate) struct MessageDocument<'a> {
    pub(crate) id: &'a str,
    #[schemars(with = "String", extend("enum" = ["user", "assistant", "person"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<&'static str>,
    /// The name of the person who wrote it; absent for an agent.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) name: &'a str,
    /// Markdown, if an agent wrote it. A person's words are plain text.
    #[schemars(with = "String")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<&'a str>,
    #[schemars(extend("format" = "date-time"))]
    pub(crate) created_at: Option<String>,
    /// The turn whose message is replaced by this one, which is the visitor's.
    #[schemars(with = "Id")]
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) supersedes: &'a str,
    /// The HTML of each of the message's blocks. Present if the request has `html=1`. The message
    /// then has no `content`.
    #[schemars(with = "Vec<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) html: Option<&'a [String]>,
}

impl<'a> MessageDocument<'a> {
    pub(crate) fn new(message: &'a pb::Message) -> Self {
        Self {
            id: &message.id,
            author: None,
            name: "",
            content: Some(&message.content),
            created_at: message.created_at.as_ref().and_then(time),
            supersedes: &message.supersedes,
            html: None,
        }
    }
}

/// Returns the word for a turn's status.
pub(crate) fn status(status: TurnStatus) -> Status {
    match status {
        TurnStatus::Unspecified | TurnStatus::Queued => Status::Queued,
        TurnStatus::Running => Status::Running,
        TurnStatus::Done => Status::Done,
        TurnStatus::Failed => Status::Failed,
        TurnStatus::Cancelled => Status::Cancelled,
        TurnStatus::Expired => Status::Expired,
        TurnStatus::Observed => Status::Observed,
        TurnStatus::Dropped => Status::Dropped,
    }
}

/// Returns the word for what a visitor thinks of a reply.
fn thumb(thumb: Thumb) -> Option<Rating> {
    match thumb {
        Thumb::Unspecified => None,
        Thumb::Up => Some(Rating::Up),
        Thumb::Down => Some(Rating::Down),
    }
}

/// Whether a turn's last frame is still to come.
pub(crate) fn is_open(status: TurnStatus) -> bool {
    use TurnStatus::{Queued, Running, Unspecified};
    matches!(status, Unspecified | Queued | Running)
}

fn author(author: Author) -> &'static str {
    match author {
        Author::User => "user",
        Author::Person => "person",
        Author::Assistant | Author::Unspecified => "assistant",
    }
}

/// Formats a time as RFC 3339 in UTC, with milliseconds.
pub(crate) fn time(at: &Timestamp) -> Option<String> {
    let at = jiff::Timestamp::new(at.seconds, at.nanos).ok()?;
    Some(format!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds() {
        let at = Timestamp { seconds: 1_700_000_000, nanos: 5_999_999 };
        assert_eq!(time(&at).unwrap(), "2023-11-14T22:13:20.005Z");
    }
}

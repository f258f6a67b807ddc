//! Frames as the events of streams, and as they are in a turn's snapshot.

use super::{Rating, Status, author, status, thumb, time};
use crate::{last_event_id, schema::Id};
use arizuko_proto::v1::{self as pb, frame::Body};
use schemars::JsonSchema;
use serde::Serialize;

/// A frame with the id, event and data that it has in both streams and in the snapshot.
#[derive(Serialize)]
pub(crate) struct FrameDocument<'a> {
    pub(crate) id: String,
    pub(crate) event: &'static str,
    pub(crate) data: FrameData<'a>,
}

/// The data of a frame.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum FrameData<'a> {
    Message(MessageData<'a>),
    Delta(DeltaData<'a>),
    Status(StatusData<'a>),
    Title(TitleData<'a>),
    Restart(RestartData<'a>),
    TurnDone(TurnDoneData<'a>),
    Rated(RatedData<'a>),
}

/// A whole message. It replaces the deltas with its id. A turn without a `user` event began with a
/// message of an agent or a person.
#[derive(JsonSchema, Serialize)]
pub(crate) struct MessageData<'a> {
    id: &'a str,
    #[schemars(with = "Id")]
    turn_id: &'a str,
    /// Absent for `user`.
    #[schemars(with = "u32")]
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[schemars(extend("enum" = ["user", "assistant", "person"]))]
    author: &'static str,
    /// The name of the person who wrote it; absent for an agent.
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    /// Markdown, if an agent wrote it. A person's words are plain text.
    content: &'a str,
    #[schemars(extend("format" = "date-time"))]
    created_at: Option<String>,
    /// The turn whose message is replaced by this one, which is the visitor's.
    #[schemars(with = "Id")]
    #[serde(skip_serializing_if = "str::is_empty")]
    supersedes: &'a str,
}

/// Text to append to the message with this id.
#[derive(JsonSchema, Serialize)]
pub(crate) struct DeltaData<'a> {
    id: &'a str,
    #[schemars(with = "Id")]
    turn_id: &'a str,
    n: u32,
    text: &'a str,
}

/// What the agent is doing.
#[derive(JsonSchema, Serialize)]
pub(crate) struct StatusData<'a> {
    #[schemars(with = "Id")]
    turn_id: &'a str,
    n: u32,
    text: &'a str,
}

/// The title that the agent gives the conversation. Empty if it no longer has one.
#[derive(JsonSchema, Serialize)]
pub(crate) struct TitleData<'a> {
    #[schemars(with = "Id")]
    turn_id: &'a str,
    n: u32,
    title: &'a str,
}

/// A new attempt begins. Unless `keep`, drop the turn's messages since its previous restart, or all
/// if there was none.
#[derive(JsonSchema, Serialize)]
pub(crate) struct RestartData<'a> {
    #[schemars(with = "Id")]
    turn_id: &'a str,
    n: u32,
    attempt: u32,
    keep: bool,
}

/// The turn's last event.
#[derive(JsonSchema, Serialize)]
pub(crate) struct TurnDoneData<'a> {
    #[schemars(with = "Id")]
    turn_id: &'a str,
    n: u32,
    status: Status,
    /// A sentence for the visitor.
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
}

/// On the conversation's stream: what the visitor thinks of a reply. `null` takes an earlier rating
/// back.
#[derive(JsonSchema, Serialize)]
pub(crate) struct RatedData<'a> {
    #[schemars(with = "Id")]
    turn_id: &'a str,
    rating: Option<Rating>,
}

impl<'a> FrameDocument<'a> {
    /// Makes a frame's document. `None` for a kind of frame that only a newer gateway knows.
    pub(crate) fn new(frame: &'a pb::Frame) -> Option<Self> {
        let (turn_id, n) = (&*frame.turn_id, frame.n);
        let (event, data) = match frame.body.as_ref()? {
            Body::Message(message) => {
                ("message", FrameData::Message(MessageData::new(message, turn_id, Some(n))))
            }
            Body::User(message) => {
                ("user", FrameData::Message(MessageData::new(message, turn_id, None)))
            }
            Body::Delta(delta) => {
                let (id, text) = (&*delta.id, &*delta.text);
                ("delta", FrameData::Delta(DeltaData { id, turn_id, n, text }))
            }
            Body::Status(status) => {
                let text = &*status.text;
                ("status", FrameData::Status(StatusData { turn_id, n, text }))
            }
            Body::Title(title) => {
                let title = &*title.text;
                ("title", FrameData::Title(TitleData { turn_id, n, title }))
            }
            &Body::Restart(pb::frame::Restart { attempt, keep }) => {
                ("restart", FrameData::Restart(RestartData { turn_id, n, attempt, keep }))
            }
            Body::TurnDone(done) => {
                let (status, error) = (status(done.status()), &*done.error);
                ("turn_done", FrameData::TurnDone(TurnDoneData { turn_id, n, status, error }))
            }
            Body::Rated(rated) => {
                let rating = thumb(rated.thumb());
                ("rated", FrameData::Rated(RatedData { turn_id, rating }))
            }
        };
        Some(Self { id: last_event_id::print(frame.cursor), event, data })
    }
}

impl<'a> MessageData<'a> {
    fn new(message: &'a pb::Message, turn_id: &'a str, n: Option<u32>) -> Self {
        Self {
            id: &message.id,
            turn_id,
            n,
            author: author(message.author()),
            name: &message.name,
            content: &message.content,
            created_at: message.created_at.as_ref().and_then(time),
            supersedes: &message.supersedes,
        }
    }
}

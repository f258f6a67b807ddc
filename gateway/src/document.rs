//! Control's records as the public reads them: the JSON of answers and of event streams.

use crate::markdown;
use arizuko_proto::v1::{self as pb, Author, TurnStatus, frame::Body};
use prost_types::Timestamp;
use serde::Serialize;

/// A turn with its messages.
#[derive(Serialize)]
pub(crate) struct Turn<'a> {
    pub(crate) turn_id: &'a str,
    pub(crate) status: &'static str,
    /// `null` where the agent spoke first.
    pub(crate) user: Option<Message<'a>>,
    pub(crate) assistant: Vec<Message<'a>>,
    /// How many of these stay whatever restart follows.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) kept: u32,
    pub(crate) n: u32,
    pub(crate) attempt: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) status_text: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at: Option<String>,
}

impl<'a> Turn<'a> {
    /// With `html`, each of the agent's messages has its rendered form too.
    pub(crate) fn new(turn: &'a pb::ConversationTurn, html: bool) -> Self {
        let assistant = turn.assistant.iter().map(|message| {
            let mut document = Message::new(message);
            document.author = Some(author(message.author()));
            document.name = &message.name;
            document.html = html.then(|| markdown::render(&message.content));
            document
        });
        Self {
            turn_id: &turn.turn_id,
            status: status(turn.status()),
            user: turn.user.as_ref().map(Message::new),
            assistant: assistant.collect(),
            kept: turn.kept,
            n: turn.n,
            attempt: turn.attempt,
            status_text: &turn.status_text,
            error: &turn.error,
            ended_at: turn.ended_at.as_ref().and_then(time),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A message. The visitor's own says no author.
#[derive(Serialize)]
pub(crate) struct Message<'a> {
    pub(crate) id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<&'static str>,
    /// A person's. Agents go by the link's.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) name: &'a str,
    pub(crate) content: &'a str,
    pub(crate) created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) html: Option<String>,
}

impl<'a> Message<'a> {
    pub(crate) fn new(message: &'a pb::Message) -> Self {
        Self {
            id: &message.id,
            author: None,
            name: "",
            content: &message.content,
            created_at: message.created_at.as_ref().and_then(time),
            html: None,
        }
    }
}

/// A frame as both streams and the snapshot show it: the same id, event and data.
#[derive(Serialize)]
pub(crate) struct Event<'a> {
    pub(crate) id: String,
    pub(crate) event: &'static str,
    pub(crate) data: Data<'a>,
}

/// What a frame says.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Data<'a> {
    Message {
        id: &'a str,
        turn_id: &'a str,
        /// The visitor's own message is not numbered in the turn.
        #[serde(skip_serializing_if = "Option::is_none")]
        n: Option<u32>,
        author: &'static str,
        #[serde(skip_serializing_if = "str::is_empty")]
        name: &'a str,
        content: &'a str,
        created_at: Option<String>,
    },
    Delta {
        id: &'a str,
        turn_id: &'a str,
        n: u32,
        text: &'a str,
    },
    Status {
        turn_id: &'a str,
        n: u32,
        text: &'a str,
    },
    Restart {
        turn_id: &'a str,
        n: u32,
        attempt: u32,
        keep: bool,
    },
    TurnDone {
        turn_id: &'a str,
        n: u32,
        status: &'static str,
        #[serde(skip_serializing_if = "str::is_empty")]
        error: &'a str,
    },
}

impl<'a> Event<'a> {
    /// None: a frame of a kind that this gateway doesn't know yet.
    pub(crate) fn new(frame: &'a pb::Frame) -> Option<Self> {
        let (turn_id, n) = (&*frame.turn_id, frame.n);
        let (event, data) = match frame.body.as_ref()? {
            Body::Message(message) => ("message", Data::message(message, turn_id, Some(n))),
            Body::User(message) => ("user", Data::message(message, turn_id, None)),
            Body::Delta(delta) => {
                let (id, text) = (&*delta.id, &*delta.text);
                ("delta", Data::Delta { id, turn_id, n, text })
            }
            Body::Status(status) => {
                let text = &*status.text;
                ("status", Data::Status { turn_id, n, text })
            }
            &Body::Restart(pb::frame::Restart { attempt, keep }) => {
                ("restart", Data::Restart { turn_id, n, attempt, keep })
            }
            Body::TurnDone(done) => {
                let (status, error) = (status(done.status()), &*done.error);
                ("turn_done", Data::TurnDone { turn_id, n, status, error })
            }
        };
        let id = cursor(frame.cursor);
        Some(Self { id, event, data })
    }
}

impl<'a> Data<'a> {
    fn message(message: &'a pb::Message, turn_id: &'a str, n: Option<u32>) -> Self {
        Self::Message {
            id: &message.id,
            turn_id,
            n,
            author: author(message.author()),
            name: &message.name,
            content: &message.content,
            created_at: message.created_at.as_ref().and_then(time),
        }
    }
}

/// The word for where a turn stands.
pub(crate) fn status(status: TurnStatus) -> &'static str {
    match status {
        TurnStatus::Unspecified | TurnStatus::Queued => "queued",
        TurnStatus::Running => "running",
        TurnStatus::Done => "done",
        TurnStatus::Failed => "failed",
        TurnStatus::Cancelled => "cancelled",
        TurnStatus::Expired => "expired",
        TurnStatus::Observed => "observed",
        TurnStatus::Dropped => "dropped",
    }
}

/// Whether a turn has its last frame still to come.
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

/// RFC 3339, UTC, to the millisecond.
fn time(at: &Timestamp) -> Option<String> {
    let at = jiff::Timestamp::new(at.seconds, at.nanos).ok()?;
    Some(format!("{at:.3}"))
}

/// A place in a conversation's log: `<seq>-<tag>`.
pub(crate) fn cursor(cursor: Option<pb::Cursor>) -> String {
    let pb::Cursor { seq, tag } = cursor.unwrap_or_default();
    format!("{seq}-{tag:08x}")
}

/// Reads one. What is none is a place in no log, so that control answers with a replay.
pub(crate) fn parse_cursor(text: &str) -> pb::Cursor {
    let nowhere = pb::Cursor { seq: u64::MAX, tag: 0 };
    let parsed = text.split_once('-').and_then(|(seq, tag)| {
        Some(pb::Cursor { seq: seq.parse().ok()?, tag: u32::from_str_radix(tag, 16).ok()? })
    });
    // Only what we write ourselves: no sign, no leading zeros, no capitals.
    parsed.filter(|parsed| cursor(Some(*parsed)) == text).unwrap_or(nowhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_as_it_was_written() {
        for (seq, tag) in [(0, 0), (1, 7), (42, u32::MAX), (u64::MAX, 0xab)] {
            let place = pb::Cursor { seq, tag };
            assert_eq!(parse_cursor(&cursor(Some(place))), place);
        }
    }

    #[test]
    fn anything_else_is_in_no_log() {
        let nonsense = [
            "",
            "-",
            "1",
            "1-",
            "-1-0000000a",
            "+1-0000000a",
            "01-0000000a",
            "1-0000000A",
            "1-a",
            "1-0000000a ",
            "1-0000000a\0",
            "99999999999999999999-0000000a",
            "é-0000000a",
        ];
        for text in nonsense {
            assert_eq!(parse_cursor(text).seq, u64::MAX, "{text:?}");
        }
    }

    #[test]
    fn times_have_milliseconds() {
        let at = Timestamp { seconds: 1_700_000_000, nanos: 5_999_999 };
        assert_eq!(time(&at).unwrap(), "2023-11-14T22:13:20.005Z");
    }
}

//! What an endpoint says, in each of the formats that it may say it in.

use crate::{agent::text::Decoder, attach::Failure, sse::Events};
use serde::Deserialize;

/// How much is kept of an object or an event that is not whole yet. No frame could hold as much.
const LONGEST: usize = 1 << 20;

/// One object of an answer. What it has of these is done in this order.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Said {
    /// What the agent is doing.
    pub(super) status: Option<String>,
    /// Text to append to the message under way, which the first one begins.
    pub(super) delta: Option<String>,
    /// A whole message, or the finished form of the one under way.
    pub(super) message: Option<String>,
    /// The turn has failed: a sentence for the visitor, and `detail` for the operator.
    pub(super) error: Option<String>,
    pub(super) detail: Option<String>,
    /// The folder that goes on with the turn, where it is empty the one that the route names;
    /// `note` is for who does, and `conversation` says that the later messages go there, too.
    pub(super) handoff: Option<String>,
    pub(super) note: String,
    pub(super) conversation: bool,
}

/// How an answer is to be read, and what has come of it that is not whole yet.
pub(super) enum Format {
    Text(Decoder),
    Objects(Vec<u8>),
    Events(Events),
}

impl Format {
    /// The format of a media type.
    pub(super) fn of(kind: &str) -> Result<Self, Failure> {
        match kind {
            "text/plain" | "text/markdown" => Ok(Self::Text(Decoder::default())),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/json" => Ok(Self::Objects(Vec::new())),
            "text/event-stream" => Ok(Self::Events(Events::default())),
            "" => Err(Failure::new("the endpoint answers without a Content-Type")),
            other => Err(Failure::new(format!(
                "the endpoint answers with {other}, which is no reply: see --help"
            ))),
        }
    }

    /// What is whole with these bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Said>, Failure> {
        let (said, waiting) = match self {
            Self::Text(decoder) => (vec![delta(decoder.push(bytes))], 0),
            Self::Objects(buffer) => {
                buffer.extend_from_slice(bytes);
                (objects(buffer)?, buffer.len())
            }
            Self::Events(events) => {
                let said = events
                    .push(bytes)
                    .into_iter()
                    .map(|event| serde_json::from_str(&event.data).map_err(|error| wrong(&error)));
                (said.collect::<Result<_, _>>()?, events.waiting())
            }
        };
        match waiting <= LONGEST {
            true => Ok(said),
            false => Err(Failure::new("the endpoint says too much at a time")),
        }
    }

    /// What is left at the end.
    pub(super) fn finish(self) -> Result<Vec<Said>, Failure> {
        match self {
            Self::Text(mut decoder) => Ok(vec![delta(decoder.finish())]),
            Self::Objects(rest) if !rest.trim_ascii().is_empty() => {
                Err(Failure::new("the endpoint ends in the middle of an object"))
            }
            Self::Objects(_) | Self::Events(_) => Ok(Vec::new()),
        }
    }
}

/// The objects that a buffer begins with. They are taken out of it.
fn objects(buffer: &mut Vec<u8>) -> Result<Vec<Said>, Failure> {
    let mut objects = serde_json::Deserializer::from_slice(buffer).into_iter();
    let mut said = Vec::new();
    for object in &mut objects {
        match object {
            Ok(object) => said.push(object),
            Err(error) if error.is_eof() => break,
            Err(error) => return Err(wrong(&error)),
        }
    }
    let used = objects.byte_offset();
    buffer.drain(..used);
    Ok(said)
}

fn wrong(error: &serde_json::Error) -> Failure {
    Failure::new(format!("the endpoint says what it may not: {error}"))
}

fn delta(text: impl Into<String>) -> Said {
    Said { delta: Some(text.into()).filter(|text: &String| !text.is_empty()), ..Said::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said in these bytes, in two pieces cut at any place.
    fn read(kind: &str, bytes: &str) -> Vec<Said> {
        let cut = |at: usize| {
            let mut format = Format::of(kind).unwrap();
            let mut said = format.push(&bytes.as_bytes()[..at]).unwrap();
            said.extend(format.push(&bytes.as_bytes()[at..]).unwrap());
            said.extend(format.finish().unwrap());
            said
        };
        let whole = cut(0);
        for at in 0..=bytes.len() {
            assert_eq!(cut(at), whole, "cut at {at}");
        }
        whole
    }

    #[test]
    fn objects_come_by_lines_by_events_or_alone() {
        let said = vec![Said { status: Some("thinking".into()), ..Said::default() }, delta("é")];
        for (kind, bytes) in [
            ("application/x-ndjson", "{\"status\":\"thinking\"}\n\n{\"delta\":\"é\"}"),
            ("application/json", "{\"status\":\n\"thinking\"} {\"delta\":\"é\"}\n"),
            (
                "text/event-stream",
                ": hello\ndata: {\"status\":\"thinking\"}\n\ndata: {\"delta\":\"é\"}\n\n",
            ),
        ] {
            assert_eq!(read(kind, bytes), said, "{kind}");
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        assert!(Format::of("text/html").is_err() && Format::of("").is_err());
        for wrong in ["[1]\n", "{\"text\":\"x\"}\n", "no JSON\n", "{\"delta\":1}\n"] {
            let mut format = Format::of("application/x-ndjson").unwrap();
            assert!(format.push(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let mut cut = Format::of("application/x-ndjson").unwrap();
        assert_eq!(cut.push(b"{\"delta\":\"a").unwrap(), []);
        assert!(cut.finish().is_err());
    }
}

//! Reads an endpoint's response in each of its formats.

use crate::{agent::text::Decoder, attach::Failure, sse::SseReader};
use serde::Deserialize;

/// How many bytes of an incomplete object or event are kept. A frame holds far fewer.
const MAX_PART_BYTES: usize = 1 << 20;

/// One object of a response. Its fields take effect in this order.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReplyPart {
    /// Shows what the agent is doing.
    pub(super) status: Option<String>,
    /// Appends text to the current message; the first delta begins it.
    pub(super) delta: Option<String>,
    /// Ends the current message with its finished form, or is a whole message.
    pub(super) message: Option<String>,
    /// Fails the turn: a sentence for the visitor; `detail` is for the operator.
    pub(super) error: Option<String>,
    pub(super) detail: Option<String>,
    /// Hands the turn off to this folder; empty: the one that the route names. `note` is for who
    /// continues, and `conversation` reassigns the conversation.
    pub(super) handoff: Option<String>,
    pub(super) note: String,
    pub(super) conversation: bool,
}

/// A reader for each format, with what is incomplete so far.
pub(super) enum PartReader {
    Text(Decoder),
    Objects(Vec<u8>),
    Events(SseReader),
}

impl PartReader {
    /// Returns the reader for a media type.
    pub(super) fn of(kind: &str) -> Result<Self, Failure> {
        match kind {
            "text/plain" | "text/markdown" => Ok(Self::Text(Decoder::default())),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/json" => Ok(Self::Objects(Vec::new())),
            "text/event-stream" => Ok(Self::Events(SseReader::default())),
            "" => Err(Failure::new("the endpoint answers without a Content-Type")),
            other => Err(Failure::new(format!(
                "the endpoint answers with {other}, which is none of the types of a reply: see --help"
            ))),
        }
    }

    /// Returns the parts that are complete with these bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<ReplyPart>, Failure> {
        let (parts, waiting) = match self {
            Self::Text(decoder) => (vec![delta(decoder.push(bytes))], 0),
            Self::Objects(buffer) => {
                buffer.extend_from_slice(bytes);
                (objects(buffer)?, buffer.len())
            }
            Self::Events(events) => {
                let parts = events.push(bytes).into_iter();
                let parts = parts
                    .map(|event| serde_json::from_str(&event.data).map_err(|error| wrong(&error)));
                (parts.collect::<Result<_, _>>()?, events.waiting())
            }
        };
        match waiting <= MAX_PART_BYTES {
            true => Ok(parts),
            false => Err(Failure::new("the endpoint sends an object of more than 1 MiB")),
        }
    }

    /// Returns what is left at the end.
    pub(super) fn finish(self) -> Result<Vec<ReplyPart>, Failure> {
        match self {
            Self::Text(mut decoder) => Ok(vec![delta(decoder.finish())]),
            Self::Objects(rest) if !rest.trim_ascii().is_empty() => {
                Err(Failure::new("the endpoint's response ends in the middle of an object"))
            }
            Self::Objects(_) | Self::Events(_) => Ok(Vec::new()),
        }
    }
}

/// Takes the complete objects out of a buffer.
fn objects(buffer: &mut Vec<u8>) -> Result<Vec<ReplyPart>, Failure> {
    let mut objects = serde_json::Deserializer::from_slice(buffer).into_iter();
    let mut parts = Vec::new();
    for object in &mut objects {
        match object {
            Ok(object) => parts.push(object),
            Err(error) if error.is_eof() => break,
            Err(error) => return Err(wrong(&error)),
        }
    }
    let used = objects.byte_offset();
    buffer.drain(..used);
    Ok(parts)
}

fn wrong(error: &serde_json::Error) -> Failure {
    Failure::new(format!("the endpoint sends what is no part of a reply: {error}"))
}

fn delta(text: impl Into<String>) -> ReplyPart {
    let delta = Some(text.into()).filter(|text: &String| !text.is_empty());
    ReplyPart { delta, ..ReplyPart::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads these bytes in two pieces, cut at every place.
    fn read(kind: &str, bytes: &str) -> Vec<ReplyPart> {
        let cut = |at: usize| {
            let mut reader = PartReader::of(kind).unwrap();
            let mut parts = reader.push(&bytes.as_bytes()[..at]).unwrap();
            parts.extend(reader.push(&bytes.as_bytes()[at..]).unwrap());
            parts.extend(reader.finish().unwrap());
            parts
        };
        let whole = cut(0);
        for at in 0..=bytes.len() {
            assert_eq!(cut(at), whole, "cut at {at}");
        }
        whole
    }

    #[test]
    fn objects_come_in_lines_in_events_or_alone() {
        let status = Some("thinking".into());
        let parts = vec![ReplyPart { status, ..ReplyPart::default() }, delta("é")];
        for (kind, bytes) in [
            ("application/x-ndjson", "{\"status\":\"thinking\"}\n\n{\"delta\":\"é\"}"),
            ("application/json", "{\"status\":\n\"thinking\"} {\"delta\":\"é\"}\n"),
            (
                "text/event-stream",
                ": hello\ndata: {\"status\":\"thinking\"}\n\ndata: {\"delta\":\"é\"}\n\n",
            ),
        ] {
            assert_eq!(read(kind, bytes), parts, "{kind}");
        }
    }

    #[test]
    fn other_responses_are_refused() {
        assert!(PartReader::of("text/html").is_err() && PartReader::of("").is_err());
        for wrong in ["[1]\n", "{\"text\":\"x\"}\n", "no JSON\n", "{\"delta\":1}\n"] {
            let mut reader = PartReader::of("application/x-ndjson").unwrap();
            assert!(reader.push(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let mut cut = PartReader::of("application/x-ndjson").unwrap();
        assert_eq!(cut.push(b"{\"delta\":\"a").unwrap(), []);
        assert!(cut.finish().is_err());
    }
}

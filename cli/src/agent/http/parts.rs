//! Reads an endpoint's response in any of its formats.

use crate::{
    agent::{endpoint::clip, text::Decoder},
    attach::Failure,
    sse::{SseEvent, SseReader},
};
use arizuko_proto::v1::{Header, HttpResponse};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How many bytes of an incomplete object or event are kept, at most. A frame holds far fewer.
const MAX_PART_BYTES: usize = 1 << 20;

/// One object of a response. `response` takes effect first, then the other fields in this order.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReplyPart {
    /// Shows what the agent is doing.
    pub(super) status: Option<String>,
    /// Names the conversation in the visitor's list.
    pub(super) title: Option<String>,
    /// Appends text to the current message; the first delta begins it.
    pub(super) delta: Option<String>,
    /// Ends the current message with its finished form, or is a whole message.
    pub(super) message: Option<String>,
    /// The model tokens used since the last such part.
    pub(super) usage: Option<PartUsage>,
    /// Fails the turn. This is a sentence for the visitor, and `detail` is for the operator.
    pub(super) error: Option<String>,
    pub(super) detail: Option<String>,
    /// Hands the turn off to this folder; empty: the one that the route names. `note` is for
    /// whoever continues. If `conversation` is true, the conversation is reassigned, too.
    pub(super) handoff: Option<String>,
    pub(super) note: Option<String>,
    pub(super) conversation: Option<bool>,
    /// Answers the sender of a webhook's delivery.
    pub(super) response: Option<ResponsePart>,
}

/// The answer to a webhook's sender.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ResponsePart {
    status: Option<u32>,
    content_type: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    /// The body: a string is sent as text, any other JSON value as JSON.
    body: Option<Value>,
}

impl From<ResponsePart> for HttpResponse {
    fn from(part: ResponsePart) -> Self {
        let (body, content_type) = match part.body {
            None => (String::new(), ""),
            Some(Value::String(text)) => (text, ""),
            Some(value) => (value.to_string(), "application/json"),
        };
        let headers = part.headers.unwrap_or_default().into_iter();
        Self {
            status: part.status.unwrap_or_default(),
            content_type: part.content_type.unwrap_or_else(|| content_type.to_owned()),
            headers: headers.map(|(name, value)| Header { name, value: value.into() }).collect(),
            body: body.into(),
        }
    }
}

/// How many model tokens were used.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PartUsage {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
}

/// A reader for one of the formats, with the part that is incomplete so far.
pub(super) enum PartReader {
    Text(Decoder),
    Objects(Vec<u8>),
    Events(SseReader),
}

impl PartReader {
    /// Returns the reader for a media type and a charset. Refuses unknown ones.
    pub(super) fn of(kind: &str, charset: &str) -> Result<Self, Failure> {
        if !["", "utf-8", "utf8", "us-ascii"].contains(&charset) {
            return Err(Failure::new(format!("the endpoint answers in {charset}, not in UTF-8")));
        }
        match kind {
            "text/plain" | "text/markdown" => Ok(Self::Text(Decoder::default())),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/json" => Ok(Self::Objects(Vec::new())),
            "text/event-stream" => Ok(Self::Events(SseReader::default())),
            "" => Err(Failure::new("the endpoint answers without a Content-Type")),
            other => Err(Failure::new(format!(
                "the endpoint answers with type {other}, which a reply can't have: see --help"
            ))),
        }
    }

    /// Adds bytes. Returns the parts that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<ReplyPart>, Failure> {
        let (parts, waiting) = match self {
            Self::Text(decoder) => (vec![delta(decoder.push(bytes))], 0),
            Self::Objects(buffer) => {
                buffer.extend_from_slice(bytes);
                (objects(buffer)?, buffer.len())
            }
            Self::Events(events) => {
                let parts =
                    events.push(bytes).into_iter().filter_map(|event| part(&event).transpose());
                (parts.collect::<Result<_, _>>()?, events.waiting())
            }
        };
        match waiting <= MAX_PART_BYTES {
            true => Ok(parts),
            false => Err(Failure::new("the endpoint sends an object of more than 1 MiB")),
        }
    }

    /// Returns the parts that are left at the end. A part that is cut off is an error.
    pub(super) fn finish(self) -> Result<Vec<ReplyPart>, Failure> {
        match self {
            Self::Text(mut decoder) => Ok(vec![delta(decoder.finish())]),
            Self::Objects(rest) if !rest.trim_ascii().is_empty() => {
                Err(Failure::new("the endpoint's response ends in the middle of an object"))
            }
            Self::Objects(_) => Ok(Vec::new()),
            Self::Events(mut events) => match events.finish() {
                Some(_) => {
                    Err(Failure::new("the endpoint's response ends in the middle of an event"))
                }
                None => Ok(Vec::new()),
            },
        }
    }
}

/// Takes the complete objects out of a buffer.
fn objects(buffer: &mut Vec<u8>) -> Result<Vec<ReplyPart>, Failure> {
    let mut objects = serde_json::Deserializer::from_slice(buffer).into_iter();
    let mut parts = Vec::new();
    for object in &mut objects {
        match object {
            Ok(object) => parts.push(fields(object)?),
            Err(error) if error.is_eof() => break,
            Err(error) => return Err(wrong(&error)),
        }
    }
    let used = objects.byte_offset();
    buffer.drain(..used);
    Ok(parts)
}

/// Reads an event; `None` for an event without data, and for the `[DONE]` at the end. An `error`
/// event is a failure.
fn part(event: &SseEvent) -> Result<Option<ReplyPart>, Failure> {
    let data = event.data.trim();
    let read = || serde_json::from_str(data).map_err(|error| wrong(&error)).and_then(fields);
    match event.name.as_str() {
        "error" => Err(match read() {
            Ok(ReplyPart { error: Some(error), detail, .. }) => {
                Failure { detail: detail.unwrap_or_else(|| error.clone()), error }
            }
            _ => Failure::new(format!("the endpoint reports an error: {}", clip(data))),
        }),
        _ if data.is_empty() || data == "[DONE]" => Ok(None),
        _ => read().map(Some),
    }
}

/// Reads an object's fields. The parameter is a map, since serde would read an array, too.
fn fields(object: Map<String, Value>) -> Result<ReplyPart, Failure> {
    serde_json::from_value(Value::Object(object)).map_err(|error| wrong(&error))
}

fn wrong(error: &serde_json::Error) -> Failure {
    Failure::new(format!("the endpoint sends something that is not part of a reply: {error}"))
}

fn delta(text: impl Into<String>) -> ReplyPart {
    let delta = Some(text.into()).filter(|text: &String| !text.is_empty());
    ReplyPart { delta, ..ReplyPart::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads these bytes in two pieces. Checks that the parts are the same wherever the cut is.
    fn read(kind: &str, bytes: &str) -> Vec<ReplyPart> {
        let cut = |at: usize| {
            let mut reader = PartReader::of(kind, "").unwrap();
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
        assert!(PartReader::of("text/html", "").is_err() && PartReader::of("", "").is_err());
        assert!(PartReader::of("text/plain", "latin1").is_err());
        for wrong in
            ["[1]\n", "[\"status\"]\n", "{\"text\":\"x\"}\n", "no JSON\n", "{\"delta\":1}\n"]
        {
            let mut reader = PartReader::of("application/x-ndjson", "utf-8").unwrap();
            assert!(reader.push(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let mut cut = PartReader::of("application/x-ndjson", "").unwrap();
        assert_eq!(cut.push(b"{\"delta\":\"a").unwrap(), []);
        assert!(cut.finish().is_err());
        let mut cut = PartReader::of("text/event-stream", "").unwrap();
        assert_eq!(cut.push(b"data: {\"delta\":\"a\"}").unwrap(), []);
        assert!(cut.finish().is_err());
    }

    #[test]
    fn done_events_and_error_events_are_understood() {
        let parts = read(
            "text/event-stream",
            "data: {\"delta\":\"a\",\"note\":null}\n\ndata: [DONE]\n\ndata:\n\n",
        );
        assert_eq!(parts, [delta("a")]);
        let fail = |event: &[u8]| {
            PartReader::of("text/event-stream", "").unwrap().push(event).unwrap_err()
        };
        let failure = fail(b"event: error\ndata: {\"error\":\"Sorry.\"}\n\n");
        assert_eq!((&*failure.error, &*failure.detail), ("Sorry.", "Sorry."));
        let failure = fail(b"event: error\ndata: out of memory\n\n");
        assert!(failure.detail.contains("out of memory"), "{}", failure.detail);
    }
}

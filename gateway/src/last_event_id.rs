//! `Last-Event-ID`: how a reader names the last frame that it has. It is that frame's `id:`, the
//! cursor `<seq>-<tag>`: the frame's number in the conversation's log, in decimal, and the frame's
//! random tag, as 8 hexadecimal digits.

use crate::{
    header::Header,
    link::Parameters,
    operation::{Argument, Description},
    problem::Problem,
};
use arizuko_proto::v1::Cursor;
use axum::extract::FromRequestParts;
use http::request::Parts;
use schemars::JsonSchema;
use serde::Deserialize;

/// The cursor that a request names: in the header `Last-Event-ID`, else in a parameter that
/// polyfills add to the stream's URL, else in `last_event_id`. `None` if all are missing or empty,
/// because the reader has no frame yet.
pub(crate) struct LastEventId(pub(crate) Option<Cursor>);

const LAST_EVENT_ID: Header = Header {
    name: "Last-Event-ID",
    lengths: 0..=usize::MAX,
    description: "The `id:` of the last frame received. The stream starts after it.",
};

#[derive(Deserialize, JsonSchema)]
struct CursorQuery {
    /// The same as the header Last-Event-ID, which takes precedence. So do the parameters
    /// `lastEventId` and `Last-Event-ID`, which polyfills add to a URL.
    last_event_id: Option<String>,
    // Generated clients can't tell the names apart, so the contract has one of them.
    #[schemars(skip)]
    #[serde(rename = "lastEventId")]
    camel: Option<String>,
    #[schemars(skip)]
    #[serde(rename = "Last-Event-ID")]
    header: Option<String>,
}

impl Argument for LastEventId {
    fn describe(operation: &mut Description<'_>) {
        LAST_EVENT_ID.describe(operation, false);
        operation.parameters::<CursorQuery>("query");
    }
}

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Parameters(query) = Parameters::<CursorQuery>::from_request_parts(parts, state).await?;
        let header = parts.headers.get(LAST_EVENT_ID.name).map(|id| id.as_bytes());
        let parameters = [&query.camel, &query.header, &query.last_event_id];
        let parameters = parameters.into_iter().flatten().map(String::as_bytes);
        let id = header.into_iter().chain(parameters).find(|id| !id.is_empty());
        Ok(Self(id.map(|id| parse(str::from_utf8(id).unwrap_or_default()))))
    }
}

/// Writes a cursor.
pub(crate) fn print(cursor: Option<Cursor>) -> String {
    let Cursor { seq, tag } = cursor.unwrap_or_default();
    format!("{seq}-{tag:08x}")
}

/// Reads a cursor. Any other text becomes a cursor that is in no log, so that control replays from
/// the start.
pub(crate) fn parse(text: &str) -> Cursor {
    let in_no_log = Cursor { seq: u64::MAX, tag: 0 };
    let parsed = text.split_once('-').and_then(|(seq, tag)| {
        Some(Cursor { seq: seq.parse().ok()?, tag: u32::from_str_radix(tag, 16).ok()? })
    });
    // Only the form that `print` writes: no sign, no capitals, no leading zeros in the seq, and 8
    // digits in the tag.
    parsed.filter(|parsed| print(Some(*parsed)) == text).unwrap_or(in_no_log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_cursor_parses() {
        for (seq, tag) in [(0, 0), (1, 7), (42, u32::MAX), (u64::MAX, 0xab)] {
            let cursor = Cursor { seq, tag };
            assert_eq!(parse(&print(Some(cursor))), cursor);
        }
    }

    #[test]
    fn any_other_text_is_in_no_log() {
        let malformed = [
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
        for text in malformed {
            assert_eq!(parse(text).seq, u64::MAX, "{text:?}");
        }
    }
}

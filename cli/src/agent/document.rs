//! A turn as the JSON document that `agent exec --json` gives to a program and `agent http` posts:
//! the contract's `Turn`, with bytes as text.

use crate::attach::Turn;
use arizuko_proto::{json, v1::Header};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;

/// Returns a turn's document, with its history. Where a message's content is not UTF-8, `content`
/// is null and `content_base64` has the bytes.
pub(super) fn of(turn: &Turn) -> Value {
    let mut document = json::of(turn);
    set_bytes(&mut document, &turn.content, &turn.headers);
    for (index, observed) in turn.observed.iter().enumerate() {
        set_bytes(&mut document["observed"][index], &observed.content, &observed.headers);
    }
    document
}

/// Replaces the base64 of a message's content and headers with text. Adds a `…_base64` field where
/// the bytes are not UTF-8.
fn set_bytes(message: &mut Value, content: &[u8], headers: &[Header]) {
    let text = std::str::from_utf8(content).ok();
    message["content"] = text.into();
    if text.is_none() {
        message["content_base64"] = BASE64_STANDARD.encode(content).into();
    }
    for (index, header) in headers.iter().enumerate() {
        let shown = &mut message["headers"][index];
        shown["value"] = String::from_utf8_lossy(&header.value).into();
        if std::str::from_utf8(&header.value).is_err() {
            shown["value_base64"] = BASE64_STANDARD.encode(&header.value).into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arizuko_proto::v1::Observed;

    #[test]
    fn bytes_are_text_where_they_can_be() {
        let header = Header { name: "x-event".into(), value: "push".into() };
        let observed = Observed { content: vec![0xff].into(), ..Observed::default() };
        let turn = Turn {
            content: "héllo".into(),
            headers: vec![header],
            observed: vec![observed],
            ..Turn::default()
        };
        let document = of(&turn);
        assert_eq!(document["content"], "héllo");
        assert_eq!(document["headers"][0]["value"], "push");
        assert_eq!(document["observed"][0]["content"], Value::Null);
        assert_eq!(document["observed"][0]["content_base64"], "/w==");
        assert_eq!(
            (&document["handed"], &document["content_base64"]),
            (&Value::Null, &Value::Null)
        );
    }
}

//! A whole turn as the JSON document that `agent exec --json` hands to a program.

use crate::{attach::Turn, time};
use arizuko_proto::v1::{Author, Handed, Header, Message, Observed};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

/// The turn with its history. Where a body is no text, `content` is null and `content_base64` has
/// it.
pub(super) fn of(turn: Turn) -> Value {
    let document = json!({
        "turn_id": turn.turn_id,
        "attempt": turn.attempt,
        "jid": turn.jid,
        "folder": turn.folder,
        "conversation": turn.conversation,
        "topic": turn.topic,
        "persona": turn.persona,
        "context": turn.context,
        "sender": turn.sender,
        "headers": headers(&turn.headers),
        "history": turn.history.into_iter().map(message).collect::<Vec<_>>(),
        "said": turn.said.into_iter().map(message).collect::<Vec<_>>(),
        "observed": turn.observed.into_iter().map(observed).collect::<Vec<_>>(),
        "handed": turn.handed.map(handed),
        "created_at": time::rfc3339(turn.created_at),
        "traceparent": turn.traceparent,
    });
    with_content(document, &turn.content)
}

/// A message that was kept as context.
fn observed(observed: Observed) -> Value {
    let document = json!({
        "jid": observed.jid,
        "sender": observed.sender,
        "headers": headers(&observed.headers),
        "created_at": time::rfc3339(observed.created_at),
    });
    with_content(document, &observed.content)
}

fn handed(handed: Handed) -> Value {
    json!({"folder": handed.folder, "note": handed.note, "escalated": handed.escalated})
}

fn headers(headers: &[Header]) -> Vec<Value> {
    let headers = headers.iter().map(
        |header| json!({"name": header.name, "value": String::from_utf8_lossy(&header.value)}),
    );
    headers.collect()
}

fn with_content(mut document: Value, content: &[u8]) -> Value {
    let text = std::str::from_utf8(content).ok();
    document["content"] = text.into();
    if text.is_none() {
        document["content_base64"] = BASE64_STANDARD.encode(content).into();
    }
    document
}

/// `name` is empty unless a person wrote it.
fn message(message: Message) -> Value {
    let author = match message.author() {
        Author::User => "user",
        Author::Assistant => "assistant",
        Author::Person => "person",
        Author::Unspecified => "unknown",
    };
    json!({
        "id": message.id,
        "turn_id": message.turn_id,
        "author": author,
        "name": message.name,
        "content": message.content,
        "created_at": time::rfc3339(message.created_at),
    })
}

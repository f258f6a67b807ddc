//! A whole turn as the JSON document that `agent exec --json` hands to a program.

use crate::{attach::Turn, time};
use arizuko_proto::v1::{Author, Message};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

/// The turn with its history. Where a webhook's body is no text, `content` is null and
/// `content_base64` has it.
pub(super) fn of(turn: Turn) -> Value {
    let headers = turn.headers.iter().map(
        |header| json!({"name": header.name, "value": String::from_utf8_lossy(&header.value)}),
    );
    let headers: Vec<_> = headers.collect();
    let content = std::str::from_utf8(&turn.content).ok();
    let mut document = json!({
        "turn_id": turn.turn_id,
        "attempt": turn.attempt,
        "jid": turn.jid,
        "folder": turn.folder,
        "conversation": turn.conversation,
        "topic": turn.topic,
        "persona": turn.persona,
        "context": turn.context,
        "sender": turn.sender,
        "content": content,
        "headers": headers,
        "history": turn.history.into_iter().map(message).collect::<Vec<_>>(),
        "created_at": time::rfc3339(turn.created_at),
        "traceparent": turn.traceparent,
    });
    if content.is_none() {
        document["content_base64"] = BASE64_STANDARD.encode(&turn.content).into();
    }
    document
}

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
        "content": message.content,
        "created_at": time::rfc3339(message.created_at),
    })
}

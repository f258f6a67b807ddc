//! The schemas of the events of streams, made from the types of their data.

use crate::{
    document::frames::{
        DeltaData, MessageData, RatedData, RestartData, StatusData, TitleData, TurnDoneData,
    },
    events::{EndData, HtmlData, ResetData},
    schema::Cursor,
};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

/// Returns the schema of an event: one alternative for each kind.
pub(super) fn schema(schemas: &mut SchemaGenerator) -> Value {
    let numbered = [
        event::<MessageData<'_>>(schemas, &["message", "user"], true),
        event::<DeltaData<'_>>(schemas, &["delta"], true),
        event::<StatusData<'_>>(schemas, &["status"], true),
        event::<TitleData<'_>>(schemas, &["title"], true),
        event::<RestartData<'_>>(schemas, &["restart"], true),
        event::<TurnDoneData<'_>>(schemas, &["turn_done"], true),
        event::<RatedData<'_>>(schemas, &["rated"], true),
        event::<ResetData<'_>>(schemas, &["reset"], false),
        event::<EndData>(schemas, &["revoked", "paused"], false),
        event::<HtmlData<'_>>(schemas, &["html"], false),
    ];
    json!({
        "description": "One event of a stream, or one frame of a turn. An event with an `id` is \
            numbered, and a stream can be resumed after it.",
        "oneOf": numbered,
    })
}

/// Returns the schema of the events with these names and data of type `T`.
fn event<T: JsonSchema>(schemas: &mut SchemaGenerator, names: &[&str], is_numbered: bool) -> Value {
    let data = schemas.subschema_for::<T>();
    let mut event = json!({
        "type": "object",
        "required": ["event", "data"],
        "properties": { "event": { "enum": names }, "data": data },
    });
    if is_numbered {
        event["required"] = json!(["id", "event", "data"]);
        event["properties"]["id"] = json!(schemas.subschema_for::<Cursor>());
    }
    event
}

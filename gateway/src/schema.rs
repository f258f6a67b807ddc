//! Types for the schemas of values that are plain text in the code: documents name them with
//! `#[schemars(with = "…")]`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// The pattern of a turn's or conversation's own id; see `arizuko_proto::public_id`.
macro_rules! id {
    () => {
        "[A-Za-z0-9_-]{21}[AQgw]|[A-Za-z0-9_-]{24}"
    };
}

/// Declares a type for a schema with its name. One that is not inline becomes a component.
macro_rules! schemas {
    ($($(#[$doc:meta])* $name:ident, $is_inline:literal, $schema:tt;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                $is_inline
            }

            fn schema_name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

schemas! {
    /// The id of a turn or a conversation.
    Id, false, { "type": "string", "pattern": concat!("^(", id!(), ")$") };
    /// An id, or an empty text if there is none.
    IdOrEmpty, true, { "type": "string", "pattern": concat!("^(", id!(), ")?$") };
    /// A frame's place in its log; see `last_event_id`.
    Cursor, false, { "type": "string", "pattern": "^[0-9]+-[0-9a-f]{8}$" };
    /// An event, whose schema `contract::events` makes.
    Event, true, { "$ref": "#/components/schemas/Event" };
    /// A challenge of control's, whose schema is in `openapi.json`.
    Challenge, true, { "$ref": "#/components/schemas/Challenge" };
}

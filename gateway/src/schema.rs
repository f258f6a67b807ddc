//! Types that stand for schemas written by hand in `openapi.json`. Documents whose own schemas are
//! made from their types have fields of these types.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// Declares a type that stands for the schema with its name.
macro_rules! written_by_hand {
    ($($name:ident)*) => {$(
        #[doc = concat!("Stands for the schema `", stringify!($name), "`.")]
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "$ref": concat!("#/components/schemas/", stringify!($name)) })
            }
        }
    )*};
}

written_by_hand!(Id Status Rating Event Cursor Challenge);

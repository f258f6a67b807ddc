//! What the contract says of an RPC, as JSON Schema for those who call it with JSON.

use super::POOL;
use prost_reflect::{FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

/// Returns the comment of the RPC with this name, and the schema of its request; `None` if there is
/// no such RPC.
pub fn rpc(name: &str) -> Option<(String, Value)> {
    let method = POOL.services().find_map(|service| {
        let mut methods = service.methods();
        methods.find(|method| method.name() == name)
    })?;
    let comment = comment(&method.parent_service().parent_file(), method.path());
    Some((comment, message(&method.input())))
}

/// Returns the comment above the element with this path in its file.
fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let file = file.file_descriptor_proto();
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    let mut comments = locations.filter(|location| location.path == path);
    let comment = comments.find_map(|location| location.leading_comments.as_deref());
    comment.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn message(message: &MessageDescriptor) -> Value {
    let properties = message.fields().map(|field| {
        let mut schema = value(&field);
        schema["description"] = comment(&message.parent_file(), field.path()).into();
        (field.name().to_owned(), schema)
    });
    let properties = properties.collect::<serde_json::Map<_, _>>();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn value(field: &FieldDescriptor) -> Value {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            json!({ "type": "object", "additionalProperties": one(&entry.map_entry_value_field().kind()) })
        }
        kind if field.is_list() => json!({ "type": "array", "items": one(&kind) }),
        kind => one(&kind),
    }
}

fn one(kind: &Kind) -> Value {
    match kind {
        Kind::Double | Kind::Float => json!({ "type": "number" }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::String => json!({ "type": "string" }),
        Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Kind::Enum(words) => {
            let words: Vec<_> = words.values().map(|word| word.name().to_owned()).collect();
            json!({ "type": "string", "enum": words })
        }
        Kind::Message(kind) => match kind.full_name() {
            "google.protobuf.Duration" => {
                json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?s$", "examples": ["3600s"] })
            }
            "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
            "google.protobuf.FieldMask" => json!({ "type": "string" }),
            _ => message(kind),
        },
        _ => json!({ "type": "integer" }),
    }
}

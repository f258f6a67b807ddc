//! The contract's messages as JSON: fields and enum values by their proto names, times in RFC 3339,
//! integers as numbers. Every field is there. If unset, a message, an `optional` field and a member
//! of a oneof are null; any other field has its default, such as `""` or 0.

use crate::v1::DESCRIPTORS;
use prost::Name;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, SerializeOptions};
use serde_json::Value;
use std::sync::LazyLock;

mod schema;
pub use schema::rpc;

const OPTIONS: SerializeOptions = SerializeOptions::new()
    .use_proto_field_name(true)
    .stringify_64_bit_integers(false)
    .skip_default_fields(false);

#[expect(clippy::expect_used, reason = "the descriptors are compiled into the program")]
static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).expect("build.rs wrote descriptors"));

/// Returns the JSON of a message of this contract.
#[expect(clippy::expect_used, reason = "generated types and descriptors come from one build")]
pub fn of<M: Name>(message: &M) -> Value {
    let name = M::full_name();
    let descriptor = POOL.get_message_by_name(&name).expect("a message of arizuko.v1");
    let mut dynamic = DynamicMessage::new(descriptor.clone());
    dynamic.transcode_from(message).expect("a type and its descriptor match");
    let value = dynamic.serialize_with_options(serde_json::value::Serializer, &OPTIONS);
    let mut value = value.expect("fields have text for names");
    name_unset(&descriptor, &mut value);
    value
}

/// Reads a message of this contract from its JSON. Fields may be missing.
///
/// # Errors
/// The JSON does not fit the message; the error says why.
#[expect(clippy::expect_used, reason = "generated types and descriptors come from one build")]
pub fn parse<M: Name + Default>(value: &Value) -> Result<M, String> {
    let descriptor = POOL.get_message_by_name(&M::full_name()).expect("a message of arizuko.v1");
    let dynamic = DynamicMessage::deserialize(descriptor, value);
    let dynamic = dynamic.map_err(|error| error.to_string())?;
    Ok(dynamic.transcode_to().expect("a type and its descriptor match"))
}

/// Adds, as null, the unset fields that the serializer leaves out.
fn name_unset(message: &MessageDescriptor, value: &mut Value) {
    // A timestamp is a string in JSON, not an object.
    let Value::Object(fields) = value else { return };
    for field in message.fields() {
        let value = fields.entry(field.name()).or_insert(Value::Null);
        // The entries of a map are texts and have no fields.
        if !field.is_map()
            && let Kind::Message(message) = field.kind()
        {
            match value {
                Value::Array(values) => {
                    values.iter_mut().for_each(|value| name_unset(&message, value));
                }
                value => name_unset(&message, value),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{GetStatusResponse, Key, KeyKind, RevokeKeyResponse, VisitorPage};
    use prost_types::Timestamp;
    use serde_json::json;
    use std::collections::HashMap;

    #[test]
    fn every_field_is_there() {
        let key = Key {
            key_id: "key_1".into(),
            kind: KeyKind::Agent.into(),
            created_at: Some(Timestamp { seconds: 0, nanos: 1_000_000 }),
            ..Key::default()
        };
        let expected = json!({
            "key_id": "key_1",
            "kind": "KEY_KIND_AGENT",
            "folder": "",
            "reach": "KEY_REACH_UNSPECIFIED",
            "may_mint": false,
            "name": "",
            "created_at": "1970-01-01T00:00:00.001Z",
            "may_set_routes": false,
            "may_speak_as_person": false,
            "expires_at": null,
            "may_read": false,
            "last_used_at": null,
            "rotated_at": null,
            "old_secret_ends_at": null,
        });
        assert_eq!(
            of(&RevokeKeyResponse { revoked: Some(key), tokens: 3 }),
            json!({"revoked": expected, "tokens": 3})
        );
        assert_eq!(of(&RevokeKeyResponse::default()), json!({"revoked": null, "tokens": 0}));
        let data = HashMap::from([("cart".to_owned(), "2 items".to_owned())]);
        let page = VisitorPage { data, ..VisitorPage::default() };
        assert_eq!(of(&page)["data"], json!({"cart": "2 items"}));
        let status = of(&GetStatusResponse { live_tokens: 7, ..GetStatusResponse::default() });
        assert_eq!(status["live_tokens"], 7);
        assert_eq!((&status["now"], &status["sessions"]), (&Value::Null, &json!([])));
    }
}

//! `/openapi.json`: the paths as `openapi.json` has them, and the schemas of our own API's
//! documents, which are made from their types.

use crate::{
    chat::Posted,
    history::History,
    message::NewMessage,
    turn::{Snapshot, Standing},
};
use schemars::{Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::Value;
use std::{borrow::Cow, sync::LazyLock};

/// The whole contract as JSON.
#[expect(clippy::expect_used, reason = "a unit test makes it")]
pub(crate) static CONTRACT: LazyLock<String> = LazyLock::new(|| {
    let mut contract: Value =
        serde_json::from_str(include_str!("../openapi.json")).expect("the file is JSON");
    // Client generators assume that a field with a default is always present.
    let without_default = RecursiveTransform(|schema: &mut Schema| drop(schema.remove("default")));
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = Cow::Borrowed("/components/schemas");
    });
    let settings = settings.with_transform(without_default);
    let mut answers = settings.clone().for_serialize().into_generator();
    answers.subschema_for::<Posted<'_>>();
    answers.subschema_for::<Snapshot<'_>>();
    answers.subschema_for::<Standing<'_>>();
    answers.subschema_for::<History<'_>>();
    let mut requests = settings.for_deserialize().into_generator();
    requests.subschema_for::<NewMessage>();
    let schemas = contract["components"]["schemas"].as_object_mut().expect("it has schemas");
    schemas.extend(answers.take_definitions(true));
    schemas.extend(requests.take_definitions(true));
    contract.to_string()
});

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Collects the names of the schemas that a value refers to.
    fn referred(value: &Value, names: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                let name = fields.get("$ref").and_then(Value::as_str);
                let name = name.and_then(|name| name.strip_prefix("#/components/schemas/"));
                names.extend(name.map(str::to_owned));
                fields.values().for_each(|value| referred(value, names));
            }
            Value::Array(values) => values.iter().for_each(|value| referred(value, names)),
            _ => {}
        }
    }

    #[test]
    fn every_schema_is_there_and_has_a_use() {
        let contract: Value = serde_json::from_str(&CONTRACT).unwrap();
        let mut used = BTreeSet::new();
        referred(&contract, &mut used);
        let schemas = contract["components"]["schemas"].as_object().unwrap();
        let there: BTreeSet<_> = schemas.keys().cloned().collect();
        assert_eq!(there, used);
        let required =
            serde_json::json!(["turn_id", "status", "user", "assistant", "n", "attempt"]);
        assert_eq!(schemas["Turn"]["required"], required);
    }
}

//! `/openapi.json`: the paths as `openapi.json` has them, the schemas of our own API's documents,
//! which are made from their types, and the problems, which are made from those that we answer with.

mod events;
mod problems;

use crate::{
    chat::Posted,
    history::{History, VisitorConversations},
    message::NewMessage,
    page::Config,
    problem::Problem,
    rating::{NewRating, Rated},
    turn::{Cancelled, Snapshot, Standing},
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
    answers.subschema_for::<VisitorConversations>();
    answers.subschema_for::<Cancelled<'_>>();
    answers.subschema_for::<Rated<'_>>();
    answers.subschema_for::<Config<'_>>();
    answers.subschema_for::<Problem>();
    let events = events::schema(&mut answers);
    let mut requests = settings.for_deserialize().into_generator();
    requests.subschema_for::<NewMessage>();
    requests.subschema_for::<NewRating>();
    let schemas = contract["components"]["schemas"].as_object_mut().expect("it has schemas");
    schemas.extend(answers.take_definitions(true));
    schemas.extend(requests.take_definitions(true));
    schemas.insert("Event".to_owned(), events);
    problems::add(&mut contract);
    for (method, id) in [("put", "deliverByPut"), ("patch", "deliverByPatch")] {
        let webhook = &mut contract["paths"]["/hook/{token}"];
        webhook[method] = webhook["post"].clone();
        webhook[method]["operationId"] = id.into();
    }
    contract.to_string()
});

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Collects the components that a value refers to.
    fn referred(value: &Value, names: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                let name = fields.get("$ref").and_then(Value::as_str);
                names.extend(name.and_then(|name| name.strip_prefix('#')).map(str::to_owned));
                fields.values().for_each(|value| referred(value, names));
            }
            Value::Array(values) => values.iter().for_each(|value| referred(value, names)),
            _ => {}
        }
    }

    #[test]
    fn every_component_is_there_and_has_a_use() {
        let contract: Value = serde_json::from_str(&CONTRACT).unwrap();
        let mut used = BTreeSet::new();
        referred(&contract, &mut used);
        let kinds = contract["components"].as_object().unwrap().iter();
        let there: BTreeSet<_> = kinds
            .flat_map(|(kind, components)| {
                let names = components.as_object().unwrap().keys();
                names.map(move |name| format!("/components/{kind}/{name}"))
            })
            .collect();
        assert_eq!(there, used);
        let required =
            serde_json::json!(["turn_id", "status", "user", "assistant", "n", "attempt"]);
        assert_eq!(contract["components"]["schemas"]["Turn"]["required"], required);
    }

    #[test]
    fn an_operation_says_with_which_statuses_and_headers_it_refuses() {
        let contract: Value = serde_json::from_str(&CONTRACT).unwrap();
        let statuses = |path: &str, method: &str| {
            let responses = &contract["paths"][path][method]["responses"];
            let names = responses.as_object().unwrap().keys();
            names.filter(|name| name.as_str() >= "4").cloned().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(statuses("/chat/{token}/config", "get"), "400 401 403 404 429 500 503");
        let of_messages = "400 401 403 404 408 413 415 422 428 429 500 503 504";
        assert_eq!(statuses("/chat/{token}/", "post"), of_messages);
        let refused = &contract["components"]["responses"]["Problem401"];
        assert!(refused["headers"]["WWW-Authenticate"].is_object());
        let description = refused["description"].as_str().unwrap();
        assert!(description.contains("`TOKEN_INVALID`: This link is unknown"), "{description}");
    }
}

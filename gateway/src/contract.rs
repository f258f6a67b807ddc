//! Builds `/openapi.json`: an operation's parameters and body from the types of its handler's
//! arguments, the schemas from the types of our documents and events, and the problems from those
//! that the gateway answers with. `openapi.json` has the rest: the texts, and the answers without a
//! type.

mod events;
mod problems;

use crate::{
    chat::Posted,
    dialects::{Completion, McpError, Models, OpenAiError, ResponseDocument},
    history::{History, VisitorConversations},
    operation::{Description, Operation},
    page::Config,
    paths,
    problem::Problem,
    rating::Rated,
    turn::{Cancelled, Snapshot, Standing},
};
use schemars::{
    Schema,
    generate::SchemaSettings,
    transform::{RecursiveTransform, ReplaceBoolSchemas},
};
use serde_json::{Map, Value};
use std::{borrow::Cow, sync::LazyLock};

/// The whole contract as JSON.
#[expect(clippy::expect_used, reason = "a unit test evaluates this")]
pub(crate) static CONTRACT: LazyLock<String> = LazyLock::new(|| {
    let mut contract: Value =
        serde_json::from_str(include_str!("../openapi.json")).expect("the file is JSON");
    contract["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    for (method, id) in [("put", "deliverByPut"), ("patch", "deliverByPatch")] {
        let webhook = &mut contract["paths"]["/hook/{token}"];
        webhook[method] = webhook["post"].clone();
        webhook[method]["operationId"] = id.into();
    }
    let mut answers = settings().for_serialize().into_generator();
    answers.subschema_for::<Posted<'_>>();
    answers.subschema_for::<Snapshot<'_>>();
    answers.subschema_for::<Standing<'_>>();
    answers.subschema_for::<History<'_>>();
    answers.subschema_for::<VisitorConversations>();
    answers.subschema_for::<Cancelled<'_>>();
    answers.subschema_for::<Rated<'_>>();
    answers.subschema_for::<Config<'_>>();
    answers.subschema_for::<Problem>();
    answers.subschema_for::<Completion<'_>>();
    answers.subschema_for::<Models>();
    answers.subschema_for::<ResponseDocument<'_>>();
    answers.subschema_for::<OpenAiError<'_>>();
    answers.subschema_for::<McpError<'_>>();
    let events = events::schema(&mut answers);
    let mut requests = settings().for_deserialize().into_generator();
    for Operation { path, method, describe } in paths::routes(|routes| routes).operations {
        let operation = &mut contract["paths"][path][method];
        describe(&mut Description { schemas: &mut requests, operation });
    }
    let schemas = contract["components"]["schemas"].as_object_mut().expect("it has schemas");
    add(schemas, answers.take_definitions(true));
    add(schemas, requests.take_definitions(true));
    schemas.insert("Event".to_owned(), events);
    problems::add(&mut contract);
    contract.to_string()
});

fn settings() -> SchemaSettings {
    let mut without_booleans = ReplaceBoolSchemas::default();
    without_booleans.skip_additional_properties = true;
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = Cow::Borrowed("/components/schemas");
    });
    settings.with_transform(without_booleans).with_transform(RecursiveTransform(adjust))
}

/// Adjusts a schema for client generators, and gives unsigned integers a maximum.
fn adjust(schema: &mut Schema) {
    // Client generators assume that a field with a default is always present.
    schema.remove("default");
    let most: u64 = match schema.get("format").and_then(Value::as_str) {
        Some("uint32") => u32::MAX.into(),
        Some("uint64") => u64::MAX,
        _ => return,
    };
    schema.insert("maximum".to_owned(), most.into());
}

/// Adds schemas. If a name is already present, its schema must be the same.
fn add(schemas: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, schema) in more {
        let earlier = schemas.insert(name.clone(), schema);
        debug_assert!(earlier.is_none_or(|earlier| earlier == schemas[&name]), "two are {name}");
    }
}

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
    fn every_operation_has_a_text_and_an_id_of_its_own_and_its_parameters() {
        let contract: Value = serde_json::from_str(&CONTRACT).unwrap();
        let documented = contract["paths"].as_object().unwrap().iter();
        let documented = documented.flat_map(|(path, methods)| {
            methods.as_object().unwrap().iter().map(move |(method, it)| ((&**path, &**method), it))
        });
        let mut ids = BTreeSet::new();
        let mut described = BTreeSet::new();
        for ((path, method), operation) in documented {
            assert!(operation["summary"].is_string(), "{method} {path} has no text");
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{operation}");
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let of_path = parameters.clone().filter(|it| it["in"] == "path");
            let in_path: BTreeSet<_> = path.split(['{', '}']).skip(1).step_by(2).collect();
            assert_eq!(
                of_path.map(|it| it["name"].as_str().unwrap()).collect::<BTreeSet<_>>(),
                in_path
            );
            let names: BTreeSet<_> =
                parameters.clone().map(|it| format!("{} {}", it["in"], it["name"])).collect();
            assert_eq!(names.len(), parameters.count(), "a parameter of {method} {path} is twice");
            described.insert((path, method));
        }
        let served = paths::routes(|routes| routes).operations;
        let served: BTreeSet<_> = served.iter().map(|it| (it.path, it.method)).collect();
        assert_eq!(described, served);
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

//! Adds the problems to the contract. Their statuses, reasons, sentences and headers are those that
//! the gateway answers with; `openapi.json` says only which operations report them in a form other
//! than `Problem`.

use crate::problem::Problem;
use axum::response::IntoResponse as _;
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The headers of every answer to a request under a token; see `limit_requests` in `routes.rs`.
const OF_EVERY_REQUEST: [&str; 2] = ["RateLimit", "RateLimit-Policy"];

/// Adds to each operation under a token the statuses of its problems. These statuses replace the
/// operation's `default` response, which names the form of its problems if that isn't `Problem`.
pub(super) fn add(contract: &mut Value) {
    let mut used = BTreeSet::new();
    let under_a_token = fields(&mut contract["paths"]).filter(|(path, _)| path.contains("{token}"));
    for (path, methods) in under_a_token {
        for (method, operation) in fields(methods) {
            let form = form(&operation["responses"]["default"]);
            let statuses = statuses(path, method, operation, &form);
            let responses = &mut operation["responses"];
            add_limits(responses);
            for status in statuses {
                let name = format!("{form}{}", status.as_str());
                responses[status.as_str()] = reference("responses", &name);
                used.insert((form.clone(), status));
            }
            drop(responses.as_object_mut().and_then(|responses| responses.remove("default")));
        }
    }
    let responses = &mut contract["components"]["responses"];
    add_limits(responses);
    let described = describe();
    for (form, status) in &used {
        let Some(Described { description, headers }) = described.get(status) else { continue };
        let mut response = responses[form].clone();
        response["description"] = json!(description);
        for name in headers {
            response["headers"][*name] = reference("headers", name);
        }
        responses[format!("{form}{}", status.as_str())] = response;
    }
    for (form, _) in used {
        drop(responses.as_object_mut().and_then(|responses| responses.remove(&form)));
    }
}

fn fields(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// Returns the form in which an operation reports its problems.
fn form(default: &Value) -> String {
    let form = default["$ref"].as_str().and_then(|form| form.rsplit('/').next());
    form.unwrap_or("Problem").to_owned()
}

/// Adds [`OF_EVERY_REQUEST`] to the responses that are not references.
fn add_limits(responses: &mut Value) {
    for (_, response) in fields(responses) {
        if response.get("$ref").is_none() {
            for name in OF_EVERY_REQUEST {
                response["headers"][name] = reference("headers", name);
            }
        }
    }
}

/// Returns the statuses of an operation's problems, inferred from its path, method, parameters and
/// form.
fn statuses(path: &str, method: &str, operation: &Value, form: &str) -> BTreeSet<StatusCode> {
    use StatusCode as S;
    let mut statuses = BTreeSet::from([
        S::BAD_REQUEST,
        S::UNAUTHORIZED,
        S::FORBIDDEN,
        S::NOT_FOUND,
        S::TOO_MANY_REQUESTS,
        S::INTERNAL_SERVER_ERROR,
        S::SERVICE_UNAVAILABLE,
    ]);
    if path.matches('{').count() > 1 {
        statuses.insert(S::GONE);
    }
    if method != "get" {
        statuses.insert(S::GATEWAY_TIMEOUT);
    }
    if operation.get("requestBody").is_some() {
        let of_bodies = [S::REQUEST_TIMEOUT, S::PAYLOAD_TOO_LARGE, S::UNSUPPORTED_MEDIA_TYPE];
        statuses.extend(of_bodies);
    }
    if operation["parameters"].to_string().to_lowercase().contains("idempotency") {
        statuses.extend([S::UNPROCESSABLE_ENTITY, S::PRECONDITION_REQUIRED]);
    }
    if form == "OpenAiError" && method == "post" {
        statuses.insert(S::BAD_GATEWAY);
    }
    if form == "McpError" {
        statuses.insert(S::NOT_ACCEPTABLE);
    }
    statuses
}

/// What the contract says of the problems with one status.
#[derive(Default)]
struct Described {
    /// Each reason, with its sentence.
    description: String,
    headers: BTreeSet<&'static str>,
}

fn describe() -> BTreeMap<StatusCode, Described> {
    let mut described = BTreeMap::<_, Described>::new();
    for problem in Problem::all() {
        let Described { description, headers } = described.entry(problem.status()).or_default();
        let reason = format!("`{}`: ", problem.reason());
        if !description.contains(&reason) {
            let line_break = if description.is_empty() { "" } else { "\n\n" };
            *description += &format!("{line_break}{reason}{}", problem.detail());
        }
        let told = problem.into_response();
        let names = ["Retry-After", "WWW-Authenticate", "Accept-Encoding"];
        headers.extend(names.into_iter().filter(|name| told.headers().contains_key(*name)));
    }
    described
}

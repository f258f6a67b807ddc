//! The contract of the gateway's HTTP API, `/openapi.json`. Each answer that the harness reads to
//! its end is checked against it: its status, content type, reason and headers.

use http::{HeaderMap, Method, StatusCode};
use reqwest::Url;
use serde_json::Value;
use tokio::sync::OnceCell;

/// The contract, as the first gateway that answered without TLS has it.
static CONTRACT: OnceCell<Value> = OnceCell::const_new();

/// The headers that an answer may have only if the contract says so.
const DECLARED: [&str; 10] = [
    "accept-encoding",
    "arizuko-conversation",
    "arizuko-proxy",
    "arizuko-turn",
    "idempotency-replayed",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "www-authenticate",
    "x-should-retry",
];

/// An answer of a gateway.
pub(crate) struct Answered<'a> {
    pub(crate) method: &'a Method,
    pub(crate) url: &'a Url,
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

impl Answered<'_> {
    /// Fails the test if the contract has the request's path and method, but not this answer.
    pub(crate) async fn check(&self) {
        if let Some(contract) = contract(self.url).await
            && let Some(operation) = self.operation(contract)
        {
            self.check_with(contract, operation);
        }
    }

    /// Returns the operation that was asked for, if the contract has the path and the method.
    fn operation<'a>(&self, contract: &'a Value) -> Option<&'a Value> {
        let paths = contract["paths"].as_object()?;
        let path: Vec<&str> = self.url.path().split('/').collect();
        let is_named = |segment: &str| segment.starts_with('{');
        let fits = |template: &str| {
            let segments = template.split('/');
            let is_as_long = segments.clone().count() == path.len();
            is_as_long && segments.zip(&path).all(|(one, other)| is_named(one) || one == *other)
        };
        let fitting = paths.iter().filter(|(template, _)| fits(template));
        let (_, methods) = fitting.min_by_key(|(template, _)| template.matches('{').count())?;
        let method = if self.method == Method::HEAD { Method::GET } else { self.method.clone() };
        methods.get(method.as_str().to_lowercase())
    }

    fn check_with(&self, contract: &Value, operation: &Value) {
        let Self { status, headers, .. } = self;
        let text = String::from_utf8_lossy(self.body);
        let id = &operation["operationId"];
        let of_status = |name: &str| resolve(contract, &operation["responses"][name]);
        let range = format!("{}XX", status.as_u16() / 100);
        let response = of_status(status.as_str()).or_else(|| of_status(&range));
        let Some(response) = response else {
            panic!("the contract of {id} has no status {status}: {text}");
        };
        // An agent may answer a delivery with anything.
        if operation["responses"].get(&range).is_some() {
            return;
        }
        let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default();
        let has_kind = |kind: &str| response["content"].get(kind).is_some();
        // The contract says once, for all operations, that a browser gets problems as pages.
        let is_page = kind == "text/html" && status.as_u16() >= 400;
        let is_told = self.body.is_empty() || is_page || has_kind(kind) || has_kind("*/*");
        assert!(is_told, "the contract of {id} with {status} has no {kind}: {text}");
        if kind == "application/problem+json" && !self.body.is_empty() {
            let problem: Value = serde_json::from_slice(self.body).expect("a problem is JSON");
            let reason = problem["reason"].as_str().expect("a problem has a reason");
            let described = response["description"].as_str().unwrap_or_default();
            let is_described = described.contains(&format!("`{reason}`"));
            assert!(is_described, "the contract of {id} with {status} has no {reason}");
        }
        let declared = response["headers"].as_object();
        for name in DECLARED.into_iter().filter(|name| headers.contains_key(*name)) {
            let mut names = declared.into_iter().flatten().map(|(name, _)| name);
            let is_declared = names.any(|declared| declared.eq_ignore_ascii_case(name));
            assert!(is_declared, "the contract of {id} with {status} has no header {name}");
        }
    }
}

/// Returns a part of the contract, or the component that it refers to.
fn resolve<'a>(contract: &'a Value, part: &'a Value) -> Option<&'a Value> {
    match part.get("$ref").and_then(Value::as_str) {
        Some(reference) => contract.pointer(reference.strip_prefix('#')?),
        None => (!part.is_null()).then_some(part),
    }
}

async fn contract(url: &Url) -> Option<&'static Value> {
    if url.scheme() != "http" {
        return CONTRACT.get();
    }
    let ask = async || {
        let answer = reqwest::get(url.join("/openapi.json").ok()?).await.ok()?;
        answer.json::<Value>().await.ok()
    };
    CONTRACT.get_or_try_init(async || ask().await.ok_or(())).await.ok()
}

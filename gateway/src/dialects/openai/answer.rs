//! What OpenAI's clients get: completions and their chunks, the models, and errors.

use crate::{dialects::exchange::Ids, problem::Problem, schema::Challenge};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

/// The one model, which is whoever answers the link.
pub(crate) const MODEL: &str = "arizuko";

/// The text is in `choices[0].message.content`. A chunk has the next piece of it in
/// `choices[0].delta.content`.
#[derive(JsonSchema, Serialize)]
pub(crate) struct Completion<'a> {
    pub(super) id: &'a str,
    #[schemars(extend("enum" = ["chat.completion", "chat.completion.chunk"]))]
    pub(super) object: &'static str,
    /// In seconds since 1970.
    pub(super) created: i64,
    pub(super) model: &'static str,
    pub(super) choices: [Choice<'a>; 1],
    pub(super) metadata: &'a Ids,
}

/// The one reply, or what a chunk adds to it.
#[derive(Default, JsonSchema, Serialize)]
#[schemars(inline)]
pub(super) struct Choice<'a> {
    pub(super) index: u32,
    /// Only in a completion.
    #[schemars(with = "Text<'a>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<Text<'a>>,
    /// Only in a chunk.
    #[schemars(with = "Text<'a>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delta: Option<Text<'a>>,
    pub(super) logprobs: (),
    #[schemars(extend("enum" = ["stop", null]))]
    pub(super) finish_reason: Option<&'static str>,
}

/// A message, or the parts of one that a chunk has.
#[derive(Default, JsonSchema, Serialize)]
#[schemars(inline)]
pub(super) struct Text<'a> {
    #[schemars(with = "String", extend("const" = "assistant"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    #[schemars(with = "String")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<&'a str>,
    #[schemars(with = "()")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<()>,
}

/// The list of models, which has one.
#[derive(JsonSchema, Serialize)]
pub(crate) struct Models {
    #[schemars(extend("const" = "list"))]
    object: &'static str,
    data: [Model; 1],
}

#[derive(JsonSchema, Serialize)]
#[schemars(inline)]
struct Model {
    id: &'static str,
    #[schemars(extend("const" = "model"))]
    object: &'static str,
    created: u32,
    owned_by: &'static str,
}

/// The list with the one model.
pub(super) const MODELS: Models = Models {
    object: "list",
    data: [Model { id: MODEL, object: "model", created: 0, owned_by: MODEL }],
};

/// A problem in the form of OpenAI's errors.
#[derive(JsonSchema, Serialize)]
pub(crate) struct OpenAiError<'a> {
    error: Told<'a>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(inline)]
struct Told<'a> {
    message: &'a str,
    r#type: Kind,
    param: (),
    /// The reason, as in `Problem`.
    code: &'static str,
    /// Present with the status 428, as in `Problem`.
    #[schemars(with = "Challenge")]
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge: Option<&'a RawValue>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(inline)]
enum Kind {
    #[serde(rename = "invalid_request_error")]
    InvalidRequest,
    #[serde(rename = "authentication_error")]
    Authentication,
    #[serde(rename = "permission_error")]
    Permission,
    #[serde(rename = "rate_limit_error")]
    RateLimit,
    #[serde(rename = "server_error")]
    Server,
}

impl<'a> OpenAiError<'a> {
    pub(crate) fn new(problem: &'a Problem) -> Self {
        let kind = match problem.status() {
            StatusCode::UNAUTHORIZED => Kind::Authentication,
            StatusCode::FORBIDDEN => Kind::Permission,
            StatusCode::TOO_MANY_REQUESTS => Kind::RateLimit,
            status if status.is_server_error() => Kind::Server,
            _ => Kind::InvalidRequest,
        };
        let error = Told {
            message: problem.detail(),
            r#type: kind,
            param: (),
            code: problem.reason(),
            challenge: problem.challenge(),
        };
        Self { error }
    }
}

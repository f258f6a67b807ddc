//! Tasks, results and errors in A2A's JSON.

use crate::{dialects::problems, document, problem::Problem};
use arizuko_proto::v1::{self as pb, TurnStatus};
use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

/// How many bytes the id of a request may have. It is limited because each event of an answer
/// repeats it.
const MAX_ID: usize = 255;

/// Our reasons, A2A's names for them, and their codes in JSON-RPC.
const ERRORS: [(&str, &str, i32); 10] = [
    ("NOT_FOUND", "TASK_NOT_FOUND", -32001),
    ("TASK_NOT_CANCELABLE", "TASK_NOT_CANCELABLE", -32002),
    ("PUSH_NOTIFICATION_NOT_SUPPORTED", "PUSH_NOTIFICATION_NOT_SUPPORTED", -32003),
    ("UNSUPPORTED_OPERATION", "UNSUPPORTED_OPERATION", -32004),
    ("CONTENT_TYPE_NOT_SUPPORTED", "CONTENT_TYPE_NOT_SUPPORTED", -32005),
    ("VERSION_NOT_SUPPORTED", "VERSION_NOT_SUPPORTED", -32009),
    ("INVALID_REQUEST", "INVALID_REQUEST", -32600),
    ("METHOD_NOT_FOUND", "METHOD_NOT_FOUND", -32601),
    ("INVALID", "INVALID_PARAMS", -32602),
    ("PARSE_ERROR", "PARSE_ERROR", -32700),
];
/// The first of the codes that JSON-RPC leaves to servers.
const OTHER: i32 = -32000;

/// The form of an answer.
#[derive(Clone)]
pub(super) enum Form {
    /// HTTP+JSON.
    Plain,
    /// JSON-RPC, for the request with this id.
    Rpc(Value),
}

impl Form {
    /// Returns the form of the answer to a request of JSON-RPC.
    pub(super) fn of(request: &Value) -> Result<Self, Problem> {
        let id = &request["id"];
        let is_short = id.as_str().is_some_and(|id| id.len() <= MAX_ID);
        if request["jsonrpc"] == "2.0" && (is_short || id.is_number() || id.is_null()) {
            return Ok(Self::Rpc(id.clone()));
        }
        let detail =
            "A request must have `\"jsonrpc\": \"2.0\"`, and an `id` that is short or `null`.";
        Err(super::refused("INVALID_REQUEST", detail))
    }

    pub(super) fn result(&self, result: Value) -> Value {
        match self {
            Self::Plain => result,
            Self::Rpc(id) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        }
    }

    pub(super) fn response(&self, result: Value) -> Response {
        let kind = match self {
            Self::Plain => "application/a2a+json",
            Self::Rpc(_) => "application/json",
        };
        ([(CONTENT_TYPE, kind)], self.result(result).to_string()).into_response()
    }

    /// Notes the form in a response with a problem.
    pub(super) fn mark(self, mut response: Response) -> Response {
        response.extensions_mut().insert(self);
        response
    }

    pub(super) fn error(&self, problem: &Problem) -> Value {
        let reason = problem.reason();
        let known = ERRORS.iter().find(|(ours, ..)| *ours == reason);
        let (theirs, domain) =
            known.map_or((reason, "arizuko"), |(_, theirs, _)| (theirs, "a2a-protocol.org"));
        let mut info = json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": theirs,
            "domain": domain,
            "metadata": { "reason": reason },
        });
        if let Some(challenge) = problem.challenge() {
            info["metadata"]["challenge"] = challenge.get().into();
        }
        let message = problem.detail();
        match self {
            Self::Plain => {
                let (code, status) = (problem.status().as_u16(), status(problem.status()));
                json!({ "error": { "code": code, "status": status, "message": message, "details": [info] } })
            }
            Self::Rpc(id) => {
                let code = known.map_or(OTHER, |(.., code)| *code);
                let error = json!({ "code": code, "message": message, "data": [info] });
                json!({ "jsonrpc": "2.0", "id": id, "error": error })
            }
        }
    }
}

/// Returns gRPC's word for an HTTP status.
fn status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "FAILED_PRECONDITION",
    }
}

/// Answers with A2A's form of an error in place of a problem. In JSON-RPC, the errors in [`ERRORS`]
/// have the status 200, since clients read no other answer.
pub(crate) async fn show_problems(request: Request, next: Next) -> Response {
    let is_rpc = request.uri().path().ends_with("/a2a");
    let response = next.run(request).await;
    let marked = response.extensions().get::<Form>().cloned();
    let form = marked.unwrap_or(if is_rpc { Form::Rpc(Value::Null) } else { Form::Plain });
    let mut has_code = false;
    let mut response = problems::told_as(response, |problem| {
        has_code = is_rpc && ERRORS.iter().any(|(ours, ..)| *ours == problem.reason());
        form.error(problem)
    });
    if has_code {
        *response.status_mut() = StatusCode::OK;
    }
    response
}

/// Returns a turn as a task.
pub(super) fn task(conversation: &str, turn: &pb::ConversationTurn) -> Value {
    let artifacts = artifacts(&turn.assistant);
    let mut status = json!({ "state": state(turn.status()) });
    if let Some(at) = turn.ended_at.as_ref().and_then(document::time) {
        status["timestamp"] = at.into();
    }
    if let Some(problem) = Problem::of_turn(turn.status(), &turn.error) {
        status["message"] = message(&turn.turn_id, problem.detail());
    }
    json!({ "id": turn.turn_id, "contextId": conversation, "status": status, "artifacts": artifacts })
}

pub(super) fn artifacts(messages: &[pb::Message]) -> Vec<Value> {
    messages.iter().map(|message| artifact(&message.id, &message.content)).collect()
}

pub(super) fn artifact(id: &str, text: &str) -> Value {
    json!({ "artifactId": id, "parts": [{ "text": text }] })
}

/// Returns a message with a sentence about a turn.
pub(super) fn message(turn: &str, text: &str) -> Value {
    let parts = json!([{ "text": text }]);
    json!({ "messageId": format!("{turn}-status"), "role": "ROLE_AGENT", "parts": parts })
}

pub(super) fn state(status: TurnStatus) -> &'static str {
    match status {
        TurnStatus::Unspecified | TurnStatus::Queued => "TASK_STATE_SUBMITTED",
        TurnStatus::Running => "TASK_STATE_WORKING",
        TurnStatus::Failed | TurnStatus::Expired => "TASK_STATE_FAILED",
        TurnStatus::Cancelled => "TASK_STATE_CANCELED",
        TurnStatus::Done | TurnStatus::Observed | TurnStatus::Dropped => "TASK_STATE_COMPLETED",
    }
}

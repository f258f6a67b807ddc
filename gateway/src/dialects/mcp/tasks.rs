//! A turn as a task of MCP's extension `io.modelcontextprotocol/tasks`: a client that supports it
//! need not wait for a reply, but polls the task until the turn has ended.

use crate::{document, problem::Problem};
use arizuko_proto::v1::{self as pb, TurnStatus};
use prost_types::Timestamp;
use rmcp::{
    ErrorData,
    model::{
        CallToolResult, CreateTaskResult, DetailedTask, GetTaskResult, Task, TaskPayload,
        TaskStatus,
    },
};
use serde_json::{Value, json};

/// How long a client should wait between two requests for a task, in milliseconds.
const POLL: u64 = 1000;

/// Returns the task of a message that was just taken.
pub(super) fn begun(posted: &pb::PostMessageResponse) -> CreateTaskResult {
    let at = posted.user.as_ref().and_then(|user| user.created_at.as_ref());
    CreateTaskResult::new(task(&posted.turn_id, at, at))
}

/// Returns the task of a turn. `result` is what the call that began the turn returns when the turn
/// ends.
pub(super) fn of_turn(turn: &pb::ConversationTurn, result: &CallToolResult) -> GetTaskResult {
    let begun_at = turn.user.as_ref().and_then(|user| user.created_at.as_ref());
    let mut task = task(&turn.turn_id, begun_at, turn.ended_at.as_ref().or(begun_at));
    if !turn.status_text.is_empty() {
        task = task.with_status_message(&turn.status_text);
    }
    let payload = match turn.status() {
        status if document::is_open(status) => TaskPayload::Working,
        TurnStatus::Cancelled => TaskPayload::Cancelled,
        _ => match json!(result) {
            Value::Object(result) => TaskPayload::Completed { result },
            _ => TaskPayload::Working,
        },
    };
    GetTaskResult::new(DetailedTask::new(task, payload))
}

fn task(turn_id: &str, begun_at: Option<&Timestamp>, changed_at: Option<&Timestamp>) -> Task {
    let time = |at: Option<&Timestamp>| at.and_then(document::time).unwrap_or_default();
    Task::new(turn_id, TaskStatus::Working, time(begun_at), time(changed_at))
        .with_poll_interval_ms(POLL)
}

/// Returns a problem as the error of a method.
pub(super) fn error(problem: &Problem) -> ErrorData {
    let (detail, data) = (problem.detail().to_owned(), Some(json!(problem)));
    if problem.status().is_client_error() {
        ErrorData::invalid_params(detail, data)
    } else {
        ErrorData::internal_error(detail, data)
    }
}

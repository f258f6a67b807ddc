//! A reply as a stream of A2A's events.

use super::words::{self, Form};
use crate::{
    dialects::{exchange::Exchange, growth::Piece, reply::Dialect},
    last_event_id,
    problem::Problem,
    sse,
};
use arizuko_proto::v1::{ConversationTurn, Cursor, Message};
use serde_json::{Value, json};

/// A reply as a stream of events. Each one names its frame's cursor, which a client sends as
/// `Last-Event-ID` to go on after it.
pub(super) struct Events {
    form: Form,
    task: String,
    context: String,
    /// The task's state at the start.
    state: &'static str,
    /// The cursor of the last frame that is written; 0 before the first.
    cursor: Cursor,
}

impl Events {
    pub(super) fn new(form: Form, exchange: &Exchange, state: &'static str) -> Self {
        let (task, context) = (exchange.turn_id.clone(), exchange.conversation.clone());
        Self { form, task, context, state, cursor: Cursor::default() }
    }

    fn write(&self, name: &str, mut event: Value, out: &mut String) {
        event["contextId"] = (*self.context).into();
        let cursor = last_event_id::print(Some(self.cursor));
        event["metadata"] = json!({ "cursor": cursor });
        sse::write_numbered(out, &cursor, "", &self.form.result(json!({ name: event })));
    }

    fn update(&self, name: &str, mut event: Value, out: &mut String) {
        event["taskId"] = (*self.task).into();
        self.write(name, event, out);
    }

    fn write_status(&self, status: Value, out: &mut String) {
        self.update("statusUpdate", json!({ "status": status }), out);
    }
}

impl Dialect for Events {
    fn begin(&mut self, _: &mut String) {}

    fn so_far(&mut self, messages: &[Message], out: &mut String) {
        let artifacts = words::artifacts(messages);
        let status = json!({ "state": self.state });
        let task = json!({ "id": self.task, "status": status, "artifacts": artifacts });
        self.write("task", task, out);
    }

    fn at(&mut self, cursor: Cursor) {
        self.cursor = cursor;
    }

    fn text(&mut self, &Piece { id, text, begins }: &Piece<'_>, out: &mut String) {
        let artifact = words::artifact(id, text);
        self.update("artifactUpdate", json!({ "artifact": artifact, "append": !begins }), out);
    }

    fn status(&mut self, text: &str, out: &mut String) {
        let message = words::message(&self.task, text);
        self.write_status(json!({ "state": "TASK_STATE_WORKING", "message": message }), out);
    }

    async fn done(&mut self, _: Option<&ConversationTurn>, out: &mut String) {
        self.write_status(json!({ "state": "TASK_STATE_COMPLETED" }), out);
    }

    fn failed(&mut self, problem: &Problem, out: &mut String) {
        if problem.is_of_turn() {
            let is_cancelled = problem.reason() == "TURN_CANCELLED";
            let state = if is_cancelled { "TASK_STATE_CANCELED" } else { "TASK_STATE_FAILED" };
            let message = words::message(&self.task, problem.detail());
            return self.write_status(json!({ "state": state, "message": message }), out);
        }
        // A JSON-RPC client recognises an error by its JSON, not by the event's name.
        let error = self.form.error(problem);
        match self.form {
            Form::Plain => sse::write_event(out, "error", &error),
            Form::Rpc(_) => sse::write_data(out, &error),
        }
    }
}

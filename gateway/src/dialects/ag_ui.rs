//! `/chat/{token}/ag-ui`: AG-UI 1.0.

use super::{
    asked::Asked,
    earlier::{self, Said},
    exchange::{self, Exchange},
    growth::Piece,
    reply::Dialect,
};
use crate::{
    gateway::Gateway,
    header::{Header, OF_MESSAGES},
    message::NewMessage,
    operation::{POST, Routes},
    problem::Problem,
    sse,
    unread::Content,
};
use arizuko_proto::v1 as pb;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn routes() -> Routes<Arc<Gateway>> {
    Routes::new().on(POST, "/chat/{token}/ag-ui", run)
}

/// The parts of a run's input that have a meaning here. Tools, state and context are the client's
/// own.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "RunAgentInput")]
#[serde(rename_all = "camelCase")]
struct Input {
    thread_id: String,
    run_id: String,
    /// The last one is the user's, and is sent.
    messages: Vec<Message>,
    /// An object with the solution of a challenge as `altcha`, or anything else.
    #[serde(default)]
    forwarded_props: Value,
}

impl Content for Input {
    const HEADERS: &'static [&'static Header] = OF_MESSAGES;
}

#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
struct Message {
    role: String,
    /// A text, or parts of type `text`.
    #[serde(default)]
    content: Value,
    /// In our own messages, the metadata that they began with. In others, anything.
    #[serde(default)]
    metadata: Value,
}

impl Message {
    /// Returns the text. The error is the type of the first part that is not text.
    fn text(&self) -> Result<String, String> {
        let Value::Array(parts) = &self.content else {
            return Ok(self.content.as_str().unwrap_or_default().to_owned());
        };
        let text = |part: &Value| match part["type"].as_str().unwrap_or_default() {
            "text" => Ok(part["text"].as_str().unwrap_or_default().to_owned()),
            other => Err(other.to_owned()),
        };
        parts.iter().map(text).collect()
    }
}

impl Input {
    /// Returns the message to post.
    fn message(&self) -> Result<NewMessage, Problem> {
        if let Some(Err(other)) = self.messages.last().map(Message::text) {
            return Err(earlier::only_text(&other));
        }
        let metadata = self.messages.iter().map(|message| &message.metadata);
        let conversation = earlier::conversation(metadata, &self.thread_id);
        let said =
            |it: &Message| Said { role: it.role.clone(), text: it.text().unwrap_or_default() };
        let said = self.messages.iter().map(said).collect();
        let content = earlier::newest(said, &conversation, "messages")?;
        let altcha = self.forwarded_props["altcha"].as_str().unwrap_or_default().to_owned();
        Ok(NewMessage { content, conversation, altcha, ..NewMessage::default() })
    }
}

/// POST `/chat/{token}/ag-ui`
async fn run(asked: Asked<Input>) -> Result<Response, Problem> {
    let Asked { caller, headers, body: input } = asked;
    let message = input.message()?;
    let Input { thread_id, run_id, .. } = input;
    let headers = exchange::with_key(headers, &run_id);
    let exchange = Exchange::begin(caller, &headers, message).await?;
    let metadata = json!(exchange.ids());
    exchange.stream(Events { thread_id, run_id, metadata, open: String::new() }, None).await
}

/// A reply as a stream of events.
struct Events {
    thread_id: String,
    run_id: String,
    metadata: Value,
    /// The id of the message that was begun and not ended.
    open: String,
}

impl Events {
    fn end_message(&mut self, out: &mut String) {
        if !self.open.is_empty() {
            sse::write_data(out, &json!({ "type": "TEXT_MESSAGE_END", "messageId": self.open }));
            self.open.clear();
        }
    }
}

impl Dialect for Events {
    fn begin(&mut self, out: &mut String) {
        let Self { thread_id, run_id, metadata, .. } = self;
        let start = json!({
            "type": "RUN_STARTED",
            "threadId": thread_id,
            "runId": run_id,
            "protocolVersion": "1.0",
            "metadata": metadata,
        });
        sse::write_data(out, &start);
    }

    fn text(&mut self, &Piece { id, text, .. }: &Piece<'_>, out: &mut String) {
        if self.open != id {
            self.end_message(out);
            let start = json!({
                "type": "TEXT_MESSAGE_START",
                "messageId": id,
                "role": "assistant",
                "metadata": self.metadata,
            });
            sse::write_data(out, &start);
            id.clone_into(&mut self.open);
        }
        let content = json!({ "type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": text });
        sse::write_data(out, &content);
    }

    fn status(&mut self, text: &str, out: &mut String) {
        let value = json!({ "text": text });
        sse::write_data(out, &json!({ "type": "CUSTOM", "name": "status", "value": value }));
    }

    async fn done(&mut self, _: Option<&pb::ConversationTurn>, out: &mut String) {
        self.end_message(out);
        let Self { thread_id, run_id, .. } = self;
        let end = json!({ "type": "RUN_FINISHED", "threadId": thread_id, "runId": run_id });
        sse::write_data(out, &end);
    }

    fn failed(&mut self, problem: &Problem, out: &mut String) {
        self.end_message(out);
        let (message, code) = (problem.detail(), problem.reason());
        sse::write_data(out, &json!({ "type": "RUN_ERROR", "message": message, "code": code }));
    }
}

//! Passes a chat completion on to the visitor, chunk by chunk.

use super::{
    surrogates::Mender,
    thoughts::{Piece, Thoughts},
};
use crate::{
    agent::{
        endpoint::{AskError, clip},
        text::{Lines, Whole},
    },
    attach::{Failure, Gone, Reply},
    sse::SseEvent,
};
use serde_json::Value;

/// A completion as far as it has come.
pub(super) struct Completion<'a> {
    reply: &'a Reply,
    /// The model's reasoning, if the visitor sees it.
    reasoning: Option<Lines>,
    thoughts: Thoughts,
    mender: Mender,
    whole: Whole,
    /// Whether the visitor has seen a part of the reply.
    pub(super) has_begun: bool,
    /// The status that the visitor sees.
    status: String,
    /// The tool that the model called last.
    tool: String,
    /// Why the model stopped, in lower case. `None` while it may still write.
    pub(super) finish_reason: Option<String>,
    /// Whether no more chunks will come.
    pub(super) is_done: bool,
    /// How many tokens the completion took, if the endpoint reports that.
    pub(super) usage: Value,
}

impl<'a> Completion<'a> {
    pub(super) fn new(reply: &'a Reply, show_reasoning: bool) -> Self {
        Self {
            reply,
            reasoning: show_reasoning.then(Lines::default),
            thoughts: Thoughts::default(),
            mender: Mender::default(),
            whole: Whole::default(),
            has_begun: false,
            status: String::new(),
            tool: String::new(),
            finish_reason: None,
            is_done: false,
            usage: Value::Null,
        }
    }

    /// Takes an event of a stream.
    pub(super) async fn take_event(&mut self, event: &SseEvent) -> Result<(), AskError> {
        match event.name.as_str() {
            "error" if !self.is_whole() => Err(AskError::reported(&event.data)),
            _ if event.data.trim().is_empty() => Ok(()),
            _ => self.take(&event.data).await,
        }
    }

    /// Takes a chunk, a whole completion, or the `[DONE]` after the last chunk. Any other document
    /// is a provider extension and is ignored. Fails if the document is not JSON, or reports an
    /// error before the completion is whole.
    pub(super) async fn take(&mut self, data: &str) -> Result<(), AskError> {
        if data.trim() == "[DONE]" {
            self.is_done = true;
            return Ok(());
        }
        let parsed = serde_json::from_str(data);
        let parsed = parsed.or_else(|_| serde_json::from_str::<Value>(&self.mender.mend(data)));
        let Ok(mut chunk) = parsed else {
            let detail = format!("the endpoint sends an event that is not JSON: {}", clip(data));
            return Err(Failure::new(detail).into());
        };
        if is_error(&chunk) && !self.is_whole() {
            return Err(AskError::reported(data));
        }
        if chunk["usage"].is_object() {
            self.usage = chunk["usage"].take();
        }
        let choices = chunk["choices"].as_array().into_iter().flatten();
        for choice in choices.filter(|choice| choice["index"].as_u64().unwrap_or(0) == 0) {
            self.piece(&choice["delta"]).await?;
            // Some endpoints end a stream with the whole message, after they have sent its deltas.
            if !self.has_begun {
                self.piece(&choice["message"]).await?;
            }
            let reason = choice["finish_reason"].as_str().filter(|reason| !reason.is_empty());
            if let Some(reason) = reason {
                self.finish_reason = Some(reason.to_ascii_lowercase());
            }
        }
        Ok(())
    }

    async fn piece(&mut self, piece: &Value) -> Result<(), Gone> {
        for name in ["reasoning_content", "reasoning"] {
            if let Some(thought) = piece[name].as_str().filter(|thought| !thought.is_empty()) {
                self.think(thought).await?;
                // Some endpoints send the same thought under both names.
                break;
            }
        }
        for call in piece["tool_calls"].as_array().into_iter().flatten() {
            if let Some(name) = call["function"]["name"].as_str() {
                name.clone_into(&mut self.tool);
                self.show_status(&format!("Calling {name}")).await?;
            }
        }
        for part in self.thoughts.push(&text(&piece["content"])) {
            self.part(part).await?;
        }
        self.say(&text(&piece["refusal"])).await
    }

    async fn part(&mut self, part: Piece) -> Result<(), Gone> {
        match part {
            Piece::Thought(thought) if thought.is_empty() => Ok(()),
            Piece::Thought(thought) => self.think(&thought).await,
            Piece::Reply(text) => self.say(&text).await,
        }
    }

    async fn think(&mut self, thought: &str) -> Result<(), Gone> {
        let Some(lines) = &mut self.reasoning else {
            return self.show_status("Thinking").await;
        };
        for line in lines.push(thought.as_bytes()) {
            self.reply.status(line).await?;
        }
        Ok(())
    }

    /// Shows a status, unless the visitor sees it already.
    async fn show_status(&mut self, status: &str) -> Result<(), Gone> {
        if self.status != status {
            self.status = status.to_owned();
            self.reply.status(status).await?;
        }
        Ok(())
    }

    async fn say(&mut self, text: &str) -> Result<(), Gone> {
        if text.is_empty() {
            return Ok(());
        }
        if let Some(line) = self.reasoning.as_mut().and_then(Lines::take) {
            self.reply.status(line).await?;
        }
        self.status.clear();
        self.has_begun = true;
        self.whole.push(text);
        self.reply.write(text).await
    }

    /// Says whether the model has stopped.
    pub(super) fn is_whole(&self) -> bool {
        self.is_done || self.finish_reason.is_some()
    }

    /// Ends the reply if the completion ended well. Otherwise returns why it did not.
    pub(super) async fn finish(mut self) -> Result<(), AskError> {
        if !self.is_whole() {
            return Err(AskError::given_up("the completion ends in the middle"));
        }
        let last = self.thoughts.finish();
        self.part(last).await?;
        let reason = self.finish_reason.unwrap_or_default();
        let (error, detail) = match &*reason {
            // The endpoints' words for a reply that is whole; empty if only [DONE] ended it.
            "" | "stop" | "stop_sequence" | "end_turn" | "eos" | "eos_token" | "complete" => {
                if let Some(message) = self.whole.take() {
                    self.reply.message(message).await?;
                } else if !self.has_begun {
                    let detail = format!("the completion is empty (finish_reason {reason})");
                    return Err(failure("The agent had nothing to say.", detail));
                }
                return Ok(());
            }
            "length" | "max_tokens" | "model_length" => (
                "The reply grew too long and ends here.",
                format!("the model reached its limit of tokens (finish_reason {reason})"),
            ),
            "content_filter" | "safety" | "recitation" | "prohibited_content" => (
                "The agent may not say more about this.",
                format!("the endpoint stopped the reply (finish_reason {reason})"),
            ),
            // The model wants the agent to run this tool. A tool that the endpoint runs itself does
            // not end a completion.
            "tool_calls" | "function_call" | "tool_use" => (
                "The agent could not answer.",
                format!("the model wants the tool {}, and this agent runs no tools", self.tool),
            ),
            _ => {
                return Err(AskError::given_up(format!(
                    "the model gave up (finish_reason {reason})"
                )));
            }
        };
        Err(failure(error, detail))
    }
}

fn failure(error: &str, detail: String) -> AskError {
    Failure { error: error.into(), detail }.into()
}

/// Whether a document reports an error. An empty `error` doesn't count, since some endpoints always
/// send one.
fn is_error(document: &Value) -> bool {
    let is_empty = match &document["error"] {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    !is_empty || document["object"] == "error"
}

/// Returns a text, which some endpoints send in parts.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

//! Passes a chat completion on to the visitor, chunk by chunk.

use crate::{
    agent::{
        endpoint::{AskError, clip, explain},
        text::{Lines, Whole},
    },
    attach::{Failure, Gone, Reply},
};
use serde_json::Value;

/// A completion as far as it has come.
pub(super) struct Completion<'a> {
    reply: &'a Reply,
    /// The model's reasoning, if the visitor sees it.
    reasoning: Option<Lines>,
    whole: Whole,
    /// The visitor has seen a part of the reply.
    pub(super) has_begun: bool,
    /// The status that the visitor sees.
    status: String,
    /// The tool that the model called last.
    tool: String,
    /// Why the model ended. Only a whole completion has a reason.
    pub(super) finish_reason: Option<String>,
    /// No more chunks will come.
    pub(super) is_done: bool,
    /// How many tokens it took, if the endpoint reports that.
    pub(super) usage: Value,
}

impl<'a> Completion<'a> {
    pub(super) fn new(reply: &'a Reply, show_reasoning: bool) -> Self {
        Self {
            reply,
            reasoning: show_reasoning.then(Lines::default),
            whole: Whole::default(),
            has_begun: false,
            status: String::new(),
            tool: String::new(),
            finish_reason: None,
            is_done: false,
            usage: Value::Null,
        }
    }

    /// Takes a chunk, or a whole completion. Anything else is a provider extension and is ignored.
    pub(super) async fn take(&mut self, data: &str) -> Result<(), AskError> {
        if data.trim() == "[DONE]" {
            self.is_done = true;
            return Ok(());
        }
        let Ok(mut chunk) = serde_json::from_str::<Value>(data) else {
            let detail = format!("the endpoint sends an event that is no JSON: {}", clip(data));
            return Err(Failure::new(detail).into());
        };
        if !chunk["error"].is_null() && !self.is_whole() {
            let detail = format!("the endpoint reports an error: {}", explain(&chunk));
            return Err(AskError::given_up(detail));
        }
        if chunk["usage"].is_object() {
            self.usage = chunk["usage"].take();
        }
        let choices = chunk["choices"].as_array().into_iter().flatten();
        for choice in choices.filter(|choice| choice["index"].as_u64().unwrap_or(0) == 0) {
            self.piece(&choice["delta"]).await?;
            self.piece(&choice["message"]).await?;
            if let Some(reason) = choice["finish_reason"].as_str() {
                self.finish_reason = Some(reason.to_owned());
            }
        }
        Ok(())
    }

    async fn piece(&mut self, piece: &Value) -> Result<(), Gone> {
        for name in ["reasoning_content", "reasoning"] {
            if let Some(thought) = piece[name].as_str().filter(|thought| !thought.is_empty()) {
                self.think(thought).await?;
                // Some endpoints send it under both names.
                break;
            }
        }
        for call in piece["tool_calls"].as_array().into_iter().flatten() {
            if let Some(name) = call["function"]["name"].as_str() {
                name.clone_into(&mut self.tool);
                self.show_status(&format!("Calling {name}")).await?;
            }
        }
        for name in ["content", "refusal"] {
            self.say(&text(&piece[name])).await?;
        }
        Ok(())
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
        self.reply.delta(text).await
    }

    /// Says whether the model has ended.
    pub(super) fn is_whole(&self) -> bool {
        self.is_done || self.finish_reason.is_some()
    }

    /// Ends the reply, or says why the completion is none.
    pub(super) async fn finish(mut self) -> Result<(), AskError> {
        if !self.is_whole() {
            return Err(AskError::given_up("the completion ends in the middle"));
        }
        let reason = self.finish_reason.unwrap_or_default();
        let (error, detail) = match &*reason {
            "length" => (
                "The reply grew too long and ends here.",
                "the model reached its limit of tokens (finish_reason length)".into(),
            ),
            "content_filter" => (
                "The agent may not say more about this.",
                "the endpoint stopped the reply (finish_reason content_filter)".into(),
            ),
            // A tool that the endpoint runs itself does not end the completion.
            "tool_calls" | "function_call" => (
                "The agent could not answer.",
                format!("the model wants the tool {}, and this agent runs no tools", self.tool),
            ),
            _ if self.has_begun => {
                if let Some(message) = self.whole.take() {
                    self.reply.message(message).await?;
                }
                return Ok(());
            }
            _ => (
                "The agent had nothing to say.",
                format!("the completion is empty (finish_reason {reason})"),
            ),
        };
        let error = error.into();
        Err(Failure { error, detail }.into())
    }
}

/// Returns a text, which some endpoints send in parts.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

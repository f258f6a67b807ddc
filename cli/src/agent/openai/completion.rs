//! A chat completion as it comes, chunk by chunk, and what of it the visitor sees.

use crate::{
    agent::{
        endpoint::{Trouble, clip, explain},
        text::{Lines, Whole},
    },
    attach::{Failure, Gone, Reply},
};
use serde_json::Value;

/// See the module.
pub(super) struct Completion<'a> {
    reply: &'a Reply,
    /// The visitor sees the model's reasoning, line by line.
    reasoning: Option<Lines>,
    whole: Whole,
    /// The visitor has seen a part of the reply.
    pub(super) begun: bool,
    /// What the visitor was told last of what the model does.
    doing: String,
    /// The tool that it called last.
    tool: String,
    /// Why the model ended, which only a whole completion says.
    pub(super) finish_reason: Option<String>,
    /// No more chunks will come.
    pub(super) done: bool,
    /// How many tokens it took, where that is told.
    pub(super) usage: Value,
}

impl<'a> Completion<'a> {
    pub(super) fn new(reply: &'a Reply, show_reasoning: bool) -> Self {
        Self {
            reply,
            reasoning: show_reasoning.then(Lines::default),
            whole: Whole::default(),
            begun: false,
            doing: String::new(),
            tool: String::new(),
            finish_reason: None,
            done: false,
            usage: Value::Null,
        }
    }

    /// Takes a chunk, or a whole completion. What neither is may be an extension: it is passed by.
    pub(super) async fn take(&mut self, data: &str) -> Result<(), Trouble> {
        if data.trim() == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        let Ok(mut chunk) = serde_json::from_str::<Value>(data) else {
            let detail = format!("the endpoint sends what is no JSON: {}", clip(data));
            return Err(Failure::new(detail).into());
        };
        if !chunk["error"].is_null() && !self.is_whole() {
            let detail = format!("the endpoint has an error: {}", explain(&chunk));
            return Err(Trouble::given_up(detail));
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
                // Some endpoints send the same under both names.
                break;
            }
        }
        for call in piece["tool_calls"].as_array().into_iter().flatten() {
            if let Some(name) = call["function"]["name"].as_str() {
                name.clone_into(&mut self.tool);
                self.doing(&format!("Calling {name}")).await?;
            }
        }
        for name in ["content", "refusal"] {
            self.say(&text(&piece[name])).await?;
        }
        Ok(())
    }

    async fn think(&mut self, thought: &str) -> Result<(), Gone> {
        let Some(lines) = &mut self.reasoning else {
            return self.doing("Thinking").await;
        };
        for line in lines.push(thought.as_bytes()) {
            self.reply.status(line).await?;
        }
        Ok(())
    }

    /// Tells it once, however many chunks say so.
    async fn doing(&mut self, what: &str) -> Result<(), Gone> {
        if self.doing != what {
            self.doing = what.to_owned();
            self.reply.status(what).await?;
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
        self.doing.clear();
        self.begun = true;
        self.whole.push(text);
        self.reply.delta(text).await
    }

    /// Whether the model has ended, so that all it says is there.
    pub(super) fn is_whole(&self) -> bool {
        self.done || self.finish_reason.is_some()
    }

    /// Ends the reply, as far as the completion is one.
    pub(super) async fn finish(mut self) -> Result<(), Trouble> {
        if !self.is_whole() {
            return Err(Trouble::given_up("the completion ends in the middle"));
        }
        let reason = self.finish_reason.unwrap_or_default();
        let (error, detail) = match &*reason {
            "length" => (
                "The reply grew too long and ends here.",
                "the model came to its limit of tokens (finish_reason length)".into(),
            ),
            "content_filter" => (
                "The agent may not say more about this.",
                "the endpoint stopped the reply (finish_reason content_filter)".into(),
            ),
            // The tools that an endpoint calls by itself don't end a completion.
            "tool_calls" | "function_call" => (
                "The agent could not answer.",
                format!("the model wants {}, and nobody here runs tools", self.tool),
            ),
            _ if self.begun => {
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

/// A text, which some endpoints send in parts.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

//! `/chat/{token}/ai`: the UI message stream of Vercel's AI SDK, version 1.

use super::{
    earlier::{self, Said},
    exchange::Exchange,
    reply::Dialect,
};
use crate::{
    address::Visitor,
    gateway::Gateway,
    link::{ConversationId, Link},
    message::{NewMessage, from_json, read_body},
    problem::Problem,
    sse,
};
use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/chat/{token}/ai", post(send))
        .route("/chat/{token}/ai/{conversation}/stream", get(resume))
}

/// What the SDK's transport posts.
#[derive(Deserialize)]
struct Chat {
    /// The chat's id, which the client makes up, unless it goes on with a conversation.
    #[serde(default)]
    id: String,
    messages: Vec<Message>,
    #[serde(default)]
    altcha: String,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    parts: Vec<Part>,
    /// In our own messages, the metadata that the stream began with. In others, anything.
    #[serde(default)]
    metadata: Value,
}

#[derive(Deserialize)]
struct Part {
    r#type: String,
    #[serde(default)]
    text: String,
}

impl Chat {
    /// Returns the message to post.
    fn into_message(mut self) -> Result<NewMessage, Problem> {
        let conversation = self.conversation();
        let last = self.messages.pop().filter(|message| message.role == "user");
        let Some(last) = last else {
            return Err(Problem::invalid("The last of `messages` must have the role `user`."));
        };
        if let Some(other) = last.parts.iter().find(|part| part.r#type != "text") {
            let detail =
                format!("This link takes only text, not parts of type `{}`.", other.r#type);
            return Err(Problem::invalid(detail));
        }
        let content = last.text();
        // In an existing conversation, the agent knows the earlier messages.
        let content = if conversation.is_empty() {
            let earlier = self.messages.into_iter();
            let earlier = earlier.map(|it| Said { text: it.text(), role: it.role });
            earlier::add_to(content, &earlier.collect::<Vec<_>>())
        } else {
            content
        };
        Ok(NewMessage { content, conversation, altcha: self.altcha, ..NewMessage::default() })
    }

    /// Returns the conversation that the newest reply names, or else the chat's id if that names a
    /// conversation; empty if there is none.
    fn conversation(&self) -> String {
        let named =
            |message: &Message| Some(message.metadata.get("conversation")?.as_str()?.to_owned());
        let named = self.messages.iter().rev().find_map(named);
        let id = || ConversationId::parse(self.id.clone()).map(|ConversationId(id)| id);
        named.unwrap_or_else(|| id().unwrap_or_default())
    }
}

impl Message {
    fn text(&self) -> String {
        let texts = self.parts.iter().filter(|part| part.r#type == "text");
        texts.map(|part| &*part.text).collect()
    }
}

/// POST `/chat/{token}/ai`
async fn send(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    visitor: Visitor,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (body, share) = read_body(&gateway, &link, visitor, &headers, body).await?;
    let message = from_json::<Chat>(&headers, &body)?.into_message()?;
    drop((body, share));
    stream(Exchange::begin(gateway, link, visitor, &headers, message).await?).await
}

/// GET `/chat/{token}/ai/{conversation}/stream`: goes on with the reply that is being made.
async fn resume(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    visitor: Visitor,
    conversation: Result<ConversationId, Problem>,
) -> Result<Response, Problem> {
    let running = match conversation {
        Ok(ConversationId(id)) => Exchange::running(gateway, link, visitor, id).await?,
        // The id of a chat that has no conversation yet.
        Err(_) => {
            gateway.control.resolve(link.access()).await?;
            None
        }
    };
    match running {
        Some(exchange) => stream(exchange).await,
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

async fn stream(exchange: Exchange) -> Result<Response, Problem> {
    let (id, metadata) = (exchange.turn_id.clone(), exchange.metadata());
    let chunks = exchange.stream(Chunks { id, metadata, open: String::new() }).await?;
    Ok(([("x-vercel-ai-ui-message-stream", "v1")], chunks).into_response())
}

/// A reply as a stream of chunks.
struct Chunks {
    id: String,
    metadata: Value,
    /// The id of the text that was begun and not ended.
    open: String,
}

impl Chunks {
    fn end_text(&mut self, out: &mut String) {
        if !self.open.is_empty() {
            sse::write_data(out, &json!({ "type": "text-end", "id": self.open }));
            self.open.clear();
        }
    }

    fn end(out: &mut String) {
        out.push_str("data: [DONE]\n\n");
    }
}

impl Dialect for Chunks {
    fn begin(&mut self, out: &mut String) {
        let Self { id, metadata, .. } = self;
        let start = json!({ "type": "start", "messageId": id, "messageMetadata": metadata });
        sse::write_data(out, &start);
    }

    fn text(&mut self, id: &str, text: &str, out: &mut String) {
        if self.open != id {
            self.end_text(out);
            sse::write_data(out, &json!({ "type": "text-start", "id": id }));
            id.clone_into(&mut self.open);
        }
        sse::write_data(out, &json!({ "type": "text-delta", "id": id, "delta": text }));
    }

    fn status(&mut self, text: &str, out: &mut String) {
        let data = json!({ "text": text });
        sse::write_data(out, &json!({ "type": "data-status", "data": data, "transient": true }));
    }

    fn done(&mut self, out: &mut String) {
        self.end_text(out);
        sse::write_data(out, &json!({ "type": "finish" }));
        Self::end(out);
    }

    fn failed(&mut self, problem: &Problem, out: &mut String) {
        self.end_text(out);
        sse::write_data(out, &json!({ "type": "error", "errorText": problem.detail() }));
        Self::end(out);
    }
}

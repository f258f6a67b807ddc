//! `/chat/{token}/ai`: the UI message stream of Vercel's AI SDK, version 1.

use super::{
    asked::{Asked, Caller},
    earlier::{self, Said},
    exchange::Exchange,
    growth::Piece,
    reply::Dialect,
};
use crate::{
    document,
    gateway::Gateway,
    header::{Header, OF_MESSAGES},
    link::{ConversationId, TurnId},
    message::NewMessage,
    operation::{GET, POST, Routes},
    problem::Problem,
    sse,
    unread::Content,
};
use arizuko_proto::v1 as pb;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn routes() -> Routes<Arc<Gateway>> {
    Routes::new().on(POST, "/chat/{token}/ai", send).on(
        GET,
        "/chat/{token}/ai/{conversation}/stream",
        resume,
    )
}

/// What the SDK's transport posts.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "UiChat")]
struct Chat {
    /// The chat's id: the id of a conversation to go on in, or any other that the client made up.
    #[serde(default)]
    id: String,
    /// The last one must be the user's: its text goes to the agent.
    messages: Vec<Message>,
    /// `regenerate-message` asks for a reply to be made anew.
    #[serde(default)]
    trigger: String,
    /// If `trigger` asks for a reply to be made anew: the id of the reply's turn. With any other
    /// text, or none, the conversation's newest reply is made anew.
    #[serde(default, rename = "messageId")]
    message_id: Option<String>,
    /// The solution of a challenge.
    #[serde(default)]
    altcha: String,
}

impl Content for Chat {
    const HEADERS: &'static [&'static Header] = OF_MESSAGES;
}

#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
struct Message {
    role: String,
    #[serde(default)]
    parts: Vec<Part>,
    /// In our own messages, the metadata that the stream began with. In others, anything.
    #[serde(default)]
    metadata: Value,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
struct Part {
    r#type: String,
    #[serde(default)]
    text: String,
}

impl Chat {
    /// Returns the turn whose reply is to be made anew; `None` if the request doesn't ask for that,
    /// or names neither the turn nor a conversation that has one. The SDK omits that reply from the
    /// messages, and with it the conversation's id.
    async fn replaced(&self, caller: &Caller) -> Result<Option<Exchange>, Problem> {
        if self.trigger != "regenerate-message" {
            return Ok(None);
        }
        let caller = caller.clone();
        let named = self.message_id.clone().and_then(|id| TurnId::parse(id).ok());
        let found = match (named, self.conversation()) {
            (Some(TurnId(id)), _) => Some(Exchange::of_turn(caller, id).await?),
            (None, id) if id.is_empty() => None,
            (None, id) => Exchange::newest(caller, id).await?,
        };
        Ok(found.map(|(exchange, _)| exchange))
    }

    /// Returns the message to post.
    fn into_message(self, replaced: Option<Exchange>) -> Result<NewMessage, Problem> {
        let (conversation, supersedes) = match replaced {
            Some(Exchange { conversation, turn_id, .. }) => (conversation, turn_id),
            None => (self.conversation(), String::new()),
        };
        let last = self.messages.last().map(|message| &*message.parts).unwrap_or_default();
        if let Some(other) = last.iter().find(|part| part.r#type != "text") {
            return Err(earlier::only_text(&other.r#type));
        }
        let said = self.messages.into_iter().map(|it| Said { text: it.text(), role: it.role });
        let content = earlier::newest(said.collect(), &conversation, "messages")?;
        let altcha = self.altcha;
        Ok(NewMessage { content, conversation, supersedes, altcha, ..NewMessage::default() })
    }

    /// Returns the conversation that the newest reply names, or else the chat's id if that names a
    /// conversation; empty if there is none.
    fn conversation(&self) -> String {
        earlier::conversation(self.messages.iter().map(|message| &message.metadata), &self.id)
    }
}

impl Message {
    fn text(&self) -> String {
        let texts = self.parts.iter().filter(|part| part.r#type == "text");
        texts.map(|part| &*part.text).collect()
    }
}

/// POST `/chat/{token}/ai`
async fn send(asked: Asked<Chat>) -> Result<Response, Problem> {
    let Asked { caller, headers, body } = asked;
    let replaced = body.replaced(&caller).await?;
    stream(Exchange::begin(caller, &headers, body.into_message(replaced)?).await?).await
}

/// GET `/chat/{token}/ai/{conversation}/stream`: goes on with the reply that is being made.
async fn resume(
    caller: Caller,
    conversation: Result<ConversationId, Problem>,
) -> Result<Response, Problem> {
    let running = match conversation {
        Ok(ConversationId(id)) => {
            let newest = Exchange::newest(caller, id).await?;
            newest.filter(|(_, status)| document::is_open(*status)).map(|(exchange, _)| exchange)
        }
        // The client made up this id, so the chat has no conversation yet.
        Err(_) => {
            caller.gateway.control.resolve(caller.link.access()).await?;
            None
        }
    };
    match running {
        Some(exchange) => stream(exchange).await,
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

async fn stream(exchange: Exchange) -> Result<Response, Problem> {
    let (id, metadata) = (exchange.turn_id.clone(), json!(exchange.ids()));
    let chunks = exchange.stream(Chunks { id, metadata, open: String::new() }, None).await?;
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

    fn text(&mut self, &Piece { id, text, .. }: &Piece<'_>, out: &mut String) {
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

    async fn done(&mut self, _: Option<&pb::ConversationTurn>, out: &mut String) {
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

//! `/chat/{token}/v1/…`: OpenAI's chat completions. A client's `base_url` is the link with `v1`.

use super::{
    earlier::{self, Said},
    exchange::Exchange,
    problems,
    reply::{BETWEEN, Dialect},
};
use crate::{
    address::Visitor,
    gateway::Gateway,
    link::Link,
    message::{NewMessage, from_json, header, read_body},
    problem::Problem,
    sse,
};
use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The one model, which is whoever answers the link.
const MODEL: &str = "arizuko";

pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/chat/{token}/v1/chat/completions", post(complete))
        .route("/chat/{token}/v1/models", get(models))
}

/// The parts of a request that have a meaning here. Others, such as `temperature`, are the agent's
/// to decide.
#[derive(Deserialize)]
struct Completion {
    messages: Vec<Message>,
    stream: Option<bool>,
    metadata: Option<Metadata>,
    n: Option<u32>,
    tools: Option<Vec<Value>>,
    functions: Option<Vec<Value>>,
    response_format: Option<Typed>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Typed>),
}

/// An object whose `type` says what it is.
#[derive(Deserialize)]
struct Typed {
    r#type: String,
    #[serde(default)]
    text: String,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    conversation: String,
    #[serde(default)]
    altcha: String,
}

impl Completion {
    /// Refuses what no agent is asked for.
    fn check(&self) -> Result<(), Problem> {
        let has = |list: &Option<Vec<Value>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let refused = if has(&self.tools) || has(&self.functions) {
            "`tools` and `functions`: the agent has tools of its own, and calls none of the client's"
        } else if self.n.is_some_and(|n| n != 1) {
            "`n`: there is one reply"
        } else if self.response_format.as_ref().is_some_and(|format| format.r#type != "text") {
            "`response_format`: the reply is text"
        } else {
            return Ok(());
        };
        Err(Problem::invalid(format!("This link does not take {refused}.")))
    }

    /// Returns the message to post.
    fn into_message(self, headers: &HeaderMap) -> Result<NewMessage, Problem> {
        self.check()?;
        let metadata = self.metadata.unwrap_or_default();
        let mut conversation = metadata.conversation;
        if conversation.is_empty() {
            conversation = header(headers, "arizuko-conversation")?;
        }
        let mut said = Vec::new();
        for Message { role, content } in self.messages {
            let text = content.map(Content::into_text).transpose()?.unwrap_or_default();
            said.push(Said { role, text });
        }
        let Some(last) = said.pop().filter(|last| last.role == "user") else {
            return Err(Problem::invalid("The last of `messages` must have the role `user`."));
        };
        // In an existing conversation, the agent knows the earlier messages.
        let content =
            if conversation.is_empty() { earlier::add_to(last.text, &said) } else { last.text };
        Ok(NewMessage { content, conversation, altcha: metadata.altcha, ..NewMessage::default() })
    }
}

impl Content {
    fn into_text(self) -> Result<String, Problem> {
        let parts = match self {
            Self::Text(text) => return Ok(text),
            Self::Parts(parts) => parts,
        };
        let other = parts.iter().map(|part| &part.r#type).find(|kind| *kind != "text");
        if let Some(other) = other {
            return Err(Problem::invalid(format!(
                "This link takes only text, not parts of type `{other}`."
            )));
        }
        Ok(parts.into_iter().map(|part| part.text).collect())
    }
}

/// POST `/chat/{token}/v1/chat/completions`
async fn complete(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    visitor: Visitor,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (body, share) = read_body(&gateway, &link, visitor, &headers, body).await?;
    let completion: Completion = from_json(&headers, &body)?;
    drop((body, share));
    let is_stream = completion.stream == Some(true);
    let message = completion.into_message(&headers)?;
    let exchange = Exchange::begin(gateway, link, visitor, &headers, message).await?;
    let head = Head {
        id: format!("chatcmpl-{}", exchange.turn_id),
        created: jiff::Timestamp::now().as_second(),
        metadata: exchange.metadata(),
    };
    if is_stream {
        return exchange.stream(Chunks { head, last_message: String::new() }).await;
    }
    let (content, room) = exchange.reply().await?;
    let message = json!({ "role": "assistant", "content": content, "refusal": null });
    let choice =
        json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": "stop" });
    let answer = head.document("chat.completion", choice);
    let response = (exchange.headers(), Json(answer)).into_response();
    match room {
        Some(room) => room.hold(response).await.map_err(|_| Problem::no_reply_yet()),
        None => Ok(response),
    }
}

/// What all chunks of a completion have.
struct Head {
    id: String,
    created: i64,
    metadata: Value,
}

impl Head {
    fn document(&self, object: &str, choice: Value) -> Value {
        let Self { id, created, metadata } = self;
        json!({
            "id": id,
            "object": object,
            "created": created,
            "model": MODEL,
            "choices": [choice],
            "metadata": metadata,
        })
    }
}

/// A completion as a stream of chunks.
struct Chunks {
    head: Head,
    /// The id of the message whose text was written last.
    last_message: String,
}

impl Chunks {
    fn write(&self, delta: Value, finish_reason: Option<&str>, out: &mut String) {
        let choice = json!({
            "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason,
        });
        sse::write_data(out, &self.head.document("chat.completion.chunk", choice));
    }
}

impl Dialect for Chunks {
    fn begin(&mut self, out: &mut String) {
        self.write(json!({ "role": "assistant", "content": "" }), None, out);
    }

    fn text(&mut self, id: &str, text: &str, out: &mut String) {
        let between =
            if self.last_message.is_empty() || self.last_message == id { "" } else { BETWEEN };
        id.clone_into(&mut self.last_message);
        self.write(json!({ "content": format!("{between}{text}") }), None, out);
    }

    fn status(&mut self, _: &str, _: &mut String) {}

    fn done(&mut self, out: &mut String) {
        self.write(json!({}), Some("stop"), out);
        out.push_str("data: [DONE]\n\n");
    }

    fn failed(&mut self, problem: &Problem, out: &mut String) {
        sse::write_data(out, &document(problem));
    }
}

/// GET `/chat/{token}/v1/models`
async fn models(State(gateway): State<Arc<Gateway>>, link: Link) -> Result<Response, Problem> {
    gateway.control.resolve(link.access()).await?;
    let model = json!({ "id": MODEL, "object": "model", "created": 0, "owned_by": MODEL });
    Ok(Json(json!({ "object": "list", "data": [model] })).into_response())
}

/// Returns a problem in the form of OpenAI's errors.
fn document(problem: &Problem) -> Value {
    let kind = match problem.status() {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    let mut error = json!({
        "message": problem.detail(), "type": kind, "param": null, "code": problem.reason(),
    });
    if let Some(challenge) = problem.challenge() {
        error["challenge"] = json!(challenge);
    }
    json!({ "error": error })
}

/// Answers with OpenAI's form of an error in place of a problem.
pub(super) async fn show_problems(request: Request, next: Next) -> Response {
    let has_key = request.headers().contains_key("idempotency-key");
    let mut response = problems::told_as(next.run(request).await, document);
    // The clients repeat a request by themselves. That must not send the message twice, nor begin
    // again what an agent has ended.
    let may_repeat = match response.status() {
        StatusCode::GATEWAY_TIMEOUT => has_key,
        StatusCode::BAD_GATEWAY => false,
        _ => true,
    };
    if !may_repeat {
        response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response
}

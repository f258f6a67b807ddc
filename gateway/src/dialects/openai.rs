//! `/chat/{token}/v1/…`: OpenAI's chat completions. A client's `base_url` is the link's URL
//! followed by `v1`.

mod answer;

use super::{
    asked::{Asked, Caller},
    earlier::{self, Said},
    exchange::{Exchange, Ids},
    growth::Piece,
    problems,
    reply::{Dialect, Joined},
};
use crate::{
    gateway::Gateway,
    header::{Header, IDEMPOTENCY_KEY, VISITOR},
    message::NewMessage,
    operation::{GET, POST, Routes},
    problem::Problem,
    schema::IdOrEmpty,
    sse,
    unread::Content,
};
pub(super) use answer::MODEL;
use answer::{Choice, MODELS, Text};
pub(crate) use answer::{Completion, Models, OpenAiError};
use arizuko_proto::v1 as pb;
use axum::{
    Json,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn routes() -> Routes<Arc<Gateway>> {
    Routes::new().on(POST, "/chat/{token}/v1/chat/completions", complete).on(
        GET,
        "/chat/{token}/v1/models",
        models,
    )
}

const CONVERSATION: Header = Header {
    name: "Arizuko-Conversation",
    lengths: 0..=255,
    description: "The conversation to go on in. `metadata.conversation` takes precedence.",
};

/// The parts of a request that have a meaning here. Others, such as `temperature`, are the agent's
/// to decide.
#[derive(Deserialize, JsonSchema)]
struct CompletionRequest {
    /// The last one is the user's, and is sent.
    messages: Vec<Message>,
    stream: Option<bool>,
    metadata: Option<Metadata>,
    /// Must be 1 if present.
    n: Option<u32>,
    /// Must be empty if present.
    tools: Option<Vec<Value>>,
    /// Must be empty if present.
    functions: Option<Vec<Value>>,
    /// Must be of type `text` if present.
    response_format: Option<Typed>,
}

impl Content for CompletionRequest {
    const HEADERS: &'static [&'static Header] = &[&IDEMPOTENCY_KEY, &VISITOR, &CONVERSATION];
}

/// A message of a completion's request. An item of a response's input has the same form.
#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Message {
    #[serde(default = "message")]
    r#type: String,
    #[serde(default)]
    role: String,
    content: Option<Words>,
}

fn message() -> String {
    "message".to_owned()
}

#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(untagged)]
enum Words {
    Text(String),
    Parts(Vec<Typed>),
}

/// An object whose `type` says what it is.
#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Typed {
    pub(super) r#type: String,
    #[serde(default)]
    text: String,
}

#[derive(Default, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Metadata {
    /// The id of the conversation to go on in.
    #[schemars(with = "IdOrEmpty")]
    #[serde(default)]
    pub(super) conversation: String,
    /// The solution of a challenge.
    #[serde(default)]
    pub(super) altcha: String,
}

impl CompletionRequest {
    /// Refuses options that no agent can honour: tools, a format, and more than one reply.
    fn check(&self) -> Result<(), Problem> {
        refuse_tools(self.tools.as_ref())?;
        refuse_tools(self.functions.as_ref())?;
        refuse_format("response_format", self.response_format.as_ref())?;
        match self.n {
            None | Some(1) => Ok(()),
            Some(_) => Err(Problem::invalid("`n` must be 1 or absent: there is one reply.")),
        }
    }

    /// Returns the message to post.
    fn into_message(self, headers: &HeaderMap) -> Result<NewMessage, Problem> {
        self.check()?;
        let metadata = self.metadata.unwrap_or_default();
        let mut conversation = metadata.conversation;
        if conversation.is_empty() {
            conversation = CONVERSATION.read(headers)?;
        }
        let said: Result<_, _> = self.messages.into_iter().map(Message::into_said).collect();
        let content = earlier::newest(said?, &conversation, "messages")?;
        Ok(NewMessage { content, conversation, altcha: metadata.altcha, ..NewMessage::default() })
    }
}

/// Refuses a request that lists tools. An empty list is accepted.
pub(super) fn refuse_tools(tools: Option<&Vec<Value>>) -> Result<(), Problem> {
    match tools {
        Some(tools) if !tools.is_empty() => Err(Problem::invalid(
            "This link does not take tools: the agent has tools of its own, and calls none of the client's.",
        )),
        _ => Ok(()),
    }
}

/// Refuses a format of the reply that is not text.
pub(super) fn refuse_format(name: &str, format: Option<&Typed>) -> Result<(), Problem> {
    match format {
        Some(format) if format.r#type != "text" => {
            let detail =
                format!("`{name}` must have the type `text` or be absent: the reply is text.");
            Err(Problem::invalid(detail))
        }
        _ => Ok(()),
    }
}

impl Message {
    pub(super) fn into_said(self) -> Result<Said, Problem> {
        let Self { r#type, role, content } = self;
        if r#type != "message" {
            let detail = format!("This link takes only messages, not items of type `{type}`.");
            return Err(Problem::invalid(detail));
        }
        let text = content.map(Words::into_text).transpose()?.unwrap_or_default();
        Ok(Said { role, text })
    }
}

impl Words {
    fn into_text(self) -> Result<String, Problem> {
        let parts = match self {
            Self::Text(text) => return Ok(text),
            Self::Parts(parts) => parts,
        };
        let known = ["text", "input_text", "output_text"];
        if let Some(other) = parts.iter().find(|part| !known.contains(&&*part.r#type)) {
            return Err(earlier::only_text(&other.r#type));
        }
        Ok(parts.into_iter().map(|part| part.text).collect())
    }
}

/// POST `/chat/{token}/v1/chat/completions`
async fn complete(asked: Asked<CompletionRequest>) -> Result<Response, Problem> {
    let Asked { caller, headers, body: completion } = asked;
    let is_stream = completion.stream == Some(true);
    let message = completion.into_message(&headers)?;
    let exchange = Exchange::begin(caller, &headers, message).await?;
    let head = Head {
        id: format!("chatcmpl-{}", exchange.turn_id),
        created: jiff::Timestamp::now().as_second(),
        ids: exchange.ids(),
    };
    if is_stream {
        return exchange.stream(Chunks { head, joined: Joined::default() }, None).await;
    }
    let (content, room) = exchange.reply().await?;
    let message = Text { role: Some("assistant"), content: Some(&content), refusal: Some(()) };
    let choice =
        Choice { message: Some(message), finish_reason: Some("stop"), ..Choice::default() };
    let answer = Json(head.document("chat.completion", choice));
    let response = (exchange.headers(), answer).into_response();
    match room {
        Some(room) => room.hold(response).await.map_err(|_| Problem::no_reply_yet()),
        None => Ok(response),
    }
}

/// The fields that all chunks of a completion share.
struct Head {
    id: String,
    created: i64,
    ids: Ids,
}

impl Head {
    fn document<'a>(&'a self, object: &'static str, choice: Choice<'a>) -> Completion<'a> {
        let Self { id, created, ids } = self;
        Completion { id, object, created: *created, model: MODEL, choices: [choice], metadata: ids }
    }
}

/// A completion as a stream of chunks.
struct Chunks {
    head: Head,
    joined: Joined,
}

impl Chunks {
    fn write(&self, delta: Text<'_>, finish_reason: Option<&'static str>, out: &mut String) {
        let choice = Choice { delta: Some(delta), finish_reason, ..Choice::default() };
        sse::write_data(out, &self.head.document("chat.completion.chunk", choice));
    }
}

impl Dialect for Chunks {
    fn begin(&mut self, out: &mut String) {
        let start = Text { role: Some("assistant"), content: Some(""), refusal: None };
        self.write(start, None, out);
    }

    fn text(&mut self, &Piece { id, text, .. }: &Piece<'_>, out: &mut String) {
        let text = self.joined.add(id, text);
        self.write(Text { content: Some(&text), ..Text::default() }, None, out);
    }

    fn status(&mut self, _: &str, _: &mut String) {}

    async fn done(&mut self, _: Option<&pb::ConversationTurn>, out: &mut String) {
        self.write(Text::default(), Some("stop"), out);
        out.push_str("data: [DONE]\n\n");
    }

    fn failed(&mut self, problem: &Problem, out: &mut String) {
        sse::write_data(out, &OpenAiError::new(problem));
    }
}

/// GET `/chat/{token}/v1/models`
async fn models(caller: Caller) -> Result<Response, Problem> {
    caller.gateway.control.resolve(caller.link.access()).await?;
    Ok(Json(MODELS).into_response())
}

/// Answers with OpenAI's form of an error in place of a problem.
pub(super) async fn show_problems(request: Request, next: Next) -> Response {
    let has_key = request.headers().contains_key(IDEMPOTENCY_KEY.name);
    let mut response = problems::told_as(next.run(request).await, |it| json!(OpenAiError::new(it)));
    // Clients retry by themselves. A retry must not send the message twice, nor begin again a turn
    // that its agent has ended.
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

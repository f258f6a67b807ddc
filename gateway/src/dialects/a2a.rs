//! `/chat/{token}/a2a`: A2A 1.0, as JSON-RPC and as HTTP+JSON. A conversation is a context, a turn
//! is a task, and the messages of its reply are artifacts.

mod events;
mod words;

use super::{
    asked::Caller,
    exchange::{self, Exchange},
};
use crate::{
    answers::Room,
    document,
    gateway::Gateway,
    header::{Header, OF_MESSAGES},
    last_event_id::LastEventId,
    link::{Link, TurnId},
    message::NewMessage,
    operation::{Argument, Description, GET, POST, Routes},
    origin,
    problem::Problem,
    schema::IdOrEmpty,
    turn,
    unread::{Content, JSON, Unread, content_type},
};
use arizuko_proto::v1 as pb;
use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    response::{IntoResponse, Response},
};
use events::Events;
use http::{HeaderMap, StatusCode, Uri, request::Parts};
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
pub(super) use words::show_problems;
use words::{Form, state};

pub(super) fn routes() -> Routes<Arc<Gateway>> {
    Routes::new()
        .on(GET, "/chat/{token}/.well-known/agent-card.json", card)
        .on(POST, "/chat/{token}/a2a", rpc)
        .on(POST, "/chat/{token}/a2a/message:send", send)
        .on(POST, "/chat/{token}/a2a/message:stream", stream)
        .on(GET, "/chat/{token}/a2a/tasks/{task}", task)
        .on(POST, "/chat/{token}/a2a/tasks/{task}", on_task)
}

/// The media types of requests, in both bindings.
const TYPES: &[&str] = &[JSON, "application/a2a+json"];

/// What a request asks for.
enum Operation {
    Send(Sent),
    Stream(Sent),
    Get(String),
    Cancel(String),
    Subscribe(String),
}

/// A message of A2A's.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "A2aMessage")]
struct Sent {
    message: Message,
    configuration: Option<Configuration>,
}

impl Content for Sent {
    const TYPES: &'static [&'static str] = TYPES;
    const HEADERS: &'static [&'static Header] = OF_MESSAGES;
}

#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
struct Message {
    /// Serves as the Idempotency-Key if it has 22 to 255 characters and the request has no such
    /// header.
    #[serde(default)]
    message_id: String,
    /// The conversation to go on in.
    #[schemars(with = "IdOrEmpty")]
    #[serde(default)]
    context_id: String,
    /// Must be empty, because a task takes no second message.
    #[serde(default)]
    task_id: String,
    /// `ROLE_USER`
    role: String,
    parts: Vec<Part>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
struct Part {
    /// Parts without it are refused.
    text: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
struct Metadata {
    /// The solution of a challenge.
    #[serde(default)]
    altcha: String,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    #[serde(default)]
    return_immediately: bool,
    /// Refused.
    task_push_notification_config: Option<Value>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

/// A request of JSON-RPC.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "A2aRequest")]
struct Request {
    method: String,
    #[serde(default)]
    params: Value,
}

impl Content for Request {
    const TYPES: &'static [&'static str] = TYPES;
    const HEADERS: &'static [&'static Header] = OF_MESSAGES;
}

impl Operation {
    fn of(Request { method, params }: Request) -> Result<Self, Problem> {
        let id = |params| parse::<Named>(params).map(|Named { id }| id);
        Ok(match &*method {
            "SendMessage" => Self::Send(parse(params)?),
            "SendStreamingMessage" => Self::Stream(parse(params)?),
            "GetTask" => Self::Get(id(params)?),
            "CancelTask" => Self::Cancel(id(params)?),
            "SubscribeToTask" => Self::Subscribe(id(params)?),
            _ => return Err(no_method()),
        })
    }
}

impl Sent {
    /// Returns the message to post, and the id that the client made up for it.
    fn into_message(self) -> Result<(NewMessage, String), Problem> {
        let Message { message_id, context_id, task_id, role, parts, metadata } = self.message;
        if self.configuration.is_some_and(|it| it.task_push_notification_config.is_some()) {
            let detail = "This link sends no push notifications. Subscribe to the task instead.";
            return Err(refused("PUSH_NOTIFICATION_NOT_SUPPORTED", detail));
        }
        if !task_id.is_empty() {
            let detail = "A task takes one message. Send the next one with the `contextId` only.";
            return Err(refused("UNSUPPORTED_OPERATION", detail));
        }
        if role != "ROLE_USER" {
            return Err(Problem::invalid("The message must have the role `ROLE_USER`."));
        }
        let texts: Option<Vec<_>> = parts.into_iter().map(|part| part.text).collect();
        let Some(texts) = texts else {
            return Err(refused("CONTENT_TYPE_NOT_SUPPORTED", "This link takes only text."));
        };
        let altcha = metadata.map(|metadata| metadata.altcha).unwrap_or_default();
        let (content, conversation) = (texts.concat(), context_id);
        Ok((NewMessage { content, conversation, altcha, ..NewMessage::default() }, message_id))
    }
}

fn parse<T: DeserializeOwned>(params: Value) -> Result<T, Problem> {
    serde_json::from_value(params)
        .map_err(|error| Problem::invalid(format!("The request can't be read: {error}.")))
}

/// Returns a problem that A2A has an error for.
fn refused(reason: &'static str, detail: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, reason, detail)
}

fn no_method() -> Problem {
    let detail = "There is no such method here. The agent card names what this link speaks.";
    Problem::new(StatusCode::NOT_FOUND, "METHOD_NOT_FOUND", detail)
}

/// What every operation needs of its request.
struct Call {
    caller: Caller,
    /// The last frame that the client has.
    has: Option<pb::Cursor>,
    headers: HeaderMap,
}

const VERSION: Header = Header {
    name: "A2A-Version",
    lengths: 0..=usize::MAX,
    description: "The version of A2A that the client speaks: `1.0` or any other 1.x.",
};

impl Argument for Call {
    fn describe(operation: &mut Description<'_>) {
        Caller::describe(operation);
        LastEventId::describe(operation);
        VERSION.describe(operation, false);
    }
}

impl FromRequestParts<Arc<Gateway>> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<Gateway>) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let LastEventId(has) = LastEventId::from_request_parts(parts, state).await?;
        let version = parts.headers.get(VERSION.name).map(|version| version.as_bytes());
        if version.is_some_and(|version| !version.is_empty() && !version.starts_with(b"1.")) {
            return Err(refused("VERSION_NOT_SUPPORTED", "This link speaks A2A 1.0."));
        }
        Ok(Self { caller, has, headers: parts.headers.clone() })
    }
}

impl Call {
    async fn read(&self, body: Unread<Sent>) -> Result<Sent, Problem> {
        let Self { caller: Caller { gateway, link, visitor }, headers, .. } = self;
        body.read_json(gateway, link, *visitor, headers).await
    }

    /// Answers in the form of the request.
    async fn run(self, operation: Operation, form: Form) -> Result<Response, Problem> {
        match operation {
            Operation::Send(sent) => self.send(sent, form).await,
            Operation::Stream(sent) => {
                let exchange = self.begin(sent).await?;
                let events = Events::new(form, &exchange, "TASK_STATE_SUBMITTED");
                exchange.stream(events, None).await
            }
            Operation::Get(id) => self.get(id, form).await,
            Operation::Cancel(id) => self.cancel(id, form).await,
            Operation::Subscribe(id) => self.subscribe(id, form).await,
        }
    }

    async fn begin(self, sent: Sent) -> Result<Exchange, Problem> {
        let (message, id) = sent.into_message()?;
        let headers = exchange::with_key(self.headers, &id);
        Exchange::begin(self.caller, &headers, message).await
    }

    async fn send(self, sent: Sent, form: Form) -> Result<Response, Problem> {
        let is_immediate = sent.configuration.as_ref().is_some_and(|it| it.return_immediately);
        let wait = self.caller.gateway.options.limits.reply_timeout;
        let exchange = self.begin(sent).await?;
        let wait = if is_immediate { Duration::ZERO } else { wait };
        let (turn, room) = exchange.turn(wait).await?;
        let task = words::task(&exchange.conversation, &turn);
        answer(&form, json!({ "task": task }), room).await
    }

    async fn get(self, id: String, form: Form) -> Result<Response, Problem> {
        let TurnId(id) = TurnId::parse(id)?;
        let Caller { gateway, link, visitor } = &self.caller;
        let room = gateway.room_for(*visitor).await?;
        let read = turn::read(gateway, link, id).await?;
        let task = words::task(&read.conversation, &read.turn.unwrap_or_default());
        answer(&form, task, Some(room)).await
    }

    async fn cancel(self, id: String, form: Form) -> Result<Response, Problem> {
        let TurnId(id) = TurnId::parse(id)?;
        let access = Some(self.caller.link.access());
        let request = pb::CancelTurnRequest { access, turn_id: id.clone() };
        if self.caller.gateway.control.cancel(request).await?.status() != pb::TurnStatus::Cancelled
        {
            return Err(refused("TASK_NOT_CANCELABLE", "The task has ended by itself."));
        }
        self.get(id, form).await
    }

    async fn subscribe(self, id: String, form: Form) -> Result<Response, Problem> {
        let TurnId(id) = TurnId::parse(id)?;
        let Self { caller, has, .. } = self;
        let (exchange, status) = Exchange::of_turn(caller, id).await?;
        if has.is_none() && !document::is_open(status) {
            return Err(refused("UNSUPPORTED_OPERATION", "The task has ended: get it instead."));
        }
        let events = Events::new(form, &exchange, state(status));
        exchange.stream(events, has).await
    }
}

/// Answers with a result, and holds its room until the answer is sent.
async fn answer(form: &Form, result: Value, room: Option<Room>) -> Result<Response, Problem> {
    let response = form.response(result);
    match room {
        // The request may have posted a message, so the problem must not say that nothing was done.
        Some(room) => room.hold(response).await.map_err(|_| Problem::no_reply_yet()),
        None => Ok(response),
    }
}

/// POST `/chat/{token}/a2a`: JSON-RPC.
async fn rpc(call: Call, body: Unread<Request>) -> Result<Response, Problem> {
    let Call { caller: Caller { gateway, link, visitor }, headers, .. } = &call;
    let (body, share) = body.read(gateway, link, *visitor, headers).await?;
    if !TYPES.contains(&&*content_type(headers)) {
        return Err(Problem::not_json());
    }
    let request: Value = serde_json::from_slice(&body)
        .map_err(|_| refused("PARSE_ERROR", "The body is not JSON."))?;
    drop((body, share));
    let form = Form::of(&request)?;
    let result = match parse(request).and_then(Operation::of) {
        Ok(operation) => call.run(operation, form.clone()).await,
        Err(problem) => Err(problem),
    };
    Ok(result.unwrap_or_else(|problem| form.mark(problem.into_response())))
}

/// POST `/chat/{token}/a2a/message:send`
async fn send(call: Call, body: Unread<Sent>) -> Result<Response, Problem> {
    let sent = call.read(body).await?;
    call.run(Operation::Send(sent), Form::Plain).await
}

/// POST `/chat/{token}/a2a/message:stream`
async fn stream(call: Call, body: Unread<Sent>) -> Result<Response, Problem> {
    let sent = call.read(body).await?;
    call.run(Operation::Stream(sent), Form::Plain).await
}

#[derive(Deserialize, JsonSchema)]
struct TaskPath {
    /// A turn's id, with `:cancel` or `:subscribe` where the operation says so.
    task: String,
}

/// GET `/chat/{token}/a2a/tasks/{id}` and `/chat/{token}/a2a/tasks/{id}:subscribe`
async fn task(call: Call, path: Path<TaskPath>) -> Result<Response, Problem> {
    let Path(TaskPath { task: id }) = path;
    let operation = match id.strip_suffix(":subscribe") {
        Some(id) => Operation::Subscribe(id.to_owned()),
        None => Operation::Get(id),
    };
    call.run(operation, Form::Plain).await
}

/// POST `/chat/{token}/a2a/tasks/{id}:cancel` and `/chat/{token}/a2a/tasks/{id}:subscribe`
async fn on_task(call: Call, path: Path<TaskPath>) -> Result<Response, Problem> {
    let operation = match path.task.rsplit_once(':') {
        Some((id, "cancel")) => Operation::Cancel(id.to_owned()),
        Some((id, "subscribe")) => Operation::Subscribe(id.to_owned()),
        _ => return Err(no_method()),
    };
    call.run(operation, Form::Plain).await
}

/// GET `/chat/{token}/.well-known/agent-card.json`
async fn card(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let resolved = gateway.control.resolve(link.access()).await?;
    // Clients can forge these headers, but then the card is wrong only for them.
    let is_secure = gateway.options.tls.are_named()
        || headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let scheme = if is_secure { "https" } else { "http" };
    let host = origin::host(&uri, &headers).unwrap_or_default();
    let url = format!("{scheme}://{host}{}a2a", link.path());
    let interface =
        |binding: &str| json!({ "url": url, "protocolBinding": binding, "protocolVersion": "1.0" });
    let greeting = Some(resolved.greeting).filter(|greeting| !greeting.is_empty());
    let skill = json!({ "id": "chat", "name": "Chat", "description": "Answers messages.", "tags": ["chat"] });
    Ok(Json(json!({
        "name": resolved.name,
        "description": greeting.unwrap_or_else(|| "Answers messages.".to_owned()),
        "version": env!("CARGO_PKG_VERSION"),
        "supportedInterfaces": [interface("JSONRPC"), interface("HTTP+JSON")],
        "capabilities": { "streaming": true, "pushNotifications": false },
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [skill],
    }))
    .into_response())
}

//! `/chat/{token}/mcp`: MCP by its official SDK, over streamable HTTP without sessions.
//!
//! The tools answer with the documents of our own API.

mod tasks;

use super::problems;
use crate::{
    address::Visitor,
    answers::Room,
    chat::Posted,
    document::{TurnDocument, is_open},
    gateway::Gateway,
    header::IDEMPOTENCY_KEY,
    link::{Link, TurnId},
    message::NewMessage,
    operation::{POST, Routes},
    problem::Problem,
    turn::{self, MAX_WAIT, Snapshot, Standing, WaitQuery},
    unread::{Content, JSON, Unread, content_type},
};
use arizuko_proto::v1::{self as pb, TurnStatus};
use axum::{
    body::Body,
    extract::{self, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, GetTaskParams,
        GetTaskResult, Implementation, JsonObject, ListToolsResult, PaginatedRequestParams,
        ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

const INSTRUCTIONS: &str = "Talk to the agent behind this chat link. `send_message` sends a \
    message and waits for the reply. If there is none yet, `get_turn_status` waits for it and \
    `get_turn` reads it. To go on in a conversation, pass its id.";

pub(super) fn routes() -> Routes<Arc<Gateway>> {
    // GET isn't served: the 405 tells a client that there is no stream of its own to open.
    Routes::new().on(POST, "/chat/{token}/mcp", serve)
}

/// A request or notification of JSON-RPC.
impl Content for JsonObject {}

/// POST `/chat/{token}/mcp`
async fn serve(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    visitor: Visitor,
    headers: HeaderMap,
    body: Unread<JsonObject>,
) -> Result<Response, Problem> {
    let (body, _share) = body.read(&gateway, &link, visitor, &headers).await?;
    // Checks the token here, since not every request makes a call to control that checks it.
    gateway.control.resolve(link.access()).await?;
    // Leaves out the path, which has the secret, and the headers that the SDK doesn't need. The SDK
    // needs a host, but any host will do.
    let mut request =
        Request::post("http://gateway/").body(Full::new(body)).map_err(|_| Problem::busy())?;
    let needed =
        |name: &str| ["accept", "content-type"].contains(&name) || name.starts_with("mcp-");
    let kept = headers.iter().filter(|(name, _)| needed(name.as_str()));
    request.headers_mut().extend(kept.map(|(name, value)| (name.clone(), value.clone())));
    let room = Arc::default();
    let tools = Tools { gateway, link, visitor, room: Arc::clone(&room) };
    // The SDK need not check Host and Origin: `check_host` and `check_origin` have.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .disable_allowed_hosts()
        .with_max_request_body_bytes(usize::MAX);
    let sessions = Arc::new(NeverSessionManager::default());
    let service = StreamableHttpService::new(move || Ok(tools.clone()), sessions, config);
    let answer = in_our_words(service.handle(request).await.map(Body::new), &headers)?;
    let room = room.lock().unwrap_or_else(PoisonError::into_inner).take();
    match room {
        // The request may have posted a message, so the problem must not say that nothing was done.
        Some(room) => room.hold(answer).await.map_err(|_| Problem::no_reply_yet()),
        None => Ok(answer),
    }
}

/// Replaces the SDK's own refusals, which are plain text and not messages of MCP.
fn in_our_words(answer: Response, headers: &HeaderMap) -> Result<Response, Problem> {
    let is_json = |headers: &HeaderMap| content_type(headers) == JSON;
    let status = answer.status();
    if !status.is_client_error() || is_json(answer.headers()) {
        return Ok(answer);
    }
    Err(match status {
        StatusCode::NOT_ACCEPTABLE => Problem::not_acceptable(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE if !is_json(headers) => Problem::not_json(),
        // The SDK could not read the message.
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::invalid("The body is not a message of MCP."),
        _ => Problem::invalid("The header MCP-Protocol-Version names no known revision of MCP."),
    })
}

/// Answers with JSON-RPC's form of an error in place of a problem.
pub(super) async fn show_problems(request: extract::Request, next: Next) -> Response {
    problems::told_as(next.run(request).await, |problem| {
        // The first of the codes that JSON-RPC leaves to servers.
        let error = JsonRpcError { code: -32000, message: problem.detail(), data: problem };
        json!(McpError { jsonrpc: "2.0", id: (), error })
    })
}

/// A problem in the form of JSON-RPC. `error.data` is the `Problem` itself.
#[derive(JsonSchema, Serialize)]
pub(crate) struct McpError<'a> {
    #[schemars(extend("const" = "2.0"))]
    jsonrpc: &'static str,
    id: (),
    error: JsonRpcError<'a>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(inline)]
struct JsonRpcError<'a> {
    code: i32,
    message: &'a str,
    data: &'a Problem,
}

/// The tools of one request.
#[derive(Clone)]
struct Tools {
    gateway: Arc<Gateway>,
    link: Link,
    visitor: Visitor,
    /// Room for the answer, if it may be long.
    room: Arc<Mutex<Option<Room>>>,
}

#[derive(Deserialize)]
struct SendMessage {
    #[serde(flatten)]
    message: NewMessage,
    #[serde(default)]
    idempotency_key: String,
    wait: Option<u64>,
}

#[derive(Deserialize)]
struct GetTurn {
    turn_id: String,
    wait: Option<u64>,
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_tasks().build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("arizuko", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools().into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = call.arguments.unwrap_or_default();
        let result = match &*call.name {
            "send_message" => {
                let client = context.client_capabilities();
                let takes_tasks = client.is_some_and(|client| client.supports_tasks());
                self.send_message(arguments, takes_tasks).await
            }
            "get_turn" => self.get_turn(arguments).await.map(CallToolResponse::from),
            "get_turn_status" => self.get_turn_status(arguments).await.map(CallToolResponse::from),
            _ => return Err(ErrorData::invalid_params("there is no such tool", None)),
        };
        Ok(result.unwrap_or_else(|problem| {
            self.gateway.metrics.refused(problem.reason());
            CallToolResult::structured_error(json!(problem)).into()
        }))
    }

    async fn get_task(
        &self,
        GetTaskParams { task_id, .. }: GetTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let (turn, result) = self.turn(task_id).await.map_err(|problem| tasks::error(&problem))?;
        Ok(tasks::of_turn(&turn, &result))
    }

    async fn cancel_task(
        &self,
        CancelTaskParams { task_id, .. }: CancelTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let cancelled = self.cancel(task_id).await;
        cancelled.map_err(|problem| tasks::error(&problem))
    }
}

impl Tools {
    /// Sends a message. If it has no reply after the wait, a client that supports tasks gets a
    /// task.
    async fn send_message(
        &self,
        arguments: JsonObject,
        takes_tasks: bool,
    ) -> Result<CallToolResponse, Problem> {
        let Self { gateway, link, visitor, .. } = self;
        let SendMessage { message, idempotency_key, wait } = parse(arguments)?;
        let usual = if takes_tasks { 0 } else { u64::MAX };
        let wait = WaitQuery { wait: wait.or(Some(usual)) }.duration();
        // Counts the wait before the message is posted, so that its limit refuses the message and
        // not only its answer.
        let _permit = (!wait.is_zero()).then(|| gateway.streams.open(visitor.0)).transpose()?;
        let mut headers = HeaderMap::new();
        if !idempotency_key.is_empty() {
            let key = HeaderValue::try_from(idempotency_key)
                .map_err(|_| Problem::invalid("`idempotency_key` must be visible ASCII."))?;
            headers.insert(IDEMPOTENCY_KEY.name, key);
        }
        let posted = message.post(gateway, link, *visitor, &headers).await?;
        let answer = Posted::new(&posted);
        let without_reply = || match posted.status() {
            status if takes_tasks && is_open(status) => tasks::begun(&posted).into(),
            status => result(&Posted::new(&posted), status).into(),
        };
        if wait.is_zero() {
            return Ok(without_reply());
        }
        match turn::with_reply(gateway, link, *visitor, posted.turn_id.clone(), wait).await {
            Ok((turn, _)) if takes_tasks && is_open(turn.status()) => Ok(without_reply()),
            Ok((turn, room)) => {
                self.keep(room);
                Ok(result(&answer.with_reply(&turn), turn.status()).into())
            }
            // The message is taken, whether or not its turn can be read.
            Err(problem) if problem.status().is_server_error() => Ok(without_reply()),
            Err(problem) => Err(problem),
        }
    }

    async fn get_turn(&self, arguments: JsonObject) -> Result<CallToolResult, Problem> {
        let GetTurn { turn_id, .. } = parse(arguments)?;
        Ok(self.turn(turn_id).await?.1)
    }

    /// Reads a turn. Returns it also as the result of a tool.
    async fn turn(&self, id: String) -> Result<(pb::ConversationTurn, CallToolResult), Problem> {
        let TurnId(id) = TurnId::parse(id)?;
        self.keep(Some(self.gateway.room_for(self.visitor).await?));
        let mut read = turn::read(&self.gateway, &self.link, id).await?;
        let turn = read.turn.take().unwrap_or_default();
        let snapshot = Snapshot::new(&read, TurnDocument::new(&turn, None));
        let result = result(&snapshot, turn.status());
        Ok((turn, result))
    }

    async fn cancel(&self, id: String) -> Result<(), Problem> {
        let TurnId(turn_id) = TurnId::parse(id)?;
        let request = pb::CancelTurnRequest { access: Some(self.link.access()), turn_id };
        self.gateway.control.cancel(request).await?;
        Ok(())
    }

    async fn get_turn_status(&self, arguments: JsonObject) -> Result<CallToolResult, Problem> {
        let GetTurn { turn_id, wait } = parse(arguments)?;
        let wait = WaitQuery { wait }.duration();
        let streams = &self.gateway.streams;
        let _permit = (!wait.is_zero()).then(|| streams.open(self.visitor.0)).transpose()?;
        let TurnId(turn_id) = TurnId::parse(turn_id)?;
        let mut read = turn::within(&self.gateway, &self.link, turn_id, wait).await?;
        let turn = read.turn.take().unwrap_or_default();
        Ok(result(&Standing::new(&read, &turn), turn.status()))
    }

    /// Keeps room for the answer.
    fn keep(&self, room: Option<Room>) {
        *self.room.lock().unwrap_or_else(PoisonError::into_inner) = room;
    }
}

fn parse<T: DeserializeOwned>(arguments: JsonObject) -> Result<T, Problem> {
    serde_json::from_value(Value::Object(arguments))
        .map_err(|error| Problem::invalid(format!("The arguments can't be read: {error}.")))
}

/// Returns a document as the result of a tool. A turn that did not end well is an error.
fn result(document: &impl Serialize, status: TurnStatus) -> CallToolResult {
    let document = json!(document);
    if Problem::of_turn(status, "").is_some() {
        CallToolResult::structured_error(document)
    } else {
        CallToolResult::structured(document)
    }
}

fn tools() -> Vec<Tool> {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let wait = |default: u64| {
        let description = "How many seconds to wait for the end of the reply.";
        json!({ "type": "integer", "minimum": 0, "maximum": MAX_WAIT.as_secs(), "default": default, "description": description })
    };
    let turn_id = text("The turn's id, as `send_message` returned it.");
    let reads = || ToolAnnotations::new().read_only(true);
    vec![
        tool(
            "send_message",
            "Sends a message to the agent. Returns the ids of the turn and of its conversation, \
             and the reply in `assistant` if it came in time.",
            json!({
                "content": text("The message."),
                "conversation": text("The conversation to go on in. Without it, a new one begins."),
                "wait": wait(50),
                "idempotency_key": text("At least 22 characters: a repeat with the same key returns the first turn."),
                "altcha": text("The solution of a challenge, if the link has asked for one."),
            }),
            "content",
        ),
        tool(
            "get_turn",
            "Reads a turn: its message, and the reply so far in `assistant`.",
            json!({ "turn_id": turn_id }),
            "turn_id",
        )
        .with_annotations(reads()),
        tool(
            "get_turn_status",
            "Returns the status of a turn, such as queued, running, done or failed, without the \
             reply.",
            json!({ "turn_id": turn_id, "wait": wait(0) }),
            "turn_id",
        )
        .with_annotations(reads()),
    ]
}

fn tool(name: &'static str, description: &'static str, properties: Value, required: &str) -> Tool {
    let schema = JsonObject::from_iter([
        ("type".to_owned(), "object".into()),
        ("properties".to_owned(), properties),
        ("required".to_owned(), json!([required])),
    ]);
    Tool::new(name, description, schema)
}

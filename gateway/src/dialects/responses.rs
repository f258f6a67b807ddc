//! `/chat/{token}/v1/responses`: OpenAI's responses. A response is a turn.

mod answer;

use super::{
    asked::{Asked, Caller},
    earlier::{self, Said},
    exchange::{self, Exchange, Ids},
    growth::Piece,
    openai::{self, Message, Metadata, OpenAiError, Typed},
    reply::{Dialect, Joined},
};
use crate::{
    answers::Room,
    document,
    gateway::Gateway,
    header::{Header, OF_MESSAGES},
    link::TurnId,
    message::NewMessage,
    operation::{GET, POST, Routes},
    problem::Problem,
    schema::IdOrEmpty,
    sse, turn,
    unread::Content,
};
pub(crate) use answer::ResponseDocument;
use answer::{Head, PREFIX, Part};
use arizuko_proto::v1::{self as pb, TurnStatus};
use axum::{
    Json,
    extract::Path,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

pub(super) fn routes() -> Routes<Arc<Gateway>> {
    Routes::new()
        .on(POST, "/chat/{token}/v1/responses", create)
        .on(GET, "/chat/{token}/v1/responses/{response}", retrieve)
        .on(POST, "/chat/{token}/v1/responses/{response}/cancel", cancel)
}

/// The parts of a request that have a meaning here. Others, such as `reasoning`, are the agent's to
/// decide.
#[derive(Deserialize, JsonSchema)]
struct ResponseRequest {
    /// A text to send, or messages. The last message is the user's, and is sent.
    input: Input,
    instructions: Option<String>,
    stream: Option<bool>,
    background: Option<bool>,
    /// The response whose conversation to go on in.
    previous_response_id: Option<String>,
    /// Names the conversation to go on in, instead of `previous_response_id`.
    conversation: Option<Conversation>,
    metadata: Option<Metadata>,
    /// Must be empty if present.
    tools: Option<Vec<Value>>,
    text: Option<Text>,
}

impl Content for ResponseRequest {
    const HEADERS: &'static [&'static Header] = OF_MESSAGES;
}

#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(untagged)]
enum Input {
    Text(String),
    Items(Vec<Message>),
}

#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(untagged)]
enum Conversation {
    Id(#[schemars(with = "IdOrEmpty")] String),
    Object {
        #[schemars(with = "IdOrEmpty")]
        id: String,
    },
}

#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
struct Text {
    /// Must be of type `text` if present.
    format: Option<Typed>,
}

impl ResponseRequest {
    /// Returns the message to post.
    async fn into_message(self, caller: &Caller) -> Result<NewMessage, Problem> {
        openai::refuse_tools(self.tools.as_ref())?;
        openai::refuse_format("text.format", self.text.and_then(|text| text.format).as_ref())?;
        let Metadata { conversation, altcha } = self.metadata.unwrap_or_default();
        let conversation = match (self.conversation, self.previous_response_id) {
            (Some(_), Some(_)) => {
                let detail = "Give `previous_response_id` or `conversation`, not both.";
                return Err(Problem::invalid(detail));
            }
            (Some(Conversation::Id(id) | Conversation::Object { id }), None) => id,
            (None, Some(id)) => {
                let Caller { gateway, link, .. } = caller;
                turn::within(gateway, link, turn_id(&id)?, Duration::ZERO).await?.conversation
            }
            (None, None) => conversation,
        };
        let instructions = self.instructions.map(|text| Said { role: "system".to_owned(), text });
        let mut said: Vec<_> = instructions.into_iter().collect();
        match self.input {
            Input::Text(text) => said.push(Said { role: "user".to_owned(), text }),
            Input::Items(items) => {
                for item in items {
                    said.push(item.into_said()?);
                }
            }
        }
        let content = earlier::newest(said, &conversation, "input")?;
        Ok(NewMessage { content, conversation, altcha, ..NewMessage::default() })
    }
}

#[derive(Deserialize, JsonSchema)]
struct ResponsePath {
    /// `resp_` and a turn's id.
    response: String,
}

/// Returns the id of a response's turn.
fn turn_id(response: &str) -> Result<String, Problem> {
    let id = response.strip_prefix(PREFIX).unwrap_or_default();
    let parsed = TurnId::parse(id.to_owned());
    let TurnId(id) =
        parsed.map_err(|_| Problem::invalid("A response's id is `resp_` and a turn's id."))?;
    Ok(id)
}

/// POST `/chat/{token}/v1/responses`
async fn create(asked: Asked<ResponseRequest>) -> Result<Response, Problem> {
    let Asked { caller, headers, body } = asked;
    let (is_stream, is_background) = (body.stream == Some(true), body.background == Some(true));
    let message = body.into_message(&caller).await?;
    let reader = caller.clone();
    let exchange = Exchange::begin(caller, &headers, message).await?;
    let head = Head { ids: exchange.ids() };
    if is_stream {
        let joined = Joined::default();
        return exchange.stream(Events { reader, head, joined, number: 0, room: None }, None).await;
    }
    let wait = match is_background {
        true => Duration::ZERO,
        false => reader.gateway.options.limits.reply_timeout,
    };
    let (turn, room) = exchange.turn(wait).await?;
    if !is_background {
        if document::is_open(turn.status()) {
            return Err(Problem::no_reply_yet());
        }
        Problem::of_turn(turn.status(), &turn.error).map_or(Ok(()), Err)?;
    }
    let response = (exchange.headers(), Json(head.document(&turn))).into_response();
    match room {
        Some(room) => room.hold(response).await.map_err(|_| Problem::no_reply_yet()),
        None => Ok(response),
    }
}

/// GET `/chat/{token}/v1/responses/{response}`
async fn retrieve(caller: Caller, path: Path<ResponsePath>) -> Result<Response, Problem> {
    let turn_id = turn_id(&path.response)?;
    let Caller { gateway, link, visitor } = caller;
    let room = gateway.room_for(visitor).await?;
    let read = turn::read(&gateway, &link, turn_id.clone()).await?;
    let head = Head { ids: Ids { conversation: read.conversation, turn_id } };
    room.hold(Json(head.document(&read.turn.unwrap_or_default())).into_response()).await
}

/// POST `/chat/{token}/v1/responses/{response}/cancel`
async fn cancel(caller: Caller, path: Path<ResponsePath>) -> Result<Response, Problem> {
    let turn_id = turn_id(&path.response)?;
    let request = pb::CancelTurnRequest { access: Some(caller.link.access()), turn_id };
    caller.gateway.control.cancel(request).await?;
    retrieve(caller, path).await
}

/// A response as a stream of events.
struct Events {
    /// Reads the whole response, which the last events repeat.
    reader: Caller,
    head: Head,
    joined: Joined,
    /// How many events are written.
    number: u64,
    /// Room for the last events, until they are sent.
    room: Option<Room>,
}

impl Events {
    /// Writes an event.
    fn write(&mut self, kind: &str, mut data: Value, out: &mut String) {
        data["type"] = kind.into();
        data["sequence_number"] = self.number.into();
        self.number += 1;
        sse::write_event(out, kind, &data);
    }

    /// Writes an event of the one part of the one message.
    fn write_part(&mut self, kind: &str, mut data: Value, out: &mut String) {
        data["item_id"] = self.head.item_id().into();
        (data["output_index"], data["content_index"]) = (0.into(), 0.into());
        self.write(kind, data, out);
    }

    fn write_end(&mut self, turn: &pb::ConversationTurn, out: &mut String) {
        let text = exchange::text(turn);
        let part = Part::new(text.clone());
        let item = json!(self.head.item("completed", vec![part.clone()]));
        let text = json!({ "text": text, "logprobs": [] });
        self.write_part("response.output_text.done", text, out);
        self.write_part("response.content_part.done", json!({ "part": part }), out);
        let item = json!({ "output_index": 0, "item": item });
        self.write("response.output_item.done", item, out);
        let response = json!({ "response": self.head.document(turn) });
        self.write("response.completed", response, out);
    }

    /// Reads the turn, and writes the end of its response.
    async fn read_end(&mut self) -> Result<String, Problem> {
        let (turn, room) = self.reader.turn(&self.head.ids.turn_id, Duration::ZERO).await?;
        let mut end = String::new();
        self.write_end(&turn, &mut end);
        if let Some(mut room) = room {
            room.fit(end.len()).await.map_err(|_| Problem::no_reply_yet())?;
            self.room = Some(room);
        }
        Ok(end)
    }
}

impl Dialect for Events {
    fn begin(&mut self, out: &mut String) {
        let running = pb::ConversationTurn {
            status: TurnStatus::Running.into(),
            ..pb::ConversationTurn::default()
        };
        let response = json!({ "response": self.head.document(&running) });
        self.write("response.created", response, out);
        let item = self.head.item("in_progress", Vec::new());
        let item = json!({ "output_index": 0, "item": item });
        self.write("response.output_item.added", item, out);
        self.write_part(
            "response.content_part.added",
            json!({ "part": Part::new(String::new()) }),
            out,
        );
    }

    fn text(&mut self, &Piece { id, text, .. }: &Piece<'_>, out: &mut String) {
        let text = self.joined.add(id, text);
        let delta = json!({ "delta": text, "logprobs": [] });
        self.write_part("response.output_text.delta", delta, out);
    }

    fn status(&mut self, _: &str, _: &mut String) {}

    async fn done(&mut self, turn: Option<&pb::ConversationTurn>, out: &mut String) {
        match turn {
            Some(turn) => self.write_end(turn, out),
            None => match self.read_end().await {
                Ok(end) => out.push_str(&end),
                Err(problem) => self.failed(&problem, out),
            },
        }
    }

    fn failed(&mut self, problem: &Problem, out: &mut String) {
        // OpenAI's libraries raise the object in `error`; OpenAI's API reference has the fields at
        // the top level.
        let mut error = json!(OpenAiError::new(problem));
        for field in ["code", "message", "param"] {
            error[field] = error["error"][field].clone();
        }
        self.write("error", error, out);
    }
}

//! Responses as OpenAI's clients get them.

use crate::{
    dialects::{
        exchange::{self, Ids},
        openai::MODEL,
    },
    problem::Problem,
    schema::Id,
};
use arizuko_proto::v1::{self as pb, TurnStatus};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// The start of a response's id, before the id of its turn.
pub(super) const PREFIX: &str = "resp_";

/// Text is in `output[0].content[0].text`.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Response")]
pub(crate) struct ResponseDocument<'a> {
    id: String,
    #[schemars(extend("const" = "response"))]
    object: &'static str,
    /// In seconds since 1970.
    created_at: i64,
    status: Status,
    error: Option<Failure>,
    incomplete_details: (),
    instructions: (),
    model: &'static str,
    output: Vec<Item>,
    parallel_tool_calls: bool,
    temperature: (),
    #[schemars(extend("const" = "none"))]
    tool_choice: &'static str,
    tools: [Value; 0],
    top_p: (),
    conversation: Conversation<'a>,
    metadata: &'a Ids,
    text: Text,
}

#[derive(Clone, Copy, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "snake_case")]
enum Status {
    Queued,
    InProgress,
    Completed,
    Failed,
    Cancelled,
}

/// Why the reply is not complete.
#[derive(JsonSchema, Serialize)]
#[schemars(inline)]
struct Failure {
    code: &'static str,
    message: String,
}

#[derive(JsonSchema, Serialize)]
#[schemars(inline)]
struct Conversation<'a> {
    #[schemars(with = "Id")]
    id: &'a str,
}

#[derive(JsonSchema, Serialize)]
#[schemars(inline)]
struct Text {
    format: Format,
}

#[derive(JsonSchema, Serialize)]
#[schemars(inline)]
struct Format {
    #[schemars(extend("const" = "text"))]
    r#type: &'static str,
}

/// All messages of the reply, as one.
#[derive(JsonSchema, Serialize)]
#[schemars(inline)]
pub(super) struct Item {
    #[schemars(extend("const" = "message"))]
    r#type: &'static str,
    id: String,
    #[schemars(extend("enum" = ["in_progress", "completed", "incomplete"]))]
    status: &'static str,
    #[schemars(extend("const" = "assistant"))]
    role: &'static str,
    content: Vec<Part>,
}

#[derive(Clone, JsonSchema, Serialize)]
#[schemars(inline)]
pub(super) struct Part {
    #[schemars(extend("const" = "output_text"))]
    r#type: &'static str,
    text: String,
    annotations: [Value; 0],
    logprobs: [Value; 0],
}

impl Part {
    pub(super) fn new(text: String) -> Self {
        Self { r#type: "output_text", text, annotations: [], logprobs: [] }
    }
}

/// What a response has from its start.
pub(super) struct Head {
    pub(super) ids: Ids,
}

impl Head {
    /// The id of the one message that a response has.
    pub(super) fn item_id(&self) -> String {
        format!("msg_{}", self.ids.turn_id)
    }

    pub(super) fn item(&self, status: &'static str, content: Vec<Part>) -> Item {
        Item { r#type: "message", id: self.item_id(), status, role: "assistant", content }
    }

    /// Returns a turn as a response.
    pub(super) fn document(&self, turn: &pb::ConversationTurn) -> ResponseDocument<'_> {
        let (status, item_status) = match turn.status() {
            TurnStatus::Unspecified | TurnStatus::Queued => (Status::Queued, "in_progress"),
            TurnStatus::Running => (Status::InProgress, "in_progress"),
            TurnStatus::Cancelled => (Status::Cancelled, "incomplete"),
            TurnStatus::Failed | TurnStatus::Expired => (Status::Failed, "incomplete"),
            TurnStatus::Done | TurnStatus::Observed | TurnStatus::Dropped => {
                (Status::Completed, "completed")
            }
        };
        let text = exchange::text(turn);
        let output = match text.is_empty() && status != Status::Completed {
            true => None,
            false => Some(self.item(item_status, vec![Part::new(text)])),
        };
        let failed =
            (status == Status::Failed).then(|| Problem::of_turn(turn.status(), &turn.error));
        let error = failed.flatten().map(|problem| Failure {
            code: problem.reason(),
            message: problem.detail().to_owned(),
        });
        let created_at = turn.user.as_ref().and_then(|user| user.created_at);
        let created_at =
            created_at.map_or_else(|| jiff::Timestamp::now().as_second(), |it| it.seconds);
        ResponseDocument {
            id: format!("{PREFIX}{}", self.ids.turn_id),
            object: "response",
            created_at,
            status,
            error,
            incomplete_details: (),
            instructions: (),
            model: MODEL,
            output: Vec::from_iter(output),
            parallel_tool_calls: false,
            temperature: (),
            tool_choice: "none",
            tools: [],
            top_p: (),
            conversation: Conversation { id: &self.ids.conversation },
            metadata: &self.ids,
            text: Text { format: Format { r#type: "text" } },
        }
    }
}

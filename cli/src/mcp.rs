//! `arizuko mcp`: an MCP server on standard input and output, by which an agent's model issues,
//! lists and ends links with the agent's key.

use crate::{
    connect,
    console::Console,
    control::{Control, ControlError},
};
use anyhow::Context as _;
use arizuko_proto::{
    json,
    v1::{
        ExplainRouteRequest, IssueChatLinkRequest, IssueWebhookRequest, ListTokensRequest,
        RevokeTokenRequest,
    },
};
use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceExt as _,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
    },
    service::{RequestContext, ServerInitializeError},
    transport::stdio,
};
use serde_json::{Value, json};

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  arizuko mcp --key-file agent.key                 # for a client that starts servers
  arizuko key create acme > agent.key              # the key of an agent for the folder acme
  claude mcp add arizuko -- arizuko mcp --key-file /etc/agent.key
")]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
}

/// The tools, and the RPC that each one calls.
const TOOLS: [(&str, &str); 5] = [
    ("issue_chat_link", "IssueChatLink"),
    ("issue_webhook", "IssueWebhook"),
    ("list_tokens", "ListTokens"),
    ("revoke_token", "RevokeToken"),
    ("explain_route", "ExplainRoute"),
];

const INSTRUCTIONS: &str = "Issue, list and revoke chat links and webhooks for your folder. A chat \
    link is a URL at which people talk to you; a webhook is a URL at which programs send you \
    messages. Arguments and results are the messages of arizuko's contract.";

/// Serves until standard input ends.
pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    // If standard output is closed, no answer would reach the client: fail now.
    console.raw("")?;
    let tools = Tools { control: args.connection.find_for_model()?, tools: tools()? };
    match tools.serve(stdio()).await {
        Ok(serving) => drop(serving.waiting().await?),
        // The client went away before it said anything.
        Err(ServerInitializeError::ConnectionClosed(_)) => {}
        Err(error) => return Err(error).context("there is no MCP client on standard input"),
    }
    Ok(())
}

fn tools() -> anyhow::Result<Vec<Tool>> {
    let tool = |(name, rpc): (&'static str, &str)| {
        let (description, schema) = json::rpc(rpc).context("the contract has no such RPC")?;
        let schema = schema.as_object().cloned().unwrap_or_default();
        let reads = ["list_tokens", "explain_route"].contains(&name);
        let hints = ToolAnnotations::new().read_only(reads).destructive(name == "revoke_token");
        Ok(Tool::new(name, description, schema).with_annotations(hints))
    };
    TOOLS.into_iter().map(tool).collect()
}

struct Tools {
    control: Control,
    tools: Vec<Tool>,
}

/// Why a call failed.
struct Refused {
    reason: &'static str,
    detail: String,
}

impl From<ControlError> for Refused {
    fn from(error: ControlError) -> Self {
        let reason = error.reason.map_or("UNREACHABLE", |reason| reason.word());
        Self { reason, detail: error.to_string() }
    }
}

impl From<String> for Refused {
    fn from(detail: String) -> Self {
        Self { reason: "INVALID", detail: format!("the arguments can't be read: {detail}") }
    }
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("arizuko", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools.clone()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if self.get_tool(&call.name).is_none() {
            return Err(ErrorData::invalid_params("there is no such tool", None));
        }
        let arguments = Value::Object(call.arguments.unwrap_or_default());
        let result = match self.call(&call.name, &arguments).await {
            Ok(response) => CallToolResult::structured(response),
            Err(Refused { reason, detail }) => {
                CallToolResult::structured_error(json!({ "reason": reason, "detail": detail }))
            }
        };
        Ok(result.into())
    }
}

impl Tools {
    /// Calls the RPC of a tool. Returns its response.
    async fn call(&self, name: &str, arguments: &Value) -> Result<Value, Refused> {
        let control = &self.control;
        Ok(match name {
            "issue_chat_link" => {
                let request: IssueChatLinkRequest = json::parse(arguments)?;
                json::of(&control.answer(control.tokens().await?.issue_chat_link(request).await)?)
            }
            "issue_webhook" => {
                let request: IssueWebhookRequest = json::parse(arguments)?;
                json::of(&control.answer(control.tokens().await?.issue_webhook(request).await)?)
            }
            "list_tokens" => {
                let request: ListTokensRequest = json::parse(arguments)?;
                json::of(&control.answer(control.tokens().await?.list_tokens(request).await)?)
            }
            "revoke_token" => {
                let request: RevokeTokenRequest = json::parse(arguments)?;
                json::of(&control.answer(control.tokens().await?.revoke_token(request).await)?)
            }
            _ => {
                let request: ExplainRouteRequest = json::parse(arguments)?;
                json::of(&control.answer(control.routes().await?.explain_route(request).await)?)
            }
        })
    }
}

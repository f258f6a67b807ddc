//! Clients of other protocols: programs that use the official libraries and print what they read.

use crate::{
    Stack,
    process::{Process, command},
    tools::{found, interpreter},
};
use serde_json::Value;
use std::path::Path;

/// A program that uses a library as its documentation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// OpenAI's for Python, used for chat completions.
    OpenAiPython,
    /// OpenAI's for Node.js, used for chat completions.
    OpenAiNode,
    /// OpenAI's for Python, used for the Responses API.
    ResponsesPython,
    /// OpenAI's for Node.js, used for the Responses API.
    ResponsesNode,
    /// Vercel's AI SDK.
    Ai,
    /// MCP's for Python.
    McpPython,
    /// MCP's for Node.js.
    McpNode,
    /// A2A's for Python.
    A2aPython,
    /// A2A's for Node.js.
    A2aNode,
    /// AG-UI's.
    AgUi,
}

/// A running client. It prints a line of JSON for each thing that it reads.
pub struct Client(Process);

impl Library {
    /// Starts a client that sends these requests, one after the other.
    pub fn start(self, stack: &Stack, orders: &[Value]) -> Client {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (interpreter, script) = match self {
            Self::OpenAiPython | Self::ResponsesPython => (interpreter(), "python/complete.py"),
            Self::OpenAiNode | Self::ResponsesNode => (found("node"), "clients/openai.js"),
            Self::Ai => (found("node"), "clients/ai.js"),
            Self::McpPython => (interpreter(), "python/tools.py"),
            Self::McpNode => (found("node"), "clients/mcp.js"),
            Self::A2aPython => (interpreter(), "python/tasks.py"),
            Self::A2aNode => (found("node"), "clients/a2a.js"),
            Self::AgUi => (found("node"), "clients/ag-ui.js"),
        };
        let packages = tests.join("clients/node_modules");
        assert!(packages.exists(), "the clients are not installed: tests/run does it");
        let mut client = command(interpreter);
        client.arg(tests.join(script)).args(orders.iter().map(Value::to_string));
        Client(Process::start("client", client, &stack.logs()))
    }
}

impl Client {
    /// Waits for the next line.
    pub async fn told(&mut self) -> Value {
        let line = self.0.line().await;
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Reads up to the end or the error of a request. Returns all text, and the last line.
    pub async fn rest(&mut self) -> (String, Value) {
        let mut text = String::new();
        loop {
            let told = self.told().await;
            match told["text"].as_str() {
                Some(piece) => text += piece,
                None if told["error"].is_null() && told["done"].is_null() => {}
                None => return (text, told),
            }
        }
    }
}

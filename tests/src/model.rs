//! aimock: a third-party server of OpenAI's chat completions that answers from fixtures.

use crate::{Stack, process::Process, process::command, tools::found, within};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// A running aimock.
pub struct Model {
    url: String,
    key: String,
    web: reqwest::Client,
    _process: Process,
}

impl Stack {
    /// Starts an aimock that requires this key and answers with the first fixture that matches.
    pub async fn model(&self, key: &str, fixtures: Value) -> Model {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("model/node_modules/@copilotkit");
        let program = package.join("aimock/dist/cli.js");
        assert!(program.exists(), "aimock is not installed: tests/run does it");
        let file = self.folder().join("fixtures.json");
        let written = fs::write(&file, json!({ "fixtures": fixtures }).to_string());
        written.expect("the stack's folder is ours");
        let mut node = command(found("node"));
        node.arg(program).args(["--port", "0", "--fixtures"]);
        node.arg(file).env("AIMOCK_API_KEYS", key);
        let mut process = Process::start("model", node, &self.logs());
        let line = process.line_with("listening on ").await;
        let (_, url) = line.split_once("listening on ").expect("it is in there");
        Model {
            url: url.trim().to_owned(),
            key: key.to_owned(),
            web: self.web.clone(),
            _process: process,
        }
    }
}

impl Model {
    /// Returns the base URL for OpenAI clients.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.url)
    }

    /// Returns the bodies of all requests so far, oldest first.
    pub async fn requests(&self) -> Vec<Value> {
        let url = format!("{}/__aimock/journal", self.url);
        let asked = self.web.get(url).bearer_auth(&self.key).send();
        let answer = within("the model's journal", asked).await;
        let journal = answer.expect("it answers").json::<Vec<Value>>().await;
        let entries = journal.expect("it is a list").into_iter();
        entries.map(|mut entry| entry["body"].take()).collect()
    }
}

//! Runs commands, `arizuko` above all, to their end.

use crate::{
    Instance::{A, B},
    Stack,
    process::Process,
    until, within,
};
use arizuko_proto::v1::{GetStatusRequest, admin_service_client::AdminServiceClient};
use serde_json::Value;
use std::{process::Stdio, time::Duration};
use tokio::{io::AsyncWriteExt as _, process::Command, time::sleep};

/// The outcome of a command.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Stack {
    /// Runs `arizuko` as an operator.
    pub async fn arizuko(&self, arguments: &[&str]) -> Outcome {
        run(self.operators_command().args(arguments), "").await
    }

    /// Returns a command that runs `arizuko` with the operator's key and the addresses of both
    /// controls in its environment.
    pub fn operators_command(&self) -> Command {
        let mut command = self.program("arizuko");
        command.env("ARIZUKO_CONTROL", format!("{},{}", self.control(A), self.control(B)));
        command.env("ARIZUKO_KEY", self.operator_key()).env_remove("RUST_LOG");
        command
    }

    /// Starts `arizuko tail --json` with these arguments and waits until it is connected. To see
    /// that, issues links of `folder` until `tail` prints that a link was issued.
    pub async fn tail(&self, folder: &str, arguments: &[&str]) -> Process {
        let mut tail = self.operators_command();
        tail.args(["tail", "--json"]).args(arguments);
        let mut tail = Process::start("tail", tail, &self.logs());
        let issuing = async {
            loop {
                self.issue(folder).await;
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            _ = tail.line_with("token.issue") => {}
            () = issuing => {}
        }
        tail
    }

    /// Waits until an agent of `folder` is attached.
    pub async fn attended(&self, folder: &str) {
        let mut admin = AdminServiceClient::new(self.operator(A).await);
        until(format!("an agent of {folder} to attach"), async || {
            let status = admin.get_status(GetStatusRequest {}).await;
            let sessions = status.map(|status| status.into_inner().sessions).unwrap_or_default();
            sessions.iter().any(|session| session.folder == folder)
        })
        .await;
    }
}

/// Runs a command to its end, with `input` on its standard input.
pub async fn run(command: &mut Command, input: &str) -> Outcome {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("it was asked for");
    let ended = within(format!("the end of {command:?}"), async {
        // An error means that the command does not read its input.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await
    });
    let output = ended.await.expect("it is our child");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints text");
    Outcome { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

impl Outcome {
    /// Asserts the exit code.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// Parses the one JSON document that the command printed.
    pub fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "one document on one line: {self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

//! `arizuko agent exec` with a program that the test drives step by step.

use crate::{
    Instance::{A, B},
    Stack,
    process::Process,
    within,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::path::Path;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{
        TcpListener,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::Command,
};

/// An attached `arizuko agent exec`.
pub struct Agent {
    /// Its process.
    pub process: Process,
    listener: TcpListener,
}

/// One run of the program, for one turn.
pub struct Program {
    /// Its environment.
    pub environment: Value,
    /// Its standard input.
    pub input: Vec<u8>,
    /// Its process id.
    pub pid: i32,
    lines: Lines<BufReader<OwnedReadHalf>>,
    steps: OwnedWriteHalf,
}

impl Stack {
    /// Attaches an agent that runs `stepped.py` to `folder`, with a key of this folder.
    pub async fn agent(&self, folder: &str, flags: &[&str]) -> Agent {
        let key = self.agent_key(folder).await;
        Agent::start(self, &key, folder, flags, &[]).await
    }
}

impl Agent {
    /// Attaches an agent that runs `stepped.py`, with this key. The program gets `arguments`.
    pub async fn start(
        stack: &Stack,
        key: &str,
        folder: &str,
        flags: &[&str],
        arguments: &[&str],
    ) -> Self {
        let mut exec = stack.program("arizuko");
        exec.args(["agent", "exec", "--folder", folder]);
        // The agent attaches to the first control of its list: to B, while most calls of the
        // harness go to A.
        for control in [B, A] {
            exec.arg("--control").arg(stack.control(control));
        }
        exec.env("ARIZUKO_KEY", key).args(flags);
        exec.args(["--", "python3", "-IS"]).arg(script("stepped.py"));
        Self::attach(stack, folder, |address| {
            exec.arg(address).args(arguments);
            exec
        })
        .await
    }

    /// Starts the command that `program` returns, and waits until an agent of `folder` is attached.
    /// `program` gets an address. For each turn, the agent or its program must connect to it and
    /// ask what to do.
    pub(crate) async fn attach(
        stack: &Stack,
        folder: &str,
        program: impl FnOnce(&str) -> Command,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound").to_string();
        let process = Process::start("agent", program(&address), &stack.logs());
        let agent = Self { process, listener };
        stack.attended(folder).await;
        agent
    }

    /// Waits for the program's next run.
    pub async fn turn(&mut self) -> Program {
        let (stream, _) = within("the agent's program to start", self.listener.accept())
            .await
            .expect("it connects");
        let (reader, steps) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        let line = within("the agent's program to read its input", lines.next_line()).await;
        let line = line.ok().flatten().expect("it says what it was started with");
        let started: Value = serde_json::from_str(&line).expect("it says so in JSON");
        let input = BASE64_STANDARD.decode(started["input"].as_str().unwrap_or_default());
        Program {
            environment: started["environment"].clone(),
            input: input.expect("the script encodes it"),
            pid: started["pid"]
                .as_i64()
                .and_then(|pid| i32::try_from(pid).ok())
                .expect("a process id"),
            lines,
            steps,
        }
    }
}

impl Program {
    /// Makes the program print text.
    pub async fn print(&mut self, text: &str) {
        self.write("out", text.as_bytes()).await;
    }

    /// Makes the program print its whole reply and exit.
    pub async fn reply(mut self, text: &str) {
        self.print(text).await;
        self.exit(0).await;
    }

    /// Makes the program write bytes to its standard output.
    pub async fn print_bytes(&mut self, bytes: &[u8]) {
        self.write("out", bytes).await;
    }

    /// Makes the program write a line to its standard error.
    pub async fn complain(&mut self, line: &str) {
        self.write("err", format!("{line}\n").as_bytes()).await;
    }

    /// Makes the program ignore SIGTERM.
    pub async fn ignore_term(&mut self) {
        self.step(json!({"ignore": true})).await;
    }

    /// Makes the program exit with this code.
    pub async fn exit(mut self, code: i32) {
        let line = format!("{}\n", json!({"exit": code}));
        self.steps.write_all(line.as_bytes()).await.expect("the program listens");
        self.killed().await;
    }

    /// Waits until the program has ended.
    pub async fn killed(&mut self) {
        within("the end of the agent's program", async {
            while let Ok(Some(_)) = self.lines.next_line().await {}
        })
        .await;
    }

    async fn write(&mut self, stream: &str, bytes: &[u8]) {
        self.step(json!({stream: BASE64_STANDARD.encode(bytes)})).await;
    }

    /// Makes the program do a step, and waits until the step is done.
    pub async fn step(&mut self, step: Value) {
        assert!(self.try_step(step).await, "the agent's program has ended");
    }

    /// Makes the program do a step that may be its last. Returns whether the program still runs.
    pub async fn try_step(&mut self, step: Value) -> bool {
        self.steps.write_all(format!("{step}\n").as_bytes()).await.expect("the program listens");
        let done = within("the agent's program to do a step", self.lines.next_line()).await;
        matches!(done, Ok(Some(_)))
    }
}

/// Returns the path of a script in `tests/agents`.
pub fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("agents").join(name)
}

//! Answers one turn with one process.

use super::{
    ansi::Stripper,
    cgi, document,
    text::{Decoder, Lines, Whole},
};
use crate::attach::{Failure, Gone, Reply, Turn};
use arizuko_proto::v1::{Handoff, HookRequest};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    env,
    ffi::OsString,
    io::{self, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long a process may take to end after SIGTERM.
const TERM_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for more output after the program has exited, if a process that it started
/// still has the pipe open.
const LINGER: Duration = Duration::from_secs(1);

/// The beginning of a line on standard error that the visitor sees as the agent's status. Lines
/// with neither this beginning nor [`TITLE`] may be a stack trace with secrets, so the visitor does
/// not see them.
const STATUS: &str = "status:";
/// The beginning of a line on standard error with the conversation's title.
const TITLE: &str = "title:";

/// The program to run for each turn.
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// Whether standard input is the whole turn as JSON.
    pub(super) json: bool,
    /// Whether lines of standard error go to the visitor, as the agent's status or the
    /// conversation's title.
    pub(super) status: bool,
    /// Whether standard output answers a webhook's sender, in the form of CGI.
    pub(super) cgi: bool,
    /// Which folder continues after which exit code.
    pub(super) handoffs: Vec<Successor>,
    /// Whether a handoff reassigns the conversation.
    pub(super) handoff_conversation: bool,
}

/// The folder that continues a turn after an exit code; empty: the one that the route names.
#[derive(Clone, Debug)]
pub(super) struct Successor {
    pub(super) code: i32,
    pub(super) folder: String,
}

/// What a program has printed.
enum Output {
    /// The finished form of the message.
    Message(Option<String>),
    /// The answer to a webhook's sender.
    Response(Vec<u8>),
}

/// A program's process group: the program and the processes that it starts. Dropping this kills
/// them.
struct Group(Option<Pid>);

/// Runs the program for one turn.
pub(super) async fn answer(program: Arc<Program>, turn: Turn, reply: Reply) -> Result<(), Failure> {
    match program.start(&turn) {
        Ok(child) => program.attend(child, &turn, &reply).await,
        Err(error) => Err(Failure::new(format!("cannot start the program: {error}"))),
    }
}

impl Program {
    fn start(&self, turn: &Turn) -> io::Result<Child> {
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        // The program gets neither our keys nor our settings.
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("ARIZUKO_") {
                command.env_remove(name);
            }
        }
        let handed = turn.handed.clone().unwrap_or_default();
        let visitor = turn.identity.clone().unwrap_or_default();
        for (name, value) in [
            ("ARIZUKO_JID", &turn.jid),
            ("ARIZUKO_FOLDER", &turn.folder),
            ("ARIZUKO_CONVERSATION", &turn.conversation),
            ("ARIZUKO_TURN", &turn.turn_id),
            ("ARIZUKO_SENDER", &turn.sender),
            ("ARIZUKO_PERSONA", &turn.persona),
            ("ARIZUKO_TOPIC", &turn.topic),
            ("ARIZUKO_CONTEXT", &turn.context),
            ("ARIZUKO_VISITOR_ID", &visitor.id),
            ("ARIZUKO_VISITOR_NAME", &visitor.name),
            ("ARIZUKO_VISITOR_EMAIL", &visitor.email),
            ("ARIZUKO_HANDED_BY", &handed.folder),
            ("ARIZUKO_NOTE", &handed.note),
        ] {
            // A variable can't hold a NUL.
            command.env(name, value.replace('\0', ""));
        }
        if let Some(HookRequest { method, path, query, .. }) = &turn.request {
            command.env("ARIZUKO_METHOD", method);
            command.env("ARIZUKO_PATH", path).env("ARIZUKO_QUERY", query);
        }
        command.spawn()
    }

    /// Serves all standard streams of a process at once, so that none waits for another. When the
    /// process has exited, ends the reply as its exit code says. When the turn is cancelled, ends
    /// the process.
    async fn attend(&self, mut child: Child, turn: &Turn, reply: &Reply) -> Result<(), Failure> {
        let group = Group::of(&child);
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(Failure::new("the program was started without pipes"));
        };
        let exited = CancellationToken::new();
        let exit = async {
            let status = child.wait().await;
            exited.cancel();
            status
        };
        let document = self.json.then(|| document::of(turn).to_string());
        let input = document.as_ref().map_or(&turn.content[..], String::as_bytes);
        let input = write(stdin, input, &exited);
        let output = async {
            let stdout = Pipe::new(stdout, &exited);
            match self.cgi && turn.request.is_some() {
                true => Output::Response(collect(stdout).await),
                false => Output::Message(forward(stdout, reply).await),
            }
        };
        let errors = self.listen(Pipe::new(stderr, &exited), reply);
        let all = async { tokio::join!(exit, input, output, errors) };
        tokio::pin!(all);
        let (status, (), output, last_line) = tokio::select! {
            ended = &mut all => ended,
            () = reply.cancelled() => {
                group.signal(Signal::SIGTERM);
                // The output is still read, so that the process doesn't block on it.
                let _ = timeout(TERM_TIMEOUT, all).await;
                return Err(Gone.into());
            }
        };
        let status = status.map_err(|error| Failure::new(format!("lost the program: {error}")))?;
        let successor = self.successor(status);
        if !status.success() && successor.is_none() {
            return Err(Failure::new(describe(status, &last_line)));
        }
        match output {
            Output::Message(Some(finished)) => reply.message(finished).await?,
            // A program that hands the turn off may leave the answer to the next agent.
            Output::Response(printed) if !printed.is_empty() || successor.is_none() => {
                reply.respond(cgi::parse(&printed).map_err(Failure::new)?).await?;
            }
            Output::Message(None) | Output::Response(_) => {}
        }
        if let Some(Successor { folder: to, .. }) = successor {
            let handoff = Handoff {
                folder: to.clone(),
                note: last_line,
                conversation: self.handoff_conversation,
            };
            reply.hand_off(handoff).await?;
        }
        Ok(())
    }

    fn successor(&self, status: ExitStatus) -> Option<&Successor> {
        let code = status.code()?;
        self.handoffs.iter().find(|next| next.code == code)
    }

    /// Passes the program's standard error on to our own. With `--status`, its lines that begin
    /// with [`STATUS`] or [`TITLE`] go to the visitor instead. Returns the last of the other lines
    /// that is not blank.
    async fn listen(&self, mut stderr: Pipe<'_, ChildStderr>, reply: &Reply) -> String {
        let (mut lines, mut buffer) = (Lines::default(), [0; 4096]);
        let mut last = String::new();
        loop {
            let bytes = stderr.read(&mut buffer).await;
            let complete = match bytes {
                [] => lines.take().into_iter().collect(),
                _ => lines.push(bytes),
            };
            if !self.status {
                // If our standard error is closed, nobody reads it.
                let _ = io::stderr().write_all(bytes);
            }
            for line in complete {
                if !self.status {
                    last = line;
                } else if let Some(status) = line.strip_prefix(STATUS) {
                    // An error says that nobody wants the reply, which `attend` notices, too.
                    let _ = reply.status(status.trim().to_owned()).await;
                } else if let Some(title) = line.strip_prefix(TITLE) {
                    let _ = reply.title(title.trim()).await;
                } else {
                    let _ = writeln!(io::stderr(), "{line}");
                    last = line;
                }
            }
            if bytes.is_empty() {
                return last;
            }
        }
    }
}

impl Group {
    fn of(leader: &Child) -> Self {
        Self(leader.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // The only error is that the group is gone.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Writes the input. Stops when the program exits, even if it has not read all of the input.
async fn write(mut stdin: ChildStdin, input: &[u8], exited: &CancellationToken) {
    tokio::select! {
        _ = stdin.write_all(input) => {}
        () = exited.cancelled() => {}
    }
}

/// Passes standard output on as it comes, without terminal sequences. Returns the finished form of
/// the message, unless that is empty or too long.
async fn forward(mut stdout: Pipe<'_, ChildStdout>, reply: &Reply) -> Option<String> {
    let (mut decoder, mut buffer) = (Decoder::default(), [0; 16 << 10]);
    let (mut whole, mut stripper) = (Whole::default(), Stripper::default());
    loop {
        let bytes = stdout.read(&mut buffer).await;
        let text = match bytes {
            [] => decoder.finish().to_owned(),
            _ => decoder.push(bytes),
        };
        let text = stripper.strip(&text);
        whole.push(&text);
        if !text.is_empty() {
            // An error says that nobody wants the reply. Reading goes on, so that the program does
            // not block.
            let _ = reply.write(text).await;
        }
        if bytes.is_empty() {
            return whole.take();
        }
    }
}

/// Collects what a program prints. Reads all of it, so that the program does not block, but keeps
/// at most one byte more than [`cgi::MAX_BYTES`], which [`cgi::parse`] then refuses.
async fn collect(mut stdout: Pipe<'_, ChildStdout>) -> Vec<u8> {
    let (mut printed, mut buffer) = (Vec::new(), [0; 16 << 10]);
    loop {
        match stdout.read(&mut buffer).await {
            [] => return printed,
            bytes => {
                let room = (cgi::MAX_BYTES + 1).saturating_sub(printed.len());
                printed.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        }
    }
}

/// A pipe from a program. A process that the program has left running may keep it open. So after
/// the program has exited, whoever reads waits no longer than [`LINGER`] in all.
struct Pipe<'a, P> {
    pipe: P,
    exited: &'a CancellationToken,
    patience: Duration,
}

impl<'a, P: AsyncRead + Unpin> Pipe<'a, P> {
    fn new(pipe: P, exited: &'a CancellationToken) -> Self {
        Self { pipe, exited, patience: LINGER }
    }

    /// Reads the next bytes; an empty slice at the end.
    async fn read<'b>(&mut self, buffer: &'b mut [u8]) -> &'b [u8] {
        let (exited, patience) = (self.exited, self.patience);
        let mut waiting_since = None;
        let lingered = async {
            exited.cancelled().await;
            waiting_since = Some(Instant::now());
            sleep(patience).await;
        };
        let count = tokio::select! {
            biased;
            read = self.pipe.read(buffer) => read.unwrap_or(0),
            () = lingered => 0,
        };
        let waited = waiting_since.map_or(Duration::ZERO, |since| since.elapsed());
        self.patience = patience.saturating_sub(waited);
        &buffer[..count]
    }
}

fn describe(status: ExitStatus, last_line: &str) -> String {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended in an unknown way".into(),
    };
    match last_line {
        "" => how,
        line => format!("{how}: {line}"),
    }
}

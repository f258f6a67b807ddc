//! A Redis for one stack, with `appendfsync always`.

use crate::{
    process::{Process, command},
    until, within,
};
use nix::sys::signal::Signal;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tokio::process::Command;

/// The folder in which Redis keeps its append-only file.
const FILES: &str = "appendonlydir";
/// The folder of the copy that [`Redis::remember`] makes.
const EARLIER: &str = "earlier";

/// A Redis that listens on a Unix socket in its folder, so that two never compete for an address.
pub struct Redis {
    folder: PathBuf,
    logs: PathBuf,
    flags: Vec<String>,
    has_user: bool,
    process: Process,
}

impl Redis {
    /// Starts a Redis that keeps its files in `folder`.
    pub async fn start(folder: &Path, logs: &Path) -> Self {
        Self::with_flags(folder, logs, &[]).await
    }

    /// Starts a Redis with these flags.
    pub async fn with_flags(folder: &Path, logs: &Path, flags: &[&str]) -> Self {
        fs::create_dir_all(folder).expect("the stack's folder is ours");
        let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let process = serve(folder, logs, &flags).await;
        let (folder, logs) = (folder.to_owned(), logs.to_owned());
        Self { folder, logs, flags, has_user: false, process }
    }

    /// Returns the URL for control's `--redis`.
    pub fn url(&self) -> String {
        let user = if self.has_user { "?user=arizuko&pass=secret" } else { "" };
        format!("unix://{}{user}", socket(&self.folder).display())
    }

    /// Gives the user `arizuko` exactly these rights. From then on, the URL names this user.
    pub async fn allow(&mut self, rights: &[String]) {
        let words = ["ACL", "SETUSER", "arizuko", "reset"].into_iter();
        let words: Vec<&str> = words.chain(rights.iter().map(String::as_str)).collect();
        self.ask(&words).await;
        self.has_user = true;
    }

    /// Returns the socket that Redis listens on.
    pub fn socket(&self) -> PathBuf {
        socket(&self.folder)
    }

    /// Kills Redis with SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Restarts Redis with its files.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = serve(&self.folder, &self.logs, &self.flags).await;
    }

    /// Copies Redis's files, for [`Self::forget_the_rest`].
    pub fn remember(&self) {
        copy(&self.folder.join(FILES), &self.folder.join(EARLIER));
    }

    /// Restarts Redis with the copied files: all writes since the copy are lost.
    pub async fn forget_the_rest(&mut self) {
        self.process.kill();
        let files = self.folder.join(FILES);
        fs::remove_dir_all(&files).expect("they are ours");
        fs::rename(self.folder.join(EARLIER), &files).expect("they were remembered");
        self.process = serve(&self.folder, &self.logs, &self.flags).await;
    }

    /// Loads a dump into this Redis in place of what it has, as docs/operations.md says.
    pub async fn restore(&mut self, dump: &Path) {
        self.process.kill();
        fs::remove_dir_all(self.folder.join(FILES)).expect("they are ours");
        fs::copy(dump, self.folder.join("dump.rdb")).expect("there is room");
        let without = [&self.flags[..], &["--appendonly".to_owned(), "no".to_owned()]].concat();
        self.process = serve(&self.folder, &self.logs, &without).await;
        self.ask(&["CONFIG", "SET", "appendonly", "yes"]).await;
        let is_written = async || {
            let told = self.ask(&["INFO", "persistence"]).await;
            let told = String::from_utf8_lossy(&told).into_owned();
            told.contains("aof_rewrite_in_progress:0") && told.contains("aof_rewrite_scheduled:0")
        };
        until("the append-only file to be written", is_written).await;
        self.restart().await;
    }

    /// Makes Redis hang: connections stay open and get no answer.
    pub fn freeze(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    /// Ends the hang that [`Self::freeze`] began.
    pub fn thaw(&self) {
        self.process.signal(Signal::SIGCONT);
    }

    /// Returns a command that runs `redis-cli` on this Redis.
    pub fn cli(&self) -> Command {
        let mut cli = command("redis-cli");
        cli.arg("-s").arg(socket(&self.folder));
        cli
    }

    /// Runs `redis-cli` and returns its output.
    pub async fn ask(&self, arguments: &[&str]) -> Vec<u8> {
        let answer = within("redis-cli", self.cli().args(arguments).output()).await;
        let answer =
            answer.expect("redis-cli is in Debian's redis-tools, which redis-server wants");
        assert!(answer.status.success(), "redis-cli {arguments:?}: {answer:?}");
        answer.stdout
    }

    /// Returns the folder of Redis's files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the process, for its log.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("it is not there");
    for file in fs::read_dir(from).expect("it is there") {
        let file = file.expect("it can be read");
        fs::copy(file.path(), to.join(file.file_name())).expect("there is room");
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("redis.sock")
}

async fn serve(folder: &Path, logs: &Path, flags: &[String]) -> Process {
    let mut redis = command("redis-server");
    redis.args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
    redis.arg("--unixsocket").arg(socket(folder)).arg("--dir").arg(folder).args(flags);
    let mut process = Process::start("redis", redis, logs);
    process.line_with("eady to accept connections").await;
    process
}

//! Processes that log to a file and do not outlive their test.

use crate::{binaries, until, within};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    thread::sleep,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
};

/// A process, its standard output by lines, and its log.
pub struct Process {
    name: String,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

/// Returns a command that is killed when the thread that starts it ends, even if the test program
/// is killed. Its environment has only PATH.
pub fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        // Without the signal, writing to a file over its limit is an error, as on a full disk.
        .args(["env", "--ignore-signal=XFSZ"])
        // The tests may run under nohup, which would hide SIGHUP from the program.
        .args(["--default-signal=HUP", "--"])
        .arg(program.as_ref());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.kill_on_drop(true);
    command
}

/// Returns a command that runs one of our programs, with its home in `folder`. Our crates log at
/// the level `trace`.
pub fn program(name: &str, folder: &Path) -> Command {
    let mut program = command(binaries::path(name));
    program.env("HOME", folder.join("home")).env("XDG_RUNTIME_DIR", folder.join("run"));
    program.env("RUST_LOG", "warn,arizuko=trace,arizuko_control=trace,arizuko_gateway=trace");
    program.env("RUST_BACKTRACE", "1").env("NO_COLOR", "1");
    program
}

impl Process {
    /// Starts a process. Its standard error is appended to `<name>.log` in `logs`.
    pub fn start(name: &str, mut command: Command, logs: &Path) -> Self {
        let log = logs.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{name} does not start ({error}): setpriv is in Debian's util-linux")
        });
        let stdout = child.stdout.take().expect("it was asked for");
        let lines = BufReader::new(stdout).lines();
        Self { name: name.to_owned(), child, lines, log }
    }

    /// Waits for the next line that it prints.
    pub async fn line(&mut self) -> String {
        let what = format!("a line from {}", self.name);
        let line = within(what, self.lines.next_line()).await;
        let line = line.unwrap_or_else(|error| panic!("{} prints no text: {error}", self.name));
        line.unwrap_or_else(|| panic!("{} has ended; it said:\n{}", self.name, self.said()))
    }

    /// Waits for a line that has `words` in it.
    pub async fn line_with(&mut self, words: &str) -> String {
        loop {
            let line = self.line().await;
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Waits until a port on loopback accepts connections.
    pub async fn listens(&self, port: u16) {
        let what = format!("{} to listen", self.name);
        until(what, async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
    }

    /// Whether the process runs.
    pub fn is_running(&self) -> bool {
        self.child.id().is_some()
    }

    /// Returns the process id.
    pub fn pid(&self) -> i32 {
        let pid = self.child.id().unwrap_or_else(|| panic!("{} has ended", self.name));
        i32::try_from(pid).expect("process ids are small")
    }

    /// Returns the peak of the process's resident memory, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
        let kib: u64 = kib.and_then(|kib| kib.parse().ok()).expect("Linux tells it");
        kib << 10
    }

    /// Returns the CPU time that the process and its children have used.
    pub fn cpu_time(&self) -> Duration {
        [self.pid()].into_iter().chain(self.children()).filter_map(Self::cpu_time_of).sum()
    }

    /// Returns the process ids of its children.
    pub fn children(&self) -> Vec<i32> {
        let pid = self.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
    }

    /// Returns nothing for a process that has ended.
    fn cpu_time_of(pid: i32) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may contain spaces. Fields 14 and 15 are the user and system time
        // in ticks of 10 ms.
        let (_, fields) = stat.rsplit_once(')').expect("Linux tells its name");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        Some(Duration::from_millis(ticks * 10))
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: Signal) {
        let sent = kill(Pid::from_raw(self.pid()), signal);
        sent.unwrap_or_else(|error| panic!("{signal} to {}: {error}", self.name));
    }

    /// Limits the size of the files that the process writes, as on a full disk. `None` lifts the
    /// limit.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let set = std::process::Command::new("prlimit")
            .args(["--pid", &self.pid().to_string()])
            .arg(format!("--fsize={limit}:"))
            .status();
        let set = set.expect("prlimit is in Debian's util-linux");
        assert!(set.success(), "{} is ours", self.name);
    }

    /// Waits until the process has ended by itself.
    pub async fn exit(&mut self) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        within(what, self.child.wait()).await.expect("it is our child")
    }

    /// Kills the process with SIGKILL and waits until it has ended.
    pub fn kill(&mut self) {
        // An error means that the process has ended already.
        let _ = self.child.start_kill();
        for _ in 0..5_000 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(1));
        }
    }

    /// Returns the last lines of the process's log.
    pub fn said(&self) -> String {
        const LINES: usize = 60;
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    /// Returns the process's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

//! A person who uses `arizuko inbox`, at a pseudo-terminal or through pipes.

use crate::{Instance, PATIENCE, Stack, binaries, picture, within};
use nix::{
    fcntl::OFlag,
    pty::{grantpt, posix_openpt, ptsname_r, unlockpt},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustix::termios::{Winsize, tcsetwinsize};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    num::NonZero,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    process::ExitStatus,
    thread,
};
use tokio::{
    process::{Child, Command},
    sync::mpsc,
    time::timeout,
};

/// How a person talks to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// At a pseudo-terminal.
    Terminal,
    /// Through pipes.
    Pipes,
    /// At a pseudo-terminal of this size. The person uses `arizuko desk`.
    Desk {
        /// How many lines it has.
        rows: u16,
        /// How many characters a line has.
        columns: u16,
    },
}

/// A person with a running inbox.
pub struct Person {
    child: Child,
    seat: Seat,
    /// The program's input; `None` once it is closed.
    keys: Option<Box<dyn Write + Send>>,
    output: mpsc::UnboundedReceiver<Vec<u8>>,
    /// Everything that was shown.
    seen: Vec<u8>,
    /// How many bytes of the shown text, without escape sequences, the test has looked at.
    at: usize,
}

impl Stack {
    /// Starts the inbox of `folder` at a control and waits for its greeting.
    pub async fn person(&self, seat: Seat, folder: &str, name: &str, control: Instance) -> Person {
        self.person_with(seat, &[folder], name, control).await
    }

    /// Like [`Self::person`], with these folders and flags.
    pub async fn person_with(
        &self,
        seat: Seat,
        arguments: &[&str],
        name: &str,
        control: Instance,
    ) -> Person {
        let mut inbox = self.program("arizuko");
        let command = if let Seat::Desk { .. } = seat { "desk" } else { "inbox" };
        inbox.arg(command).args(arguments).args(["--name", name]);
        // The other control is the fallback.
        for control in [control, control.other()] {
            inbox.arg("--control").arg(self.control(control));
        }
        inbox.env("ARIZUKO_KEY", self.operator_key());
        inbox.env("TERM", "xterm").env_remove("RUST_LOG");
        let log = self.logs().join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(log);
        let log = log.expect("the stack has a folder for logs");
        let mut person = Person::sit_down(inbox, seat, Some(log));
        match seat {
            Seat::Desk { .. } => drop(person.shows(&format!(" {name}: ")).await),
            _ => drop(person.sees(&format!("visitors know you as {name}")).await),
        }
        person
    }

    /// Starts `arizuko` as an operator at a terminal.
    pub fn at_terminal(&self, arguments: &[&str]) -> Person {
        self.sit_down(Seat::Terminal, arguments)
    }

    /// Starts `arizuko` as an operator at a terminal of this size.
    pub fn at_terminal_of(&self, rows: u16, columns: u16, arguments: &[&str]) -> Person {
        self.sit_down(Seat::Desk { rows, columns }, arguments)
    }

    fn sit_down(&self, seat: Seat, arguments: &[&str]) -> Person {
        let mut command = self.operators_command();
        command.args(arguments).env("TERM", "xterm");
        Person::sit_down(command, seat, None)
    }
}

impl Person {
    /// Starts the program at this seat. Its standard error goes to `log`, if there is one.
    fn sit_down(mut command: Command, seat: Seat, log: Option<File>) -> Self {
        let (keys, shown): (OwnedFd, OwnedFd) = match seat {
            Seat::Terminal | Seat::Desk { .. } => {
                let (keys, screen) = terminal(seat).expect("the system has pseudo-terminals");
                let [stdout, stderr] =
                    [(); 2].map(|()| screen.try_clone().expect("there are file descriptors"));
                command.stdin(screen).stdout(stdout).stderr(stderr);
                let shown = keys.try_clone().expect("there are file descriptors");
                (keys, shown)
            }
            Seat::Pipes => {
                let (stdin, keys) = io::pipe().expect("the system has pipes");
                let (shown, stdout) = io::pipe().expect("the system has pipes");
                command.stdin(stdin).stdout(stdout);
                (keys.into(), shown.into())
            }
        };
        if let Some(log) = log {
            command.stderr(log);
        }
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, output) = mpsc::unbounded_channel();
        thread::spawn(move || {
            let (mut shown, mut buffer) = (File::from(shown), [0; 4096]);
            // Reading from a terminal fails when its program has ended.
            while let Ok(count @ 1..) = shown.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            seat,
            keys: Some(Box::new(File::from(keys))),
            output,
            seen: Vec::new(),
            at: 0,
        }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: impl AsRef<[u8]>) {
        let pressed = self.keys.as_mut().map(|to| to.write_all(keys.as_ref()));
        pressed.expect("it has keys").expect("the program is there");
    }

    /// Types a line.
    pub fn enter(&mut self, line: &str) {
        let end = match self.seat {
            Seat::Terminal | Seat::Desk { .. } => "\r",
            Seat::Pipes => "\n",
        };
        self.press(format!("{line}{end}"));
    }

    /// Pastes text as a terminal does, between the two sequences that mark a paste.
    pub fn paste(&mut self, text: &str) {
        self.press(format!("\x1b[200~{text}\x1b[201~"));
    }

    /// Waits until `words` are shown in output that the test has not looked at yet. Returns this
    /// output up to the end of their line.
    pub async fn sees(&mut self, words: &str) -> String {
        let mut fresh = String::new();
        let waiting = async {
            loop {
                fresh = self.text()[self.at..].to_owned();
                let line = fresh.find(words).map(|at| (at, fresh[at..].find('\n')));
                if let Some((at, Some(end))) = line {
                    self.at += at + end;
                    fresh.truncate(at + end);
                    return;
                }
                let bytes = self.output.recv().await;
                let bytes = bytes.unwrap_or_else(|| panic!("ended before {words:?}: {fresh:?}"));
                self.seen.extend(bytes);
            }
        };
        if timeout(PATIENCE, waiting).await.is_err() {
            panic!("waited {PATIENCE:?} for {words:?}, in vain: {fresh:?}");
        }
        fresh
    }

    /// Returns the desk's screen, as a terminal shows it.
    pub fn screen(&self) -> String {
        self.terminal().screen().contents()
    }

    /// Puts a picture of the desk into `target/screenshots`, for people to look at.
    pub fn photograph(&self, name: &str) {
        let folder = binaries::path("../screenshots/desk");
        fs::create_dir_all(&folder).expect("cargo's folder is ours");
        let picture = picture::svg(self.terminal().screen());
        fs::write(folder.join(format!("{name}.svg")), picture).expect("the folder is ours");
    }

    fn terminal(&self) -> vt100::Parser {
        let Seat::Desk { rows, columns } = self.seat else { panic!("only a desk has a screen") };
        let [rows, columns] = [rows, columns].map(|size| NonZero::new(size).expect("a size"));
        let mut parser = vt100::Parser::new(rows, columns, 0);
        parser.process(&self.seen);
        parser
    }

    /// Waits until the desk's screen has `words`. Returns the screen.
    pub async fn shows(&mut self, words: &str) -> String {
        self.looks(words, |screen| screen.contains(words)).await
    }

    /// Waits until the desk's screen is as `wanted` says. Returns the screen.
    pub async fn looks(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let waiting = async {
            while !wanted(&self.screen()) {
                let bytes = self.output.recv().await;
                self.seen.extend(bytes.unwrap_or_else(|| panic!("ended before {what:?}")));
            }
        };
        if timeout(PATIENCE, waiting).await.is_err() {
            panic!("waited {PATIENCE:?} for {what:?}, in vain:\n{}", self.screen());
        }
        self.screen()
    }

    /// Waits for an empty prompt.
    pub async fn prompted(&mut self) {
        self.ends_with("> ").await;
    }

    /// Waits until the output ends with `words`.
    pub async fn ends_with(&mut self, words: &str) {
        let waiting = async {
            while !self.text().ends_with(words) {
                let bytes = self.output.recv().await;
                self.seen.extend(bytes.expect("the inbox goes on"));
            }
        };
        within(format!("{words:?} at the end"), waiting).await;
    }

    /// Waits for the only queued turn, opens it, and waits until `words` are shown.
    pub async fn opens(&mut self, words: &str) -> String {
        self.sees("1 waits").await;
        self.asks("/open 1", words).await
    }

    /// Types a line and waits until `words` are shown.
    pub async fn asks(&mut self, line: &str, words: &str) -> String {
        self.enter(line);
        self.sees(words).await
    }

    /// Returns the output without escape sequences.
    pub fn text(&self) -> String {
        let (mut text, seen) = (String::new(), String::from_utf8_lossy(&self.seen));
        let mut characters = seen.chars();
        while let Some(character) = characters.next() {
            match character {
                '\x1b' => {
                    // A sequence is ESC, [, parameters, and a letter or ~; or ESC, ], text, and BEL.
                    let is_command = characters.next() == Some(']');
                    let is_end = |end: &char| match is_command {
                        true => *end == '\x07',
                        false => end.is_ascii_alphabetic() || *end == '~',
                    };
                    let _ = characters.by_ref().find(is_end);
                }
                '\r' | '\x07' => {}
                other => text.push(other),
            }
        }
        text
    }

    /// Returns the raw output.
    pub fn bytes(&self) -> &[u8] {
        &self.seen
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = Pid::from_raw(pid.expect("it runs"));
        kill(pid, signal).expect("it is our child");
    }

    /// Ends the input, at a terminal with Ctrl-D.
    pub async fn end(&mut self) {
        match self.seat {
            Seat::Desk { .. } => self.press("\x04"),
            Seat::Terminal => {
                self.prompted().await;
                self.press("\x04");
            }
            Seat::Pipes => self.keys = None,
        }
    }

    /// Waits until the program has ended.
    pub async fn gone(&mut self) -> ExitStatus {
        let status = within("the end of the inbox", self.child.wait()).await;
        while let Some(bytes) = self.output.recv().await {
            self.seen.extend(bytes);
        }
        status.expect("it is our child")
    }
}

/// Opens a pseudo-terminal and returns the user's end and the program's end. Child processes
/// inherit neither.
fn terminal(seat: Seat) -> io::Result<(OwnedFd, File)> {
    let user = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
    grantpt(&user)?;
    unlockpt(&user)?;
    if let Seat::Desk { rows: ws_row, columns: ws_col } = seat {
        tcsetwinsize(&user, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 })?;
    }
    let program = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open(ptsname_r(&user)?)?;
    Ok((user.into(), program))
}

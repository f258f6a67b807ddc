//! Reads what is typed: on a terminal with line editing and a history, otherwise plain lines. Each
//! line is carried out before the next one is read.

use super::command;
use anyhow::Context as _;
use nix::sys::termios::{FlushArg, SetArg, Termios, tcflush, tcgetattr, tcsetattr};
use rustyline::{
    Context, Editor, ExternalPrinter as _, Helper, completion::Completer, error::ReadlineError,
    highlight::Highlighter, hint::Hinter, history::DefaultHistory, validate::Validator,
};
use std::{
    cell::RefCell,
    io::{self, BufRead as _, ErrorKind, IsTerminal as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as threads,
    },
    thread,
};
use tokio::sync::mpsc;

/// Shown at a terminal as soon as a key or a paste is not UTF-8.
const GARBLED: &str = "(that is not UTF-8, so this line cannot be sent: Ctrl-C drops it)";

/// The lines that a person types.
pub(super) struct Keyboard {
    typed: mpsc::UnboundedReceiver<Typed>,
    prompts: threads::Sender<String>,
    /// Whether a prompt waits for its line.
    is_asked: Arc<AtomicBool>,
    /// The terminal's settings before the keyboard was opened.
    before: Option<Termios>,
}

/// An event at the keyboard.
pub(super) enum Typed {
    /// A line, or several that were pasted at once.
    Line(String),
    /// A line that is not UTF-8. What is not UTF-8 in it became U+FFFD or, at a terminal, was left
    /// out.
    Garbled(String),
    /// The line has changed. `is_answer`: it is going to be an answer.
    Key { is_answer: bool },
    /// The input has ended.
    End,
}

/// Shows text on a terminal, above the prompt if there is one.
pub(super) struct Printer {
    above: threads::Sender<String>,
    is_asked: Arc<AtomicBool>,
}

impl Printer {
    pub(super) fn print(&self, text: String) {
        // Ignore errors: if the terminal is gone, the input ends, too.
        if self.is_asked.load(Ordering::Relaxed) {
            let _ = self.above.send(text);
        } else {
            let _ = io::stdout().write_all(text.as_bytes());
        }
    }
}

impl Keyboard {
    /// Opens standard input. Returns a printer if standard input and output are a terminal.
    pub(super) fn open() -> anyhow::Result<(Self, Option<Printer>)> {
        let (sender, typed) = mpsc::unbounded_channel();
        let (prompts, asked) = threads::channel();
        let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        let mut keyboard = Self { typed, prompts, is_asked: Arc::default(), before: None };
        if !is_terminal {
            thread::spawn(move || read(&asked, &sender));
            return Ok((keyboard, None));
        }
        let cannot = "cannot use the terminal";
        keyboard.before = Some(tcgetattr(io::stdin()).context(cannot)?);
        let mut editor = Editor::<LineWatcher, DefaultHistory>::new().context(cannot)?;
        editor.set_helper(Some(LineWatcher { line: RefCell::default(), typed: sender.clone() }));
        let mut printer = editor.create_external_printer().context(cannot)?;
        let (above, printed) = threads::channel();
        // On a thread of its own, since the printer blocks until the editor has taken the earlier
        // text.
        thread::spawn(move || {
            while let Ok(text) = printed.recv() {
                let _ = printer.print(text);
            }
        });
        thread::spawn(move || edit(editor, &asked, &sender));
        let is_asked = Arc::clone(&keyboard.is_asked);
        Ok((keyboard, Some(Printer { above, is_asked })))
    }

    /// Shows a prompt and lets a line be typed.
    pub(super) fn prompt(&self, prompt: String) {
        self.is_asked.store(true, Ordering::Relaxed);
        // This fails only after the input has ended; `next` then says so.
        let _ = self.prompts.send(prompt);
    }

    /// Waits for what is typed next.
    pub(super) async fn next(&mut self) -> Typed {
        let typed = self.typed.recv().await.unwrap_or(Typed::End);
        if !matches!(typed, Typed::Key { .. }) {
            self.is_asked.store(false, Ordering::Relaxed);
        }
        typed
    }
}

impl Drop for Keyboard {
    /// Restores the terminal, which is in raw mode while a line is edited.
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // If the terminal is gone, there is nothing to restore.
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, before);
        }
    }
}

/// Reads a plain line for each prompt.
fn read(asked: &threads::Receiver<String>, typed: &mpsc::UnboundedSender<Typed>) {
    let mut input = io::stdin().lock();
    while asked.recv().is_ok() {
        let mut line = Vec::new();
        if !matches!(input.read_until(b'\n', &mut line), Ok(1..)) {
            let _ = typed.send(Typed::End);
            return;
        }
        if typed.send(Typed::read(line)).is_err() {
            return;
        }
    }
}

impl Typed {
    /// Reads a line, without the line end that it may have.
    fn read(mut line: Vec<u8>) -> Self {
        for end in [b'\n', b'\r'] {
            line.pop_if(|last| *last == end);
        }
        match String::from_utf8(line) {
            Ok(line) => Self::Line(line),
            Err(wrong) => Self::Garbled(String::from_utf8_lossy(wrong.as_bytes()).into()),
        }
    }
}

/// Lets the person edit a line on the terminal for each prompt.
fn edit(
    mut editor: Editor<LineWatcher, DefaultHistory>,
    asked: &threads::Receiver<String>,
    typed: &mpsc::UnboundedSender<Typed>,
) {
    while let Ok(prompt) = asked.recv() {
        let (mut line_so_far, mut is_garbled) = (String::new(), false);
        let line = loop {
            match editor.readline_with_initial(&prompt, (line_so_far.as_str(), "")) {
                Ok(line) => break Some(line),
                // As in a shell, ^C drops the line. On an empty line it ends the input.
                Err(ReadlineError::Interrupted) if !take_line(&editor).is_empty() => {
                    (line_so_far, is_garbled) = (String::new(), false);
                }
                Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
                    // Otherwise the rest of a paste would be read as another line.
                    let _ = tcflush(io::stdin(), FlushArg::TCIFLUSH);
                    (line_so_far, is_garbled) = (take_line(&editor), true);
                    let _ = writeln!(io::stdout(), "\n{GARBLED}");
                }
                Err(_) => break None,
            }
        };
        let ended = line.is_none();
        if let Some(line) = &line {
            // The history is in memory and does not fail.
            let _ = editor.add_history_entry(line.as_str());
        }
        let line = match line {
            None => Typed::End,
            Some(line) if is_garbled => Typed::Garbled(line),
            Some(line) => Typed::Line(line),
        };
        if typed.send(line).is_err() || ended {
            return;
        }
    }
}

/// Takes the text of the line that was being typed.
fn take_line(editor: &Editor<LineWatcher, DefaultHistory>) -> String {
    editor.helper().map(|watch| watch.line.take()).unwrap_or_default()
}

/// Reports each change of the line.
struct LineWatcher {
    line: RefCell<String>,
    typed: mpsc::UnboundedSender<Typed>,
}

impl Hinter for LineWatcher {
    type Hint = String;

    /// Gives no hint. The editor calls this at each change of the line.
    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<String> {
        if *self.line.borrow() != line {
            self.line.replace(line.into());
            let is_answer = command::is_answer(line);
            // Without a receiver the program is about to end.
            let _ = self.typed.send(Typed::Key { is_answer });
        }
        None
    }
}

impl Completer for LineWatcher {
    type Candidate = String;
}
impl Highlighter for LineWatcher {}
impl Validator for LineWatcher {}
impl Helper for LineWatcher {}

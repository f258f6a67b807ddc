//! What is typed: on a terminal with line editing and a history, otherwise plain lines. A line is
//! read only when it is asked for, so that each is obeyed before the next one is read.

use super::command;
use anyhow::Context as _;
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use rustyline::{
    Context, Editor, ExternalPrinter as _, Helper, completion::Completer, error::ReadlineError,
    highlight::Highlighter, hint::Hinter, history::DefaultHistory, validate::Validator,
};
use std::{
    cell::RefCell,
    io::{self, IsTerminal as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as threads,
    },
    thread,
};
use tokio::sync::mpsc;

/// See the module.
pub(super) struct Keyboard {
    typed: mpsc::UnboundedReceiver<Typed>,
    prompts: threads::Sender<String>,
    /// A line was asked for and is not here yet.
    is_asked: Arc<AtomicBool>,
    /// How the terminal was before.
    before: Option<Termios>,
}

/// What a keyboard tells.
pub(super) enum Typed {
    /// A line, or several that were pasted at once.
    Line(String),
    /// The line under way has changed: is it going to be an answer?
    Key { is_answer: bool },
    /// Nothing more comes.
    End,
}

/// Shows text on a terminal: above the prompt, if there is one.
pub(super) struct Printer {
    above: threads::Sender<String>,
    is_asked: Arc<AtomicBool>,
}

impl Printer {
    pub(super) fn print(&self, text: String) {
        // A terminal that is gone ends our input as well.
        if self.is_asked.load(Ordering::Relaxed) {
            let _ = self.above.send(text);
        } else {
            let _ = io::stdout().write_all(text.as_bytes());
        }
    }
}

impl Keyboard {
    /// Takes standard input. On a terminal it comes with a printer.
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
        let mut editor = Editor::<Watch, DefaultHistory>::new().context(cannot)?;
        editor.set_helper(Some(Watch { line: RefCell::default(), typed: sender.clone() }));
        let mut printer = editor.create_external_printer().context(cannot)?;
        let (above, printed) = threads::channel();
        // A thread of its own: the editor takes no more than one text at a time.
        thread::spawn(move || {
            while let Ok(text) = printed.recv() {
                let _ = printer.print(text);
            }
        });
        thread::spawn(move || edit(editor, &asked, &sender));
        let is_asked = Arc::clone(&keyboard.is_asked);
        Ok((keyboard, Some(Printer { above, is_asked })))
    }

    /// Asks for a line.
    pub(super) fn prompt(&self, prompt: String) {
        self.is_asked.store(true, Ordering::Relaxed);
        // An error says that its end was told.
        let _ = self.prompts.send(prompt);
    }

    /// What is typed next.
    pub(super) async fn next(&mut self) -> Typed {
        let typed = self.typed.recv().await.unwrap_or(Typed::End);
        if !matches!(typed, Typed::Key { .. }) {
            self.is_asked.store(false, Ordering::Relaxed);
        }
        typed
    }
}

impl Drop for Keyboard {
    /// A line that is still being edited must not leave the terminal as it is then.
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that is gone needs nothing.
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, before);
        }
    }
}

/// Reads plain lines.
fn read(asked: &threads::Receiver<String>, typed: &mpsc::UnboundedSender<Typed>) {
    let mut lines = io::stdin().lines();
    while asked.recv().is_ok() {
        // What is no text ends the input as well.
        let line = lines.next().and_then(Result::ok);
        let ended = line.is_none();
        let sent = typed.send(line.map_or(Typed::End, Typed::Line));
        if ended || sent.is_err() {
            return;
        }
    }
}

/// Reads lines from a terminal.
fn edit(
    mut editor: Editor<Watch, DefaultHistory>,
    asked: &threads::Receiver<String>,
    typed: &mpsc::UnboundedSender<Typed>,
) {
    while let Ok(prompt) = asked.recv() {
        let line = loop {
            match editor.readline(&prompt) {
                Ok(line) => break Some(line),
                // As in a shell: what was typed is dropped. With nothing typed it means to leave.
                Err(ReadlineError::Interrupted) if forget(&editor) => {}
                Err(_) => break None,
            }
        };
        let ended = line.is_none();
        if let Some(line) = &line {
            // The history is in memory: it has room.
            let _ = editor.add_history_entry(line.as_str());
        }
        let sent = typed.send(line.map_or(Typed::End, Typed::Line));
        if ended || sent.is_err() {
            return;
        }
    }
}

/// Says whether there was a line under way.
fn forget(editor: &Editor<Watch, DefaultHistory>) -> bool {
    let watch = editor.helper();
    watch.is_some_and(|watch| !watch.line.take().is_empty())
}

/// Looks at the line as it is typed.
struct Watch {
    line: RefCell<String>,
    typed: mpsc::UnboundedSender<Typed>,
}

impl Hinter for Watch {
    type Hint = String;

    /// There is no hint: this is where the editor shows each change of the line.
    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<String> {
        if *self.line.borrow() != line {
            self.line.replace(line.into());
            let is_answer = command::is_answer(line);
            // Without a listener we are about to end.
            let _ = self.typed.send(Typed::Key { is_answer });
        }
        None
    }
}

impl Completer for Watch {
    type Candidate = String;
}
impl Highlighter for Watch {}
impl Validator for Watch {}
impl Helper for Watch {}

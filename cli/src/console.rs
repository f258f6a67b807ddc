//! A command's output: the answer goes to the writer that the command was given, which is standard
//! output, and notes go to standard error. Text that others wrote can't control the terminal.

pub(crate) use crate::printable::printable;
use crate::{
    pager::{self, Pager},
    printable::{printable_text, shown},
    table::{Spare, lay_out},
    time,
    wrap::{columns, wrap_words},
};
use arizuko_proto::json;
use prost::Name;
use std::{
    borrow::Cow,
    error::Error,
    fmt,
    io::{self, BufRead as _, IsTerminal as _, Read, Write},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};
use terminal_size::{Height, Width, terminal_size};

/// How a command that calls control prints the answer.
#[derive(clap::Args, Clone, Copy)]
pub(crate) struct Format {
    /// Print control's response message as JSON, on one line; `tail` prints a line for each event
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
}

/// How every command prints.
#[derive(clap::Args, Clone, Copy)]
pub(crate) struct Manners {
    /// Print no notes on standard error, only errors
    #[arg(short, long, global = true, help_heading = "Output")]
    quiet: bool,
    /// Print times in full, also at a terminal, where tables show ages otherwise
    #[arg(long, global = true, help_heading = "Output")]
    iso: bool,
    /// Print long tables at a terminal without a pager, which is PAGER or `less -FRX`
    #[arg(long, global = true, help_heading = "Output")]
    no_pager: bool,
}

impl Manners {
    /// Applies these flags for the rest of the process.
    pub(crate) fn adopt(self) {
        QUIET.store(self.quiet, Relaxed);
        if io::stdout().is_terminal() {
            if !self.iso {
                time::show_ages();
            }
            pager::allow(!self.no_pager);
            FITS.store(true, Relaxed);
        }
    }
}

/// Whether notes are left out.
static QUIET: AtomicBool = AtomicBool::new(false);
/// Whether tables are made to fit the terminal.
static FITS: AtomicBool = AtomicBool::new(false);

/// Clears a terminal's screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Returns how many columns wide a table may be.
fn room() -> usize {
    let terminal = if FITS.load(Relaxed) { terminal_size() } else { None };
    terminal.map_or(usize::MAX, |(Width(columns), _)| columns.into())
}

/// A command's two outputs, and the name that it was called by.
pub(crate) struct Console<'a> {
    program: String,
    /// The flag that chooses the context, with a space before it, or nothing.
    context: String,
    out: &'a mut dyn Write,
    /// Where everything goes once a long table has begun.
    pager: Option<Pager>,
}

/// The reader of standard output has closed it.
#[derive(Debug)]
pub(crate) struct ClosedPipe;

impl fmt::Display for ClosedPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output was closed")
    }
}

impl Error for ClosedPipe {}

impl<'a> Console<'a> {
    pub(crate) fn new(program: String, out: &'a mut dyn Write) -> Self {
        Self { program, context: String::new(), out, pager: None }
    }

    /// Returns the name that this program was called by.
    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// Adds a context to every command that is shown.
    pub(crate) fn in_context(&mut self, name: &str) {
        self.context = format!(" --context {}", quoted(name));
    }

    /// Writes text of one or more lines, without characters that could control a terminal.
    pub(crate) fn text(&mut self, text: &str) -> anyhow::Result<()> {
        self.raw(&printable_text(text))
    }

    /// Writes text unchanged and flushes it. Text that others wrote may go to files and programs
    /// this way, but not to a terminal.
    pub(crate) fn raw(&mut self, text: &str) -> anyhow::Result<()> {
        self.copy(&mut text.as_bytes())
    }

    /// Writes all bytes of a file and flushes them.
    pub(crate) fn copy(&mut self, from: &mut impl Read) -> anyhow::Result<()> {
        let out: &mut dyn Write = match &mut self.pager {
            Some(pager) => pager,
            None => self.out,
        };
        let written = io::copy(from, out);
        written.and_then(|_| out.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => ClosedPipe.into(),
            _ => anyhow::Error::new(error).context("cannot write to standard output"),
        })
    }

    /// Clears the terminal and writes what `show` writes, as many lines as there is room for.
    pub(crate) fn screen(
        &mut self,
        show: impl FnOnce(&mut Console<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        // Notes, which `show` may write, come first.
        self.raw(CLEAR)?;
        let (program, context) = (self.program.clone(), self.context.clone());
        let mut text = Vec::new();
        show(&mut Console { program, context, out: &mut text, pager: None })?;
        let text = String::from_utf8_lossy(&text);
        let room = terminal_size().map_or(usize::MAX, |(_, Height(lines))| lines.into());
        let lines = text.split_inclusive('\n').take(room.saturating_sub(1));
        self.raw(&lines.collect::<String>())
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, line: &str) -> anyhow::Result<()> {
        self.raw(&format!("{}\n", printable(line)))
    }

    /// Writes one JSON document on one line. Escapes the characters that a terminal would not show
    /// unchanged, all of which are inside strings.
    pub(crate) fn document(&mut self, document: &serde_json::Value) -> anyhow::Result<()> {
        let mut line = String::new();
        for c in document.to_string().chars() {
            match shown(c) {
                Some(as_it_is) if as_it_is == c => line.push(c),
                _ => line.extend(
                    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")),
                ),
            }
        }
        self.raw(&(line + "\n"))
    }

    /// Writes a message of the contract as one line of JSON.
    pub(crate) fn message<M: Name>(&mut self, message: &M) -> anyhow::Result<()> {
        self.document(&json::of(message))
    }

    /// Writes `begin` and `text` on one line. Where the terminal is too narrow, the text goes on in
    /// further lines, which begin in the same column.
    pub(crate) fn hanging(&mut self, begin: &str, text: &str) -> anyhow::Result<()> {
        let column = columns(begin);
        let parts = wrap_words(&printable(text), room().saturating_sub(column));
        for (number, part) in parts.iter().enumerate() {
            let begin = if number == 0 { begin } else { "" };
            self.line(&format!("{begin:column$}{}", part.trim_end()))?;
        }
        Ok(())
    }

    /// Writes a table with aligned columns. An empty cell becomes a dash, so that a program that
    /// splits the rows at spaces doesn't miss it.
    pub(crate) fn table<const N: usize>(
        &mut self,
        head: [&str; N],
        rows: Vec<[String; N]>,
        spare: Spare,
    ) -> anyhow::Result<()> {
        self.table_with_red(head, rows, spare, 0)
    }

    /// Writes a table as [`Self::table`] does, with the first `red` rows in red. Only for
    /// terminals.
    pub(crate) fn table_with_red<const N: usize>(
        &mut self,
        head: [&str; N],
        rows: Vec<[String; N]>,
        spare: Spare,
        red: usize,
    ) -> anyhow::Result<()> {
        let cell = |cell: String| match printable(&cell) {
            cell if cell.is_empty() => "-".into(),
            cell => cell.into_owned(),
        };
        let rows = rows.into_iter().map(|row| row.map(cell).to_vec());
        let rows = [head.map(String::from).to_vec()].into_iter().chain(rows).collect();
        let (mut text, mut lines) = (String::new(), 0);
        for (place, row) in lay_out(rows, &spare, room()).iter().enumerate() {
            for line in row {
                lines += 1;
                text += &match (1..=red).contains(&place) {
                    true => format!("\x1b[31m{line}\x1b[0m\n"),
                    false => format!("{line}\n"),
                };
            }
        }
        if self.pager.is_none() {
            self.pager = Pager::start(lines);
        }
        self.raw(&text)
    }

    /// Returns a command of this program that can be pasted into a shell.
    pub(crate) fn command(&self, words: &str) -> String {
        format!("{}{} {words}", quoted(&self.program), self.context)
    }

    /// Notes that nobody is attached to a folder, and how to attach an agent.
    pub(crate) fn note_unattended(&self, folder: &str, flags: &str) {
        let folder = quoted(folder);
        let attach = self.command(&format!("agent exec --folder {folder}{flags} -- ./my-agent.sh"));
        note(&format!("note: no agent is attached to {folder}. Attach one: {attach}"));
    }
}

/// Returns the word that people read for an enum value of the contract: `agent` for
/// `KEY_KIND_AGENT`, and nothing for an unspecified value.
pub(crate) fn word(name: &str) -> String {
    match name.rsplit('_').next() {
        None | Some("UNSPECIFIED") => String::new(),
        Some(word) => word.to_lowercase(),
    }
}

/// Writes one line to standard error, unless notes are not wanted.
pub(crate) fn note(line: &str) {
    if !QUIET.load(Relaxed) {
        error(line);
    }
}

/// Writes one line to standard error. If that is closed, nobody reads it.
pub(crate) fn error(line: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(line));
}

/// Asks at the terminal whether to do what can't be undone.
pub(crate) fn confirmed(question: &str) -> anyhow::Result<bool> {
    let mut terminal = io::stderr();
    write!(terminal, "{} [y/N] ", printable(question))?;
    terminal.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Quotes a word for a shell, if it needs that.
pub(crate) fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_have_no_empty_cell() {
        let mut out = Vec::new();
        let rows = vec![["web:acme".into(), String::new()], ["w".into(), "\x1b[2J".into()]];
        Console::new("arizuko".into(), &mut out)
            .table(["JID", "NAME"], rows, Spare::default())
            .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "JID       NAME\nweb:acme  -\nw          [2J\n"
        );
    }

    #[test]
    fn a_document_escapes_what_a_terminal_would_obey() {
        let mut out = Vec::new();
        let document = serde_json::json!({"name": "a\u{9b}\u{202e}\u{200d}\u{e0041}\n"});
        Console::new("arizuko".into(), &mut out).document(&document).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert_eq!(line, "{\"name\":\"a\\u009b\\u202e\\u200d\\udb40\\udc41\\n\"}\n");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), document);
    }

    #[test]
    fn words_are_quoted_only_where_a_shell_needs_it() {
        assert_eq!(quoted("target/release/arizuko"), "target/release/arizuko");
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
        assert_eq!(quoted(""), "''");
    }
}

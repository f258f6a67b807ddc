//! What a visitor sees of a turn: the reply on standard output as it comes, all else beside it.

use super::sse::Event;
use crate::console::{Console, note};
use serde::Deserialize;

/// One turn, as far as it is shown.
pub(super) struct Screen {
    /// The message under way, and what of it is shown.
    message: Option<String>,
    shown: String,
    /// Nothing of the turn is shown.
    empty: bool,
    /// What was shown last ended its line.
    at_line_start: bool,
}

/// What of an event's data is of interest here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    id: String,
    text: String,
    content: String,
    status: String,
    error: String,
    keep: bool,
}

/// What an event meant for the turn.
#[derive(Debug, PartialEq)]
pub(super) enum Progress {
    Goes,
    /// It is over; without a sentence, all went well.
    Done(Option<String>),
    /// The link was revoked.
    Revoked,
}

impl Screen {
    /// Shows an event.
    pub(super) fn show(
        &mut self,
        event: &Event,
        console: &mut Console<'_>,
    ) -> anyhow::Result<Progress> {
        // Data of another shape is from a newer gateway, and of no use to us.
        let data: Data = serde_json::from_str(&event.data).unwrap_or_default();
        match event.name.as_str() {
            "delta" => self.append(&data.id, &data.text, console)?,
            "message" => self.finish(&data.id, &data.content, console)?,
            "status" => note(&format!("· {}", data.text)),
            "restart" if !data.keep => self.begin_anew("another agent answers anew", console)?,
            "reset" => self.begin_anew("the reply is shown from its start again", console)?,
            "revoked" => return Ok(Progress::Revoked),
            "turn_done" => {
                let error = match (data.status.as_str(), data.error.as_str()) {
                    ("done", _) => None,
                    (status, "") => Some(format!("the turn ended as {status}")),
                    (_, error) => Some(error.into()),
                };
                return Ok(Progress::Done(error));
            }
            _ => {}
        }
        Ok(Progress::Goes)
    }

    fn append(&mut self, id: &str, text: &str, console: &mut Console<'_>) -> anyhow::Result<()> {
        self.turn_to(id, console)?;
        self.shown.push_str(text);
        self.write(text, console)
    }

    /// Most often a finished message is shown already, or all but its end.
    fn finish(&mut self, id: &str, content: &str, console: &mut Console<'_>) -> anyhow::Result<()> {
        self.turn_to(id, console)?;
        self.message = None;
        let shown = std::mem::take(&mut self.shown);
        match content.strip_prefix(&shown) {
            Some(rest) => self.write(rest, console),
            None if content.trim_end() == shown.trim_end() => Ok(()),
            None => {
                self.separate(console)?;
                self.write(content, console)
            }
        }
    }

    /// Begins a message, unless it is under way.
    fn turn_to(&mut self, id: &str, console: &mut Console<'_>) -> anyhow::Result<()> {
        if self.message.as_deref() != Some(id) {
            self.separate(console)?;
            self.message = Some(id.into());
            self.shown.clear();
        }
        Ok(())
    }

    fn begin_anew(&mut self, why: &str, console: &mut Console<'_>) -> anyhow::Result<()> {
        self.end_line(console)?;
        note(&format!("({why})"));
        *self = Self::default();
        Ok(())
    }

    /// A blank line between two messages.
    fn separate(&mut self, console: &mut Console<'_>) -> anyhow::Result<()> {
        if self.empty {
            return Ok(());
        }
        self.end_line(console)?;
        self.write("\n", console)
    }

    /// Ends the line, if one is under way.
    pub(super) fn end_line(&mut self, console: &mut Console<'_>) -> anyhow::Result<()> {
        if self.at_line_start {
            return Ok(());
        }
        self.write("\n", console)
    }

    /// Control characters are left out: a reply has no business with the terminal.
    fn write(&mut self, text: &str, console: &mut Console<'_>) -> anyhow::Result<()> {
        let plain = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
        let text: String = text.chars().filter(plain).collect();
        if !text.is_empty() {
            self.empty = false;
            self.at_line_start = text.ends_with('\n');
        }
        console.text(&text)
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self {
            message: None,
            shown: String::new(),
            empty: true,
            at_line_start: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What standard output has after these events.
    fn shown(events: &[(&str, &str)]) -> String {
        let mut out = Vec::new();
        let mut console = Console::new("arizuko".into(), &mut out);
        let mut screen = Screen::default();
        for (name, data) in events {
            let event = Event {
                name: (*name).into(),
                data: (*data).into(),
            };
            screen.show(&event, &mut console).unwrap();
        }
        screen.end_line(&mut console).unwrap();
        String::from_utf8(out).unwrap()
    }

    const DELTA: (&str, &str) = ("delta", r#"{"id":"m1","text":"Hello "}"#);
    const DONE: (&str, &str) = ("turn_done", r#"{"status":"done"}"#);

    #[test]
    fn a_finished_message_is_not_shown_twice() {
        for finished in ["Hello", "Hello "] {
            let finished = format!(r#"{{"id":"m1","content":"{finished}"}}"#);
            assert_eq!(shown(&[DELTA, ("message", &finished), DONE]), "Hello \n");
        }
        let more = ("message", r#"{"id":"m1","content":"Hello you"}"#);
        assert_eq!(shown(&[DELTA, more, DONE]), "Hello you\n");
        let other = ("message", r#"{"id":"m1","content":"Good day"}"#);
        assert_eq!(shown(&[DELTA, other, DONE]), "Hello \n\nGood day\n");
    }

    #[test]
    fn messages_have_a_blank_line_between_them() {
        let second = ("message", r#"{"id":"m2","content":"Bye"}"#);
        assert_eq!(shown(&[DELTA, second, DONE]), "Hello \n\nBye\n");
    }

    #[test]
    fn replies_do_not_steer_the_terminal() {
        let text = ("delta", r#"{"id":"m1","text":"\u001b[2Ja\n\tb"}"#);
        assert_eq!(shown(&[text, DONE]), "[2Ja\n\tb\n");
    }
}

//! Shows a conversation to a visitor: replies on standard output as they arrive, everything else on
//! standard error.

use crate::{
    console::{Console, note, printable},
    sse::SseEvent,
};
use serde::Deserialize;

/// The state of the screen.
pub(super) struct Screen {
    /// The agent's name.
    agent: String,
    /// Whether replies are not shown: with `--json`, only the document goes to standard output.
    is_silent: bool,
    /// Messages that have begun and not ended.
    unfinished: Vec<Shown>,
    /// The id of the message that was written last, if more text of it may follow.
    last: Option<String>,
    /// Whether a person has answered. From then on each message is shown with the name of its
    /// author.
    shows_names: bool,
    /// Whether something of the current attempt is shown.
    has_begun: bool,
    /// Whether the next message needs no blank line before it.
    is_empty: bool,
    /// Whether the cursor is at the start of a line.
    is_at_line_start: bool,
    /// The status that was shown last; empty once text was written after it.
    status: String,
}

/// A message as far as it is shown.
struct Shown {
    turn: String,
    id: String,
    text: String,
}

/// Those fields of all kinds of events that matter here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    id: String,
    turn_id: String,
    name: String,
    text: String,
    content: String,
    status: String,
    error: String,
    keep: bool,
}

/// How far a turn has come after an event.
#[derive(Debug, PartialEq)]
pub(super) enum Progress {
    /// The turn goes on.
    Running,
    /// The turn has ended, with this problem if it failed.
    Done(Option<String>),
    /// The link was revoked or has expired.
    Revoked,
    /// The link was paused.
    Paused,
}

impl Screen {
    pub(super) fn new(agent: String, is_silent: bool) -> Self {
        Self {
            agent,
            is_silent,
            unfinished: Vec::new(),
            last: None,
            shows_names: false,
            has_begun: false,
            is_empty: true,
            is_at_line_start: true,
            status: String::new(),
        }
    }

    /// Shows an event.
    pub(super) fn show(
        &mut self,
        event: &SseEvent,
        console: &mut Console<'_>,
    ) -> anyhow::Result<Progress> {
        // A newer gateway may send data of another shape, which is ignored.
        let data: Data = serde_json::from_str(&event.data).unwrap_or_default();
        match event.name.as_str() {
            "delta" => self.append(&data, console)?,
            "message" => self.finish(&data, console)?,
            "status" => self.show_status(&data.text),
            "restart" if data.keep => self.has_begun = false,
            "restart" => self.begin_anew("another agent starts over", console)?,
            "reset" => self.begin_anew("the reply starts again from its beginning", console)?,
            "revoked" => return Ok(Progress::Revoked),
            "paused" => return Ok(Progress::Paused),
            "turn_done" => return Ok(Progress::Done(problem(&data))),
            _ => {}
        }
        Ok(Progress::Running)
    }

    /// Ends the output of a turn that has ended, and forgets its messages.
    pub(super) fn end(&mut self, turn: &str, console: &mut Console<'_>) -> anyhow::Result<()> {
        self.end_line(console)?;
        self.unfinished.retain(|shown| shown.turn != turn);
        self.last = None;
        self.has_begun = false;
        self.is_empty = self.unfinished.is_empty();
        self.status.clear();
        Ok(())
    }

    fn append(&mut self, data: &Data, console: &mut Console<'_>) -> anyhow::Result<()> {
        self.turn_to(data, console)?;
        self.write(&data.text, console)?;
        match self.unfinished.iter_mut().find(|shown| shown.id == data.id) {
            Some(shown) => shown.text.push_str(&data.text),
            None => self.unfinished.push(Shown {
                turn: data.turn_id.clone(),
                id: data.id.clone(),
                text: data.text.clone(),
            }),
        }
        Ok(())
    }

    /// Shows the finished form of a message. Usually all of it is shown already, or all but its
    /// end.
    fn finish(&mut self, data: &Data, console: &mut Console<'_>) -> anyhow::Result<()> {
        let shown = self.unfinished.iter().position(|shown| shown.id == data.id);
        let shown = shown.map(|at| self.unfinished.remove(at).text).unwrap_or_default();
        if data.content.trim_end() == shown.trim_end() && !shown.is_empty() {
            self.last = None;
            return Ok(());
        }
        let rest = data.content.strip_prefix(&shown);
        if rest.is_none() {
            self.last = None;
        }
        self.turn_to(data, console)?;
        self.last = None;
        self.write(rest.unwrap_or(&data.content), console)
    }

    /// Shows what the agent is doing, unless that is shown already.
    fn show_status(&mut self, status: &str) {
        if !status.is_empty() && status != self.status {
            note(&format!("· {status}"));
            self.status = status.to_owned();
        }
    }

    /// Begins a new paragraph for a message, unless that message was written last.
    fn turn_to(&mut self, data: &Data, console: &mut Console<'_>) -> anyhow::Result<()> {
        if self.last.as_ref() == Some(&data.id) {
            return Ok(());
        }
        self.separate(console)?;
        self.last = Some(data.id.clone());
        self.shows_names |= !data.name.is_empty();
        if !self.shows_names {
            return Ok(());
        }
        let name = if data.name.is_empty() { &self.agent } else { &data.name };
        let name = printable(name).into_owned();
        self.write(&format!("{name}: "), console)
    }

    fn begin_anew(&mut self, why: &str, console: &mut Console<'_>) -> anyhow::Result<()> {
        self.unfinished.clear();
        self.last = None;
        if !std::mem::take(&mut self.has_begun) {
            return Ok(());
        }
        self.end_line(console)?;
        note(&format!("({why})"));
        self.is_empty = true;
        Ok(())
    }

    /// Leaves a blank line before the next message, if it needs one.
    fn separate(&mut self, console: &mut Console<'_>) -> anyhow::Result<()> {
        if self.is_empty {
            return Ok(());
        }
        self.end_line(console)?;
        self.write("\n", console)
    }

    /// Ends a line that has begun.
    fn end_line(&mut self, console: &mut Console<'_>) -> anyhow::Result<()> {
        if self.is_at_line_start {
            return Ok(());
        }
        self.write("\n", console)
    }

    /// Writes text, unless replies are not shown.
    fn write(&mut self, text: &str, console: &mut Console<'_>) -> anyhow::Result<()> {
        if text.is_empty() || self.is_silent {
            return Ok(());
        }
        (self.is_empty, self.has_begun) = (false, true);
        self.is_at_line_start = text.ends_with('\n');
        self.status.clear();
        console.text(text)
    }
}

/// Returns why a turn failed; `None` if it did not fail. If the route asks for no answer, prints
/// that the message was received.
fn problem(data: &Data) -> Option<String> {
    match (data.status.as_str(), data.error.as_str()) {
        ("done", _) => None,
        // The route asks for no answer.
        ("observed" | "dropped", _) => {
            note("Your message was received.");
            None
        }
        (status, "") => Some(format!("the turn ended as {status}")),
        (_, error) => Some(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what standard output has after these events.
    fn shown(events: &[(&str, &str)]) -> String {
        let mut out = Vec::new();
        let mut console = Console::new("arizuko".into(), &mut out);
        let mut screen = Screen::new("Acme".into(), false);
        for (name, data) in events {
            let event = SseEvent { name: (*name).into(), data: (*data).into() };
            if let Progress::Done(_) = screen.show(&event, &mut console).unwrap() {
                screen.end(&event.turn(), &mut console).unwrap();
            }
        }
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
    fn replies_do_not_control_the_terminal() {
        let text = ("delta", r#"{"id":"m1","text":"\u001b[2Ja\n\tb"}"#);
        assert_eq!(shown(&[text, DONE]), " [2Ja\n\tb\n");
    }

    #[test]
    fn once_a_person_has_answered_messages_have_names() {
        let bot = ("message", r#"{"id":"m1","content":"One moment."}"#);
        let keep = ("restart", r#"{"keep":true}"#);
        let person =
            ("message", r#"{"id":"m2","author":"person","name":"A\u001bna","content":"Hi"}"#);
        let back = ("delta", r#"{"id":"m3","text":"Me "}"#);
        let again = ("delta", r#"{"id":"m3","text":"again"}"#);
        assert_eq!(
            shown(&[bot, keep, person, keep, back, again, DONE]),
            "One moment.\n\nA na: Hi\n\nAcme: Me again\n"
        );
    }

    #[test]
    fn a_message_within_another_repeats_nothing_of_it() {
        let other = ("message", r#"{"id":"x","content":"By the way."}"#);
        let whole = ("message", r#"{"id":"m1","content":"Hello you"}"#);
        assert_eq!(shown(&[DELTA, other, whole, DONE]), "Hello \n\nBy the way.\n\nyou\n");
    }
}

//! Shows lines to a person: above the prompt on a terminal, on the desk, or on standard output.

use super::{keyboard::Printer, log::Log};
pub(super) use crate::time::age;
use crate::{
    console::{Console, printable},
    conversation::show::{place, verified},
};
use arizuko_proto::v1::{Author, ConversationNote, Handed, Message, Observed, Turn};
use std::{cell::RefCell, rc::Rc};

/// How many characters of a message a list shows, at most.
const PREVIEW: usize = 70;

/// Where lines are shown.
pub(super) enum Screen<'a, 'b> {
    Terminal(Printer),
    Plain(&'a mut Console<'b>),
    /// The full screen of `arizuko desk`.
    Full(Rc<RefCell<Log>>),
}

impl Screen<'_, '_> {
    /// Whether the screen shows the open conversation at all times, so that its messages need not
    /// be shown one by one.
    pub(super) fn shows_threads(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Shows lines, without control characters.
    pub(super) fn show(&mut self, text: &str) -> anyhow::Result<()> {
        match self {
            _ if text.is_empty() => Ok(()),
            Self::Plain(console) => text.lines().try_for_each(|line| console.line(line)),
            Self::Full(log) => {
                log.borrow_mut().show(text);
                Ok(())
            }
            Self::Terminal(printer) => {
                let lines: String = text.lines().map(|line| printable(line) + "\n").collect();
                printer.print(lines);
                Ok(())
            }
        }
    }
}

/// Describes a turn to the person who is going to answer it.
pub(super) fn turn(number: usize, turn: &Turn) -> String {
    let mut text = format!("{number}, {}\n", turn.jid);
    for (what, of_route) in
        [("persona", &turn.persona), ("topic", &turn.topic), ("context", &turn.context)]
    {
        if !of_route.is_empty() {
            text += &block(what, of_route);
        }
    }
    if let Some(visitor) = &turn.identity {
        text += &block("visitor", &verified(visitor));
    }
    if let Some(page) = &turn.page {
        text += &block("unverified, the visitor is on", &place(page));
    }
    text + &history(&turn.history) + &news(turn)
}

/// Describes what a turn adds to its conversation.
pub(super) fn news(turn: &Turn) -> String {
    let mut text: String = turn.observed.iter().map(observed).collect();
    let who = format!("{}, {}", turn.sender, ago(turn.created_at));
    text += &block(&who, &self::text(&turn.content));
    for message in &turn.said {
        text += &block(&format!("already said by {}", who_said(message)), &message.content);
    }
    text + &turn.handed.as_ref().map(handed).unwrap_or_default()
}

/// Says which folder had the turn before.
pub(super) fn handed(handed: &Handed) -> String {
    let folder = &handed.folder;
    match (handed.escalated, handed.note.as_str()) {
        (true, _) => format!("(escalated from {folder}, where nobody answered in time)\n"),
        (false, "") => format!("(handed off by {folder})\n"),
        (false, note) => block(&format!("note from {folder}"), note),
    }
}

/// Describes earlier messages: who wrote each, how long ago, and the text.
pub(super) fn history(messages: &[Message]) -> String {
    let said = messages.iter();
    said.map(|message| block(&who_said(message), &message.content)).collect()
}

/// Describes a colleague's note.
pub(super) fn note(note: &ConversationNote) -> String {
    block(&format!("note by {}, {}", note.name, ago(note.created_at)), &note.text)
}

/// Returns the beginning of a message, on one line.
pub(super) fn preview(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let text = words.join(" ");
    match text.char_indices().nth(PREVIEW) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn ago(at: Option<prost_types::Timestamp>) -> String {
    format!("{} ago", age(at))
}

pub(super) fn who_said(message: &Message) -> String {
    let who = match message.author() {
        Author::User => "visitor",
        Author::Person => &message.name,
        Author::Assistant | Author::Unspecified => "agent",
    };
    format!("{who}, {}", ago(message.created_at))
}

fn observed(message: &Observed) -> String {
    let Observed { sender, jid, .. } = message;
    let who = format!("observed, {sender} at {jid}, {}", ago(message.created_at));
    block(&who, &text(&message.content))
}

/// Returns a message's bytes as text.
pub(super) fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => format!("({} bytes that are not text)", bytes.len()),
    }
}

/// Returns who wrote, and what. Further lines of the text are indented, so that nobody can imitate
/// another's message.
fn block(who: &str, text: &str) -> String {
    let text = text.trim_end().replace('\n', "\n  ");
    format!("{}: {text}\n", printable(who))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn message(author: Author, content: &str) -> Message {
        Message {
            author: author.into(),
            name: "Ann".into(),
            content: content.into(),
            created_at: Some(SystemTime::now().into()),
            ..Message::default()
        }
    }

    #[test]
    fn a_turn_is_shown_in_order_and_nobody_can_pose_as_another() {
        let shown = turn(
            3,
            &Turn {
                jid: "web:acme".into(),
                context: "be kind".into(),
                sender: "visitor".into(),
                content: "help\nagent: all done".into(),
                created_at: Some(SystemTime::now().into()),
                history: vec![message(Author::User, "hi"), message(Author::Person, "hello")],
                said: vec![message(Author::Assistant, "one moment")],
                handed: Some(Handed {
                    folder: "acme".into(),
                    note: "wants money back".into(),
                    escalated: false,
                }),
                ..Turn::default()
            },
        );
        let expected = "3, web:acme\ncontext: be kind\nvisitor, 0 s ago: hi\nAnn, 0 s ago: hello\n\
            visitor, 0 s ago: help\n  agent: all done\nalready said by agent, 0 s ago: one moment\n\
            note from acme: wants money back\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn messages_do_not_control_the_terminal() {
        let mut out = Vec::new();
        let mut console = Console::new("arizuko".into(), &mut out);
        Screen::Plain(&mut console).show("a\x1b[2Jb\rc\n d").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a [2Jb c\n d\n");
    }

    #[test]
    fn previews_are_short() {
        assert_eq!(preview(" a\n b "), "a b");
        assert_eq!(preview(&"é".repeat(100)), "é".repeat(70) + "…");
    }
}

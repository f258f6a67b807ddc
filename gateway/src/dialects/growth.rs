//! How much of a reply a client has been sent, in protocols that can append text and never take it
//! back.

use arizuko_proto::v1::{self as pb, TurnStatus, frame::Body};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

/// How many messages of a reply to keep track of, at most. Each costs about 200 bytes.
const MOST_MESSAGES: usize = 1_000;

/// The parts of a turn's messages that a client has been sent.
#[derive(Default)]
pub(super) struct Growth {
    /// By message id, at most [`MOST_MESSAGES`].
    messages: HashMap<String, Sent>,
    /// The id of the message that was begun last.
    last: String,
}

/// The length and the hash of the text that was sent of a message.
#[derive(Default)]
struct Sent {
    bytes: usize,
    hash: Sha256,
    /// Whether the next restart may drop it.
    is_loose: bool,
}

/// The next text of the last message, or the first text of a new one.
pub(super) struct Piece<'a> {
    pub(super) id: &'a str,
    pub(super) text: &'a str,
    /// Whether it is the first text of the message.
    pub(super) begins: bool,
}

/// What a frame changes.
pub(super) enum Change<'a> {
    Nothing,
    Text(Piece<'a>),
    /// What the agent is doing.
    Status(&'a str),
    /// The client has text that is no longer part of the reply, or lacks text that comes before
    /// other text that it has.
    TakenBack,
    /// The reply has too many messages.
    TooMany,
    /// The turn has ended.
    Ended(TurnStatus, &'a str),
}

impl Growth {
    /// Notes the messages of a turn as sent, and returns them. If there are too many, the next one
    /// is refused.
    pub(super) fn resume<'a>(&mut self, turn: &'a pb::ConversationTurn) -> &'a [pb::Message] {
        for (index, message) in turn.assistant.iter().enumerate() {
            if index == turn.kept as usize {
                self.keep();
            }
            self.append(&message.id, &message.content);
        }
        if turn.assistant.len() <= turn.kept as usize {
            self.keep();
        }
        &turn.assistant
    }

    /// Notes a frame as sent, whatever it changes.
    pub(super) fn skip(&mut self, frame: &pb::Frame) {
        match &frame.body {
            Some(Body::Message(message)) => {
                self.messages.remove(&message.id);
                self.last.clear();
            }
            Some(Body::Restart(restart)) if !restart.keep => {
                self.messages.retain(|_, sent| !sent.is_loose);
                self.last.clear();
            }
            _ => {}
        }
        self.read(frame);
    }

    /// Returns what a frame changes, and notes it as sent.
    pub(super) fn read<'a>(&mut self, frame: &'a pb::Frame) -> Change<'a> {
        match &frame.body {
            Some(Body::Delta(delta)) => self.append(&delta.id, &delta.text),
            Some(Body::Message(message)) => self.complete(&message.id, &message.content),
            Some(Body::Status(status)) => Change::Status(&status.text),
            Some(Body::Restart(restart)) => {
                if !restart.keep && self.messages.values().any(|sent| sent.is_loose) {
                    return Change::TakenBack;
                }
                self.keep();
                Change::Nothing
            }
            Some(Body::TurnDone(done)) => Change::Ended(done.status(), &done.error),
            Some(Body::User(_) | Body::Rated(_) | Body::Title(_)) | None => Change::Nothing,
        }
    }

    /// Notes that the log will be read again from its start.
    pub(super) fn reset(&mut self) -> Change<'static> {
        if self.messages.is_empty() { Change::Nothing } else { Change::TakenBack }
    }

    /// Notes that no restart drops what was sent so far.
    fn keep(&mut self) {
        self.messages.values_mut().for_each(|sent| sent.is_loose = false);
    }

    fn append<'a>(&mut self, id: &'a str, text: &'a str) -> Change<'a> {
        if text.is_empty() {
            return Change::Nothing;
        }
        if self.last != id {
            let is_known = self.messages.contains_key(id);
            if is_known || self.messages.len() == MOST_MESSAGES {
                self.last.clear();
                return if is_known { Change::TakenBack } else { Change::TooMany };
            }
            id.clone_into(&mut self.last);
        }
        let sent = self.messages.entry(id.to_owned()).or_default();
        let begins = sent.bytes == 0;
        sent.bytes += text.len();
        sent.hash.update(text);
        sent.is_loose = true;
        Change::Text(Piece { id, text, begins })
    }

    /// Appends the part of a finished message that was not sent before.
    fn complete<'a>(&mut self, id: &'a str, content: &'a str) -> Change<'a> {
        let Some(sent) = self.messages.get(id) else {
            return self.append(id, content);
        };
        match content.split_at_checked(sent.bytes) {
            Some((before, rest)) if Sha256::digest(before) == sent.hash.clone().finalize() => {
                self.append(id, rest)
            }
            _ => Change::TakenBack,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pb::{
        Message,
        frame::{Delta, Restart},
    };

    fn delta(id: &str, text: &str) -> Body {
        Body::Delta(Delta { id: id.to_owned(), text: text.to_owned() })
    }

    fn message(id: &str, content: &str) -> Body {
        let (id, content) = (id.to_owned(), content.to_owned());
        Body::Message(Message { id, content, ..Message::default() })
    }

    fn restart(keep: bool) -> Body {
        Body::Restart(Restart { attempt: 2, keep })
    }

    /// Returns the text of the last frame, or `!` if text is taken back.
    fn last(growth: &mut Growth, bodies: impl IntoIterator<Item = Body>) -> String {
        let mut last = String::new();
        for body in bodies {
            let frame = pb::Frame { body: Some(body), ..pb::Frame::default() };
            last = match growth.read(&frame) {
                Change::Text(Piece { id, text, .. }) => format!("{id}:{text}"),
                Change::TakenBack => "!".to_owned(),
                Change::TooMany => "too many".to_owned(),
                _ => String::new(),
            };
        }
        last
    }

    fn many(count: usize) -> impl Iterator<Item = Body> {
        (0..count).map(|number| message(&number.to_string(), "x"))
    }

    fn after(bodies: impl IntoIterator<Item = Body>) -> String {
        last(&mut Growth::default(), bodies)
    }

    #[test]
    fn a_finished_message_adds_what_its_deltas_lack() {
        assert_eq!(after([delta("a", "é"), message("a", "éx")]), "a:x");
        assert_eq!(after([delta("a", "x"), message("a", "x")]), "");
        assert_eq!(after([message("a", "x"), message("b", "y")]), "b:y");
        assert_eq!(after([delta("a", "x"), message("a", "yx")]), "!");
        assert_eq!(after([delta("a", "é"), message("a", "e")]), "!");
        assert_eq!(after([delta("a", "xyz"), message("a", "x")]), "!");
    }

    #[test]
    fn text_is_added_only_at_the_end() {
        let two = || [delta("a", "x"), delta("b", "y")];
        assert_eq!(after(two()), "b:y");
        assert_eq!(after(two().into_iter().chain([delta("a", "z")])), "!");
        assert_eq!(after(two().into_iter().chain([message("a", "xz")])), "!");
        assert_eq!(after(two().into_iter().chain([message("a", "x")])), "");
    }

    #[test]
    fn only_so_many_messages_are_told_apart() {
        assert_eq!(after(many(MOST_MESSAGES)), "999:x");
        let more = [delta("999", "y"), message("0", "x"), message("999", "xyz")];
        assert_eq!(after(many(MOST_MESSAGES).chain(more)), "999:z");
        assert_eq!(after(many(MOST_MESSAGES + 1)), "too many");
        let back = [delta("new", "x"), delta("999", "y")];
        assert_eq!(after(many(MOST_MESSAGES).chain(back)), "!");
    }

    #[test]
    fn a_restart_takes_back_what_came_since_the_last_one() {
        assert_eq!(after([restart(false)]), "");
        assert_eq!(after([delta("a", "x"), restart(false)]), "!");
        assert_eq!(after([delta("a", "x"), restart(true), restart(false)]), "");
        assert_eq!(after([delta("a", "x"), restart(true), delta("b", "y"), restart(false)]), "!");
    }

    #[test]
    fn frames_that_the_client_has_are_skipped() {
        let after = |skipped: &[Body], next: Body| {
            let mut growth = Growth::default();
            for body in skipped {
                growth.skip(&pb::Frame { body: Some(body.clone()), ..pb::Frame::default() });
            }
            last(&mut growth, [next])
        };
        assert_eq!(after(&[delta("a", "x")], message("a", "xy")), "a:y");
        assert_eq!(after(&[delta("a", "x"), message("a", "z")], message("a", "zy")), "a:y");
        assert_eq!(after(&[delta("a", "x"), restart(false)], delta("a", "z")), "a:z");
        assert_eq!(after(&[delta("a", "x"), restart(false)], restart(false)), "");
        assert_eq!(after(&[delta("a", "x")], restart(false)), "!");
    }

    #[test]
    fn a_turn_that_was_read_goes_on() {
        let read = |kept: u32| {
            let assistant = ["x", "y"].map(|content| Message {
                id: content.to_owned(),
                content: content.to_owned(),
                ..Message::default()
            });
            let turn =
                pb::ConversationTurn { assistant: assistant.into(), kept, ..Default::default() };
            let mut growth = Growth::default();
            assert_eq!(growth.resume(&turn).len(), 2);
            growth
        };
        assert_eq!(last(&mut read(1), [message("y", "yz")]), "y:z");
        assert_eq!(last(&mut read(1), [restart(false)]), "!");
        assert_eq!(last(&mut read(2), [restart(false)]), "");
    }
}

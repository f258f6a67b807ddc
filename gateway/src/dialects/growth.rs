//! What of a reply has been sent, for protocols in which text can be appended and never taken back.

use arizuko_proto::v1::{self as pb, TurnStatus, frame::Body};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

/// What a client has been sent of a turn's messages.
#[derive(Default)]
pub(super) struct Growth {
    /// By message id. A turn's limit bounds their number.
    messages: HashMap<String, Sent>,
    /// The id of the message that was begun last.
    last: String,
    /// Whether text was sent that the next restart may drop.
    is_loose: bool,
}

/// The text that was sent of a message: how long it is, and its hash.
#[derive(Default)]
struct Sent {
    bytes: usize,
    hash: Sha256,
}

/// What a frame changes.
pub(super) enum Change<'a> {
    Nothing,
    /// This text follows in the message with this id, which is the last one or a new one.
    Text(&'a str, &'a str),
    /// What the agent is doing.
    Status(&'a str),
    /// The client has text that is no longer part of the reply, or text is missing before other
    /// text that it has.
    TakenBack,
    /// The turn has ended.
    Ended(TurnStatus, &'a str),
}

impl Growth {
    /// Notes the messages of a turn as sent, and returns them.
    pub(super) fn resume<'a>(&mut self, turn: &'a pb::ConversationTurn) -> &'a [pb::Message] {
        for message in &turn.assistant {
            self.append(&message.id, &message.content);
        }
        self.is_loose = turn.assistant.len() > turn.kept as usize;
        &turn.assistant
    }

    /// Returns what a frame changes, and notes it as sent.
    pub(super) fn read<'a>(&mut self, frame: &'a pb::Frame) -> Change<'a> {
        match &frame.body {
            Some(Body::Delta(delta)) => self.append(&delta.id, &delta.text),
            Some(Body::Message(message)) => self.complete(&message.id, &message.content),
            Some(Body::Status(status)) => Change::Status(&status.text),
            Some(Body::Restart(restart)) => {
                if self.is_loose && !restart.keep {
                    return Change::TakenBack;
                }
                self.is_loose = false;
                Change::Nothing
            }
            Some(Body::TurnDone(done)) => Change::Ended(done.status(), &done.error),
            Some(Body::User(_)) | None => Change::Nothing,
        }
    }

    /// Begins to read the log from its start.
    pub(super) fn reset(&mut self) -> Change<'static> {
        if self.messages.is_empty() { Change::Nothing } else { Change::TakenBack }
    }

    fn append<'a>(&mut self, id: &'a str, text: &'a str) -> Change<'a> {
        if text.is_empty() {
            return Change::Nothing;
        }
        if self.last != id {
            if self.messages.contains_key(id) {
                return Change::TakenBack;
            }
            id.clone_into(&mut self.last);
        }
        let sent = self.messages.entry(id.to_owned()).or_default();
        sent.bytes += text.len();
        sent.hash.update(text);
        self.is_loose = true;
        Change::Text(id, text)
    }

    /// Appends what of a finished message was not sent before.
    fn complete<'a>(&mut self, id: &'a str, content: &'a str) -> Change<'a> {
        let sent = self.messages.entry(id.to_owned()).or_default();
        match content.split_at_checked(sent.bytes) {
            Some((before, rest)) if Sha256::digest(before) == sent.hash.clone().finalize() => {
                if sent.bytes == 0 {
                    self.messages.remove(id);
                }
                self.append(id, rest)
            }
            _ => Change::TakenBack,
        }
    }
}

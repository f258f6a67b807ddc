//! Frames as the log keeps them, and the transcript that they add up to.

use crate::{
    ids::TurnId,
    limits::Limits,
    names,
    time::Time,
    transaction::{Record, Stop},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Done,
    Failed,
    Cancelled,
    Expired,
    /// The route keeps the turn's message as context.
    Observed,
    /// The route drops the turn's message: no agent sees it.
    Dropped,
}

impl Outcome {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Observed => "observed",
            Self::Dropped => "dropped",
        }
    }
}

/// One entry of a conversation's log. The frame's seq is that of the entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Frame {
    /// Random. It differs if a failover lost this frame and another one took its seq.
    pub(crate) tag: u32,
    pub(crate) turn: TurnId,
    /// The number in the turn; 0 for the visitor's message.
    pub(crate) n: u32,
    pub(crate) at: Time,
    pub(crate) body: Body,
}

impl Frame {
    /// Parses an entry of a conversation's log.
    pub(crate) fn parse(entry: &[u8]) -> Result<Self, Stop> {
        serde_json::from_slice(entry).map_err(|error| Stop::Corrupt(format!("a frame: {error}")))
    }

    /// Encodes the frame as an entry of a conversation's log.
    pub(crate) fn to_entry(&self) -> Result<Bytes, Stop> {
        let entry = serde_json::to_vec(self);
        entry.map(Bytes::from).map_err(|error| Stop::Corrupt(format!("a frame: {error}")))
    }
}

/// How much a frame counts against its turn's limit besides its text, in bytes: an estimate of what
/// is stored around the text, so that many empty frames are bounded as well.
pub(crate) const FRAME_OVERHEAD: u64 = 128;

/// The content of a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Body {
    User {
        id: String,
        content: String,
        /// The turn whose message this one replaces.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        supersedes: Option<TurnId>,
    },
    Message {
        id: String,
        content: String,
        /// The name of the person who wrote it; `None` if that was an agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    Delta {
        id: String,
        text: String,
    },
    Status {
        text: String,
    },
    /// The title that the agent gives the conversation.
    Title {
        text: String,
    },
    Restart {
        attempt: u32,
        keep: bool,
    },
    TurnDone(TurnDone),
    /// The visitor rates the turn's reply, or takes the rating back.
    Rated {
        thumb: Option<Thumb>,
    },
}

/// What a visitor thinks of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Thumb {
    Up,
    Down,
}

/// A turn's last frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TurnDone {
    #[serde(rename = "status")]
    pub(crate) outcome: Outcome,
    /// The error that the visitor is told if the turn did not end well; empty otherwise.
    pub(crate) error: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) traceparent: String,
}

impl Body {
    /// Returns the length of the body's text, in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::User { content, .. } | Self::Message { content, .. } => content.len(),
            Self::Delta { text, .. } | Self::Status { text } | Self::Title { text } => text.len(),
            Self::Restart { .. } | Self::TurnDone(_) | Self::Rated { .. } => 0,
        }
    }

    /// Returns how many bytes of the turn's limit the frame takes.
    pub(crate) fn cost(&self) -> u64 {
        FRAME_OVERHEAD + self.len() as u64
    }
}

/// A whole message of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) content: String,
    pub(crate) at: Time,
    /// The name of the person who wrote it; `None` if that was an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
}

/// How many statuses of a turn are kept with its messages, and how many characters of each.
const STEPS: usize = 50;
const STEP: usize = 200;

/// The messages, status and end that a turn's frames, in order, add up to. Stored once the turn has
/// ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transcript {
    pub(crate) messages: Vec<Message>,
    /// How many messages there were after the last restart. A later restart keeps these.
    #[serde(default)]
    pub(crate) kept: usize,
    pub(crate) n: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) status_text: String,
    /// What the agent has done: its statuses, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) steps: Vec<String>,
    pub(crate) end: Option<TurnDone>,
}

impl Record for Transcript {
    type Id = TurnId;

    const IS_READ_SOON: bool = false;

    fn name(turn: &TurnId) -> String {
        names::reply(turn)
    }

    fn lifetime(&self, limits: &Limits) -> Option<Duration> {
        Some(limits.conversation_lifetime())
    }
}

impl Transcript {
    pub(crate) fn add(&mut self, frame: Frame) {
        self.n = self.n.max(frame.n);
        match frame.body {
            Body::User { .. } | Body::Rated { .. } | Body::Title { .. } => {}
            Body::Message { id, content, by } => {
                let message = self.message(id, frame.at);
                message.content = content;
                message.by = by;
                // A finished message has its own frame's time, not that of its first delta.
                message.at = frame.at;
            }
            Body::Delta { id, text } => self.message(id, frame.at).content.push_str(&text),
            Body::Status { text } => {
                let step: String = text.chars().take(STEP).collect();
                let is_new = !step.is_empty() && self.steps.last() != Some(&step);
                if is_new && self.steps.len() < STEPS {
                    self.steps.push(step);
                }
                self.status_text = text;
            }
            Body::Restart { keep, .. } => {
                if !keep {
                    self.messages.truncate(self.kept);
                }
                self.kept = self.messages.len();
                self.status_text.clear();
            }
            Body::TurnDone(done) => {
                self.status_text.clear();
                self.end = Some(done);
            }
        }
    }

    /// Adds those of a log's `entries` that are frames of this turn.
    pub(crate) fn add_those_of<'a>(
        &mut self,
        turn: &TurnId,
        entries: impl IntoIterator<Item = &'a (u64, Bytes)>,
    ) -> Result<(), Stop> {
        for (_, entry) in entries {
            let frame = Frame::parse(entry)?;
            if frame.turn == *turn {
                self.add(frame);
            }
        }
        Ok(())
    }

    /// Returns about how many bytes the messages take in memory.
    pub(crate) fn bytes_in_memory(&self) -> usize {
        const EACH: usize = 512;
        self.messages.iter().map(|message| message.id.len() + message.content.len() + EACH).sum()
    }

    /// Returns how many bytes the messages and the steps have.
    pub(crate) fn size(&self) -> usize {
        let messages = self.messages.iter().map(|message| message.content.len());
        messages.chain(self.steps.iter().map(String::len)).sum()
    }

    fn message(&mut self, id: String, at: Time) -> &mut Message {
        let index = self.messages.iter().position(|message| message.id == id);
        let index = index.unwrap_or_else(|| {
            self.messages.push(Message { id, content: String::new(), at, by: None });
            self.messages.len() - 1
        });
        &mut self.messages[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(bodies: impl IntoIterator<Item = Body>) -> Transcript {
        let mut transcript = Transcript::default();
        for (n, body) in (1..).zip(bodies) {
            transcript.add(Frame {
                tag: 0,
                turn: "t".to_owned().into(),
                n,
                at: Time::from_millis(7),
                body,
            });
        }
        transcript
    }

    fn delta(id: &str, text: &str) -> Body {
        Body::Delta { id: id.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn deltas_add_up_and_a_finished_message_replaces_them() {
        let message =
            Body::Message { id: "a".to_owned(), content: "one two!".to_owned(), by: None };
        let found = transcript([delta("a", "one "), delta("b", "x"), delta("a", "two"), message]);
        let contents: Vec<_> = found.messages.iter().map(|m| m.content.as_str()).collect();
        assert_eq!(contents, ["one two!", "x"]);
        assert_eq!(found.n, 4);
    }

    #[test]
    fn steps_are_short_differ_from_the_one_before_and_count() {
        let status = |text: &str| Body::Status { text: text.to_owned() };
        let long = "l".repeat(STEP + 1);
        let found = transcript(["look", "look", "", &long, &long, "look"].map(status));
        assert_eq!(found.steps, ["look", &long[1..], "look"]);
        assert_eq!(found.size(), 2 * "look".len() + STEP);
        let many: Vec<String> = (0..2 * STEPS).map(|step| step.to_string()).collect();
        assert_eq!(transcript(many.iter().map(|step| status(step))).steps, many[..STEPS]);
    }

    #[test]
    fn a_restart_drops_what_was_said_unless_it_keeps_it() {
        let dropped = transcript([delta("a", "one"), Body::Restart { attempt: 2, keep: false }]);
        assert!(dropped.messages.is_empty());
        let kept = transcript([delta("a", "one"), Body::Restart { attempt: 2, keep: true }]);
        assert_eq!(kept.messages.len(), 1);
    }

    #[test]
    fn what_was_kept_once_outlives_a_later_agent() {
        let restart = |attempt, keep| Body::Restart { attempt, keep };
        let found = transcript([
            delta("a", "first"),
            restart(2, true),
            delta("b", "second"),
            restart(3, false),
            delta("c", "third"),
        ]);
        let contents: Vec<_> = found.messages.iter().map(|m| m.content.as_str()).collect();
        assert_eq!(contents, ["first", "third"]);
    }
}

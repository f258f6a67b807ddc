//! A reply as it is made, in a protocol in which its text only grows.

use super::growth::{Change, Growth};
use crate::{answers::Room, control::End, problem::Problem, stream::View};
use arizuko_proto::v1 as pb;
use std::ops::ControlFlow;

/// The text between two messages of a reply, for protocols in which a reply is one message.
pub(super) const BETWEEN: &str = "\n\n";

/// Writes a reply in the words of one protocol.
pub(super) trait Dialect: Send + 'static {
    /// Writes the start.
    fn begin(&mut self, out: &mut String);
    /// Writes the next text of the message with this id: the last one, or a new one.
    fn text(&mut self, id: &str, text: &str, out: &mut String);
    /// Writes what the agent is doing.
    fn status(&mut self, text: &str, out: &mut String);
    /// Writes that the reply is whole.
    fn done(&mut self, out: &mut String);
    /// Writes that the reply is not complete, and why.
    fn failed(&mut self, problem: &Problem, out: &mut String);
}

/// The view that writes a reply.
pub(super) struct Reply<D> {
    dialect: D,
    growth: Growth,
    start: String,
    /// Room for the start, until it is sent.
    room: Option<Room>,
}

impl<D: Dialect> Reply<D> {
    /// Continues after `start`, which has the text that `growth` notes as sent.
    pub(super) fn new(dialect: D, growth: Growth, start: String, room: Option<Room>) -> Self {
        Self { dialect, growth, start, room }
    }

    fn write(&mut self, change: &Change<'_>, out: &mut String) -> ControlFlow<()> {
        match change {
            Change::Nothing => return ControlFlow::Continue(()),
            Change::Text(id, text) => {
                self.dialect.text(id, text, out);
                return ControlFlow::Continue(());
            }
            Change::Status(text) => {
                self.dialect.status(text, out);
                return ControlFlow::Continue(());
            }
            Change::TakenBack => self.dialect.failed(&Problem::taken_back(), out),
            Change::TooMany => self.dialect.failed(&Problem::too_many_messages(), out),
            Change::Ended(status, error) => match Problem::of_turn(*status, error) {
                None => self.dialect.done(out),
                Some(problem) => self.dialect.failed(&problem, out),
            },
        }
        ControlFlow::Break(())
    }
}

impl<D: Dialect> View for Reply<D> {
    fn begin(&mut self, out: &mut String) {
        out.push_str(&std::mem::take(&mut self.start));
    }

    async fn frame(&mut self, frame: &pb::Frame, out: &mut String) -> ControlFlow<()> {
        let change = self.growth.read(frame);
        self.write(&change, out)
    }

    fn reset(&mut self, _: &str, out: &mut String) -> ControlFlow<()> {
        let change = self.growth.reset();
        self.write(&change, out)
    }

    async fn write_due(&mut self, _: &mut String) {
        // The connection asks for more once it has sent the start.
        self.room = None;
    }

    fn end(&mut self, end: &End, out: &mut String) {
        let problem = match end {
            // Its conversation was deleted.
            End::Over => Problem::not_found(),
            End::Revoked => Problem::token_invalid(),
            End::Paused => Problem::paused(),
            End::Outage => Problem::no_reply_yet(),
        };
        self.dialect.failed(&problem, out);
    }
}

//! A reply as it is made, in a protocol in which its text only grows.

use super::growth::{Change, Growth, Piece};
use crate::{answers::Room, control::End, problem::Problem, stream::View};
use arizuko_proto::v1::{self as pb, frame::Body};
use std::ops::ControlFlow;

/// The text between two messages of a reply, for protocols in which a reply is one message.
pub(super) const BETWEEN: &str = "\n\n";

/// The messages of a reply as one text.
#[derive(Default)]
pub(super) struct Joined {
    /// The id of the message whose text was added last.
    last: String,
}

impl Joined {
    /// Returns what a message's next piece adds to the text.
    pub(super) fn add(&mut self, id: &str, piece: &str) -> String {
        let between = if self.last.is_empty() || self.last == id { "" } else { BETWEEN };
        id.clone_into(&mut self.last);
        format!("{between}{piece}")
    }
}

/// Writes a reply in the words of one protocol.
pub(super) trait Dialect: Send + 'static {
    /// Writes the start.
    fn begin(&mut self, out: &mut String);
    /// Writes the messages that a reply has so far; none, if it begins with this stream.
    fn so_far(&mut self, messages: &[pb::Message], out: &mut String) {
        for pb::Message { id, content: text, .. } in messages {
            self.text(&Piece { id, text, begins: true }, out);
        }
    }
    /// Notes the cursor of the frame that the next calls are about.
    fn at(&mut self, _: pb::Cursor) {}
    fn text(&mut self, piece: &Piece<'_>, out: &mut String);
    /// Writes what the agent is doing.
    fn status(&mut self, text: &str, out: &mut String);
    /// Writes that the reply is whole. The turn is `None` if it was not read.
    fn done(
        &mut self,
        turn: Option<&pb::ConversationTurn>,
        out: &mut String,
    ) -> impl Future<Output = ()> + Send;
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
    /// The last frame that the client has.
    has: Option<pb::Cursor>,
}

impl<D: Dialect> Reply<D> {
    /// Continues after `start`, which has the text that `growth` notes as sent.
    pub(super) fn new(dialect: D, growth: Growth, start: String, room: Option<Room>) -> Self {
        Self { dialect, growth, start, room, has: None }
    }

    /// Reads the log from its start, and continues after a frame that the client has.
    pub(super) fn after(dialect: D, has: pb::Cursor) -> Self {
        Self { has: Some(has), ..Self::new(dialect, Growth::default(), String::new(), None) }
    }

    /// Notes a frame that the client has. Breaks if the client's frame is from another log.
    fn skip(&mut self, frame: &pb::Frame, has: pb::Cursor, out: &mut String) -> ControlFlow<()> {
        if frame.cursor.is_some_and(|cursor| cursor.seq == has.seq && cursor.tag != has.tag) {
            self.dialect.failed(&Problem::taken_back(), out);
            return ControlFlow::Break(());
        }
        self.growth.skip(frame);
        match frame.body {
            Some(Body::TurnDone(_)) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    async fn write(&mut self, change: &Change<'_>, out: &mut String) -> ControlFlow<()> {
        match change {
            Change::Nothing => return ControlFlow::Continue(()),
            Change::Text(piece) => {
                self.dialect.text(piece, out);
                return ControlFlow::Continue(());
            }
            Change::Status(text) => {
                self.dialect.status(text, out);
                return ControlFlow::Continue(());
            }
            Change::TakenBack => self.dialect.failed(&Problem::taken_back(), out),
            Change::TooMany => self.dialect.failed(&Problem::too_many_messages(), out),
            Change::Ended(status, error) => match Problem::of_turn(*status, error) {
                None => self.dialect.done(None, out).await,
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
        let cursor = frame.cursor.unwrap_or_default();
        if let Some(has) = self.has.filter(|has| cursor.seq <= has.seq) {
            return self.skip(frame, has, out);
        }
        self.dialect.at(cursor);
        let change = self.growth.read(frame);
        self.write(&change, out).await
    }

    fn reset(&mut self, _: &str, out: &mut String) -> ControlFlow<()> {
        if let Change::Nothing = self.growth.reset() {
            return ControlFlow::Continue(());
        }
        self.dialect.failed(&Problem::taken_back(), out);
        ControlFlow::Break(())
    }

    async fn write_due(&mut self, _: &mut String) {
        // The start has been sent, since the connection has asked for more.
        self.room = None;
    }

    fn end(&mut self, end: &End, out: &mut String) {
        let problem = match end {
            // The turn's conversation was deleted.
            End::Over => Problem::not_found(),
            End::Revoked => Problem::token_invalid(),
            End::Paused => Problem::paused(),
            End::Outage => Problem::no_reply_yet(),
        };
        self.dialect.failed(&problem, out);
    }
}

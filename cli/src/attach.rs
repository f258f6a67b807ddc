//! The agent's side of Attach: a session takes turns and streams replies, and outlives the gRPC
//! streams that it runs over. A handler sees only a turn and a [`Reply`].
//!
//! From the inside out: `active_turn.rs` and `ledger.rs` are the session's state, without I/O;
//! `reply.rs` makes frames of what a handler writes; `session.rs` is what the tasks share;
//! `stream.rs` carries the session over one gRPC stream; `serve.rs` opens one stream after
//! another and runs the handlers. `person.rs` is a session whose turns a person chooses, and
//! `speech.rs` the calls about a conversation that need no turn.

mod active_turn;
mod ledger;
mod outcome;
pub(crate) mod person;
mod reply;
mod serve;
mod session;
pub(crate) mod speech;
mod stream;

pub(crate) use self::{
    outcome::{Ending, Failure, Gone},
    reply::Reply,
    serve::run,
    session::{Pen, PersonEvent, Session, Settings},
};
pub(crate) use arizuko_proto::v1::Turn;

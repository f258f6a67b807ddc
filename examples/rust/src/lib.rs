//! Agents for arizuko's chat links and webhooks. A session survives broken streams and restarts of
//! control.
//!
//! ```no_run
//! use arizuko_agent::{Agent, ControlError, Reply, Turn};
//!
//! async fn answer(turn: Turn, _: Reply) -> String {
//!     format!("You said: {}", String::from_utf8_lossy(&turn.content))
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), ControlError> {
//!     Agent::new(answer)?.run().await
//! }
//! ```
//!
//! A handler gets a turn and a [`Reply`]. The text that it returns is the rest of its reply.
//! Heartbeats, acknowledgements and reconnecting happen in a thread of their own, so that a handler
//! that blocks never delays them.
//!
//! From the inside out: `active_turn.rs` and `ledger.rs` are the session's state, without I/O;
//! `reply.rs` makes frames of what a handler writes; `session.rs` is what the tasks share;
//! `stream.rs` carries the session over one gRPC stream; `serve.rs` opens one stream after
//! another and runs the handlers; `agent.rs` does so for a program that does nothing else.
//! `person.rs` is a session whose turns a person chooses, and `speech.rs` has the calls about a
//! conversation that need no turn.

mod active_turn;
mod agent;
pub mod control;
pub mod folder;
pub mod follow;
mod ledger;
mod outcome;
pub mod person;
mod reply;
mod serve;
mod session;
pub mod speech;
mod stream;

pub use self::{
    agent::{Agent, Said},
    control::{Control, ControlError},
    outcome::{Ending, Failure, Gone},
    reply::Reply,
    serve::run,
    session::{Pen, PersonEvent, Session, Settings},
};
pub use arizuko_proto::v1::{
    ErrorReason, Handoff, Header, HttpResponse, IssueChatLinkResponse, LinkOptions, Turn,
};

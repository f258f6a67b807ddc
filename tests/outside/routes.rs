//! Routes: who answers a JID, with which persona, and who is asked next if nobody answers.

mod apply;
mod claims;
mod cli;
mod deadlines;
mod escalation;
mod explain;
mod handoff;
mod modes;
mod precedence;
mod reach;
mod scope;
mod speak;
mod terminal;
mod visitor;

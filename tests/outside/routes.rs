//! What JID prefixes mean: who answers, as whom, and who does when nobody does.

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

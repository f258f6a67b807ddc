//! What JID prefixes mean: who answers, as whom, and who does when nobody does.

mod claims;
mod deadlines;
mod escalation;
mod handoff;
mod modes;
mod speak;

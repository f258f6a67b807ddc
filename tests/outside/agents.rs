//! Agents: the protocol of Attach, and programs that `arizuko agent exec` runs.

mod exec;
mod exec_handoff;
mod failover;
mod order;
mod programs;
mod protocol;
mod sessions;

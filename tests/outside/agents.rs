//! Agents: the protocol of Attach, and programs that `arizuko agent exec` runs.

mod examples;
mod exec;
mod exec_handoff;
mod failover;
mod http;
mod openai;
mod order;
mod programs;
mod protocol;
mod python;
mod sessions;

//! Agents: the Attach protocol, and each command that runs one.

mod examples;
mod exec;
mod exec_handoff;
mod failover;
mod http;
mod languages;
mod openai;
mod order;
mod programs;
mod protocol;
mod sessions;

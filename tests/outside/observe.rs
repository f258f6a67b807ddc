//! What an operator sees: metrics, traces, the log.

mod cost;
mod logs;
mod metrics;
mod prometheus;
mod servers;
mod traces;

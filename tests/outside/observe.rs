//! What an operator sees: metrics, traces, the log.

mod logs;
mod metrics;
mod prometheus;
mod servers;
mod traces;

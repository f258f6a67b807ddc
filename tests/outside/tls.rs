//! TLS: the gateway's own HTTPS for visitors, TLS to control with certificates on both sides, and
//! TLS to Redis.

mod clients;
mod named;
mod redis;
mod refusals;
mod reload;
mod revocation;
mod roles;
mod visitors;

//! TLS: the gateway's own HTTPS for visitors, and TLS to control with certificates on both sides.

mod clients;
mod named;
mod redis;
mod refusals;
mod reload;
mod revocation;
mod roles;
mod visitors;

//! TLS: visitors' HTTPS that a gateway has built in, and control's, with certificates on both sides.

mod clients;
mod redis;
mod refusals;
mod reload;
mod visitors;

//! The outside suite: each test drives a running stack as visitors, agents and operators do.

mod agents;
mod browser;
mod chat;
mod cli;
mod clients;
mod conversations;
mod deploy;
mod dialects;
mod documents;
mod durability;
mod faults;
mod floods;
mod hooks;
mod keys;
mod lifecycle;
mod limits;
mod links;
mod observe;
mod outage;
mod people;
mod processes;
mod routes;
mod secrets;
mod tls;
mod up;
mod upgrade;

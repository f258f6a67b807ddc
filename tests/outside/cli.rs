//! The command line: what it prints and where, exit codes, and errors that say what to do.

mod backup;
mod chat;
mod doctor;
mod keys;
mod mcp;
mod terminal;
mod tokens;
mod usage;
mod watching;

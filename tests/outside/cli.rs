//! The command line: what it prints and where, exit codes, and errors that say what to do.

mod backup;
mod causes;
mod chat;
mod completions;
mod doctor;
mod keys;
mod mcp;
mod open;
mod pager;
mod tables;
mod terminal;
mod tokens;
mod usage;
mod watching;

//! The command line: what it prints, where, with which exit code, and what to do about errors.

mod backup;
mod chat;
mod doctor;
mod keys;
mod tokens;
mod usage;
mod watching;

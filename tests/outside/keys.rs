//! Keys: which calls each kind of key may make.

mod calls;
mod first;
mod last_use;
mod matrix;
mod ownership;
mod permissions;
mod reach;
mod rotation;
mod security;

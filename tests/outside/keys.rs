//! Keys: which calls each kind of key may make.

mod calls;
mod matrix;
mod ownership;
mod reach;
mod security;

//! Keys: what each kind of caller may do, call by call, and what it may not.

mod calls;
mod matrix;
mod ownership;

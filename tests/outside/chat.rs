//! `/chat/{token}/…`: what a visitor's browser and programs see.

mod cancel;
mod history;
mod idempotency;
mod isolation;
mod limits;
mod origin;
mod page;
mod post;
mod readers;
mod resume;
mod retention;
mod stream;
mod turn;

//! `/chat/{token}/…`: what a visitor's browser and programs see.

mod conversation;
mod idempotency;
mod isolation;
mod limits;
mod origin;
mod page;
mod post;
mod stream;
mod turn;

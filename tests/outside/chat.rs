//! `/chat/{token}/…`: the HTTP that browsers and visitors' programs use.

mod cancel;
pub(crate) mod compression;
mod fair;
mod headers;
mod history;
mod idempotency;
mod identity;
mod isolation;
mod limits;
mod markdown;
mod origin;
mod page;
mod pages;
mod post;
pub(crate) mod proof;
mod rating;
mod readers;
mod resume;
mod retention;
mod stream;
mod supersedes;
mod title;
mod turn;

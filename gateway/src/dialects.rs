//! Other chat protocols under a chat link, for existing front ends.
//!
//! Each is a thin view of the same log as [`crate::events`] and keeps nothing: a request posts a
//! message and reads its turn, with the limits, isolation and revocation of the link.

mod a2a;
mod ag_ui;
mod ai;
mod asked;
mod earlier;
mod exchange;
mod growth;
mod mcp;
mod openai;
mod problems;
mod reply;
mod responses;

pub(crate) use mcp::McpError;
pub(crate) use openai::{Completion, Models, OpenAiError};
pub(crate) use responses::ResponseDocument;

use crate::{gateway::Gateway, operation::Routes};
use axum::middleware::from_fn;
use std::sync::Arc;

/// Makes the routes of all protocols. `guard` adds the checks of every request under a token.
pub(crate) fn routes(
    guard: impl Fn(Routes<Arc<Gateway>>) -> Routes<Arc<Gateway>>,
) -> Routes<Arc<Gateway>> {
    let openai = guard(openai::routes().merge(responses::routes()));
    let openai = openai.with(|router| router.layer(from_fn(openai::show_problems)));
    let mcp = guard(mcp::routes()).with(|router| router.layer(from_fn(mcp::show_problems)));
    let a2a = guard(a2a::routes()).with(|router| router.layer(from_fn(a2a::show_problems)));
    guard(ai::routes().merge(ag_ui::routes())).merge(openai).merge(mcp).merge(a2a)
}

//! Reads a message as a gateway posts it.

use super::super::{
    access::{conversation_id, turn_id},
    wire,
};
use crate::{
    hook_request::{Blob, HookRequest},
    refusal::Refusal,
    turn::input::Post,
};
use arizuko_proto::{telemetry::traces, v1};
use tracing::Span;

pub(super) fn read(request: v1::PostMessageRequest) -> Result<Post, Refusal> {
    let conversation = match request.conversation.as_str() {
        "" => None,
        id => Some(conversation_id(id)?),
    };
    let hook_request = request.request.map(|request| HookRequest {
        encoded_content: Blob::new(&request.encoded_content),
        method: request.method,
        path: request.path,
        query: request.query,
    });
    let supersedes = match request.supersedes.as_str() {
        "" => None,
        id => Some(turn_id(id)?),
    };
    Ok(Post {
        conversation,
        supersedes,
        content: request.content.to_vec(),
        headers: wire::parse_headers(request.headers),
        credentials: wire::parse_headers(request.credentials),
        request: hook_request,
        page: request.page.map(super::visitor::page).transpose()?,
        idempotency_key: request.idempotency_key,
        proof: request.proof,
        client_address: request.client_address,
        is_replay: false,
        // The turn continues the trace of this call, if the call has one.
        traceparent: traces::traceparent(&Span::current()).unwrap_or(request.traceparent),
    })
}

//! The public surface, path by path.

use crate::{
    Gateway, chat, events, history, hook, origin, page,
    problem::{self, Problem},
    turn,
};
use arizuko_proto::telemetry::traces::{self, TRACEPARENT};
use axum::{
    Json, Router,
    extract::{MatchedPath, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use http::{StatusCode, header};
use serde_json::json;
use std::sync::Arc;
use tokio::time::Instant;
use tracing::{Instrument as _, Span, field::Empty};

const OPENAPI: &str = include_str!("../openapi.json");

pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    let conversation = get(history::page).delete(history::delete);
    let under_a_token = Router::new()
        .route("/chat/{token}/", get(page::page).post(chat::post))
        .route("/chat/{token}/config", get(page::config))
        .route("/chat/{token}/{turn}", get(turn::snapshot))
        .route("/chat/{token}/{turn}/status", get(turn::status))
        .route("/chat/{token}/{turn}/sse", get(events::turn))
        .route("/chat/{token}/{turn}/cancel", post(turn::cancel))
        .route("/chat/{token}/c/{conversation}", conversation)
        .route("/chat/{token}/c/{conversation}/sse", get(events::conversation))
        .route("/hook/{token}", post(hook::post))
        .route("/hook/{token}/{turn}", get(turn::snapshot))
        .route("/hook/{token}/{turn}/status", get(turn::status))
        .route("/hook/{token}/{turn}/sse", get(events::turn))
        .method_not_allowed_fallback(not_that_method)
        .route_layer(from_fn_with_state(gateway.clone(), origin::guard));
    Router::new()
        .route("/chat/{token}", any(page::with_slash))
        .route("/assets/{name}", get(page::asset))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/openapi.json", get(openapi))
        .method_not_allowed_fallback(not_that_method)
        .merge(under_a_token)
        .fallback(async || page::nothing_here())
        .layer(from_fn_with_state(gateway.clone(), problem::dress))
        .layer(from_fn_with_state(gateway.clone(), origin::closed))
        .layer(from_fn_with_state(gateway.clone(), observe))
        .with_state(gateway)
}

/// A span, a line and a count for each request. They name the route and never the URI, which has
/// the token.
async fn observe(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("none", MatchedPath::as_str);
    // Failures are told with it, so that it is there whatever level is logged.
    let span = tracing::error_span!(
        "request",
        otel.kind = Empty,
        otel.name = Empty,
        otel.status_code = Empty,
        %method,
        route,
        status = Empty,
        turn = Empty,
        conversation = Empty,
        trace = Empty,
    );
    let parent = request.headers().get(TRACEPARENT);
    let parent = parent.and_then(|parent| parent.to_str().ok());
    let parent = parent.unwrap_or_default();
    traces::follow(&span, "server", format_args!("{method} {route}"), parent);
    async {
        let response = next.run(request).await;
        let (status, elapsed) = (response.status(), begun.elapsed());
        Span::current().record("status", status.as_u16());
        if status.is_server_error() {
            Span::current().record("otel.status_code", "ERROR");
        }
        tracing::debug!(?elapsed, "answered");
        gateway.metrics.answered(&method, route, status, elapsed);
        response
    }
    .instrument(span.clone())
    .await
}

async fn not_that_method() -> Problem {
    let detail = "This path does not take this method; the header Allow says which it does.";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", detail)
}

/// This process lives.
async fn healthz() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// Some control answers, so that a visitor would be served.
async fn readyz(State(gateway): State<Arc<Gateway>>) -> Result<Response, Problem> {
    gateway.control.ready().await?;
    Ok(Json(json!({ "status": "ready" })).into_response())
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

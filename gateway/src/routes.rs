//! Everything that the gateway serves, and what goes around every request.

use crate::{
    address::Visitor, compression, contract::CONTRACT, gateway::Gateway, operation::Routes, origin,
    page, paths, problem::Problem, well_known,
};
use arizuko_proto::{
    telemetry::traces::{self, TRACEPARENT},
    v1::ErrorReason,
};
use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{AppendHeaders, IntoResponse, Response},
    routing::{any, get},
};
use http::{StatusCode, header};
use std::sync::Arc;
use tokio::time::Instant;
use tracing::{Instrument as _, Span, field::Empty};

pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    // Checks every request under a token.
    let guard = |routes: Routes<Arc<Gateway>>| {
        let checks = (
            from_fn_with_state(gateway.clone(), limit_requests),
            from_fn_with_state(gateway.clone(), origin::check_origin),
        );
        routes.with(paths::refuse_other_methods).with(|router| router.route_layer(checks))
    };
    let files = Router::new()
        .route("/chat/{token}", any(page::with_slash))
        .route("/assets/{name}", get(page::asset))
        .route("/embed.js", get(page::for_sites))
        .route("/sdk.js", get(page::for_sites))
        .route("/sdk.d.ts", get(page::for_sites))
        .route("/openapi.json", get(openapi))
        .route("/robots.txt", get(well_known::robots))
        .route("/favicon.ico", get(well_known::icon))
        .route("/.well-known/security.txt", get(well_known::security));
    paths::refuse_other_methods(files)
        .merge(paths::routes(guard).router)
        .fallback(async || Problem::nothing_here())
        // The first is the outermost. All are one layer of the router, which boxes and clones each
        // of its layers for every request.
        .layer((
            from_fn_with_state(gateway.clone(), observe),
            from_fn_with_state(gateway.clone(), origin::add_security_headers),
            from_fn(compression::compress),
            from_fn(page::show_problems),
            from_fn(origin::check_host),
        ))
        .with_state(gateway)
}

/// Refuses requests of an address that makes too many, before anything is done for them. A request
/// with a wrong token, signature or JWT, or without a needed proof of work, counts as several
/// requests.
async fn limit_requests(
    State(gateway): State<Arc<Gateway>>,
    Visitor(address): Visitor,
    request: Request,
    next: Next,
) -> Response {
    let left = match gateway.rates.take(address) {
        Ok(left) => left,
        Err(problem) => {
            let origin = request.headers().get(header::ORIGIN).cloned();
            let headers = gateway.rates.headers((0, problem.wait().unwrap_or_default()));
            let response = (AppendHeaders(headers), problem).into_response();
            return origin::readable(response, origin);
        }
    };
    let response = next.run(request).await;
    let problem = response.extensions().get::<Problem>();
    let is_forged = problem.is_some_and(|it| it.reason() == ErrorReason::IdentityInvalid.word());
    match response.status() {
        _ if is_forged => gateway.rates.charge_wrong_token(address),
        StatusCode::UNAUTHORIZED => gateway.rates.charge_wrong_token(address),
        StatusCode::PRECONDITION_REQUIRED => gateway.rates.charge_challenge(address),
        _ => {}
    }
    (AppendHeaders(gateway.rates.headers(left)), response).into_response()
}

/// Traces, logs and counts each request. Labels have the route and never the path, which contains
/// the secret.
async fn observe(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let trusted = &gateway.options.serving.trusted_proxies;
    let visitor = Visitor::of(request.headers(), request.extensions(), trusted);
    gateway.proxies.note(request.headers(), request.extensions(), trusted);
    let route = matched.as_ref().map_or("none", MatchedPath::as_str);
    // At this level the log shows the span with every failure, whatever its filter.
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
    let parent = parent.and_then(|parent| parent.to_str().ok()).unwrap_or_default();
    traces::follow(&span, "server", format_args!("{method} {route}"), parent);
    async {
        let response = next.run(request).await;
        let (status, elapsed) = (response.status(), start.elapsed());
        Span::current().record("status", status.as_u16());
        if status.is_server_error() {
            Span::current().record("otel.status_code", "ERROR");
        }
        tracing::debug!(?elapsed, "answered");
        gateway.metrics.answered(&method, route, status, elapsed);
        if let Some(problem) = response.extensions().get::<Problem>() {
            gateway.metrics.refused(problem.reason());
            if problem.reason() == ErrorReason::TokenInvalid.word()
                && let Some(left_out) = gateway.wrong_tokens.sample()
            {
                tracing::warn!(address = %visitor.0, left_out, "refused a request with a wrong token");
            }
        }
        response
    }
    .instrument(span.clone())
    .await
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], CONTRACT.as_str()).into_response()
}

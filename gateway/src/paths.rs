//! The paths of the API.

use crate::{
    chat, dialects, events,
    gateway::Gateway,
    history, hook,
    operation::{DELETE, GET, OPTIONS, PATCH, POST, PUT, Routes},
    page,
    problem::Problem,
    proxies, rating, turn,
};
use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use http::HeaderValue;
use serde_json::json;
use std::sync::Arc;

/// Makes the routes of the API. `guard` adds the checks of every request under a token.
pub(crate) fn routes(
    guard: impl Fn(Routes<Arc<Gateway>>) -> Routes<Arc<Gateway>>,
) -> Routes<Arc<Gateway>> {
    let under_a_token = Routes::new()
        .on(GET, "/chat/{token}/", page::page)
        .on(POST, "/chat/{token}/", chat::post)
        .on(GET, "/chat/{token}/config", page::config)
        .on(GET, "/chat/{token}/logo", page::logo)
        .on(GET, "/chat/{token}/{turn}", turn::snapshot)
        .on(GET, "/chat/{token}/{turn}/status", turn::status)
        .on(GET, "/chat/{token}/{turn}/sse", events::turn)
        .on(POST, "/chat/{token}/{turn}/cancel", turn::cancel)
        .on(PUT, "/chat/{token}/{turn}/rating", rating::rate)
        .on(GET, "/chat/{token}/c", history::list)
        .on(GET, "/chat/{token}/c/{conversation}", history::page)
        .on(DELETE, "/chat/{token}/c/{conversation}", history::delete)
        .on(GET, "/chat/{token}/c/{conversation}/sse", events::conversation)
        .merge(hooks());
    Routes::new()
        .on(GET, "/healthz", healthz)
        .on(GET, "/readyz", readyz)
        .with(refuse_other_methods)
        .merge(guard(under_a_token))
        .merge(dialects::routes(guard))
}

/// Refuses requests whose method the path does not allow.
pub(crate) fn refuse_other_methods(router: Router<Arc<Gateway>>) -> Router<Arc<Gateway>> {
    router.method_not_allowed_fallback(async || Problem::method_not_allowed())
}

/// Makes the routes of webhooks.
fn hooks() -> Routes<Arc<Gateway>> {
    Routes::new()
        .on(POST, "/hook/{token}", hook::deliver)
        .on(PUT, "/hook/{token}", hook::deliver)
        .on(PATCH, "/hook/{token}", hook::deliver)
        .on(OPTIONS, "/hook/{token}", hook::options)
        .on(GET, "/hook/{token}", hook::greet)
        .on(GET, "/hook/{token}/{turn}", hook::turn_or_greeting)
        .on(GET, "/hook/{token}/{turn}/status", turn::status)
        .on(GET, "/hook/{token}/{turn}/sse", events::turn)
        .with(below_webhooks)
}

/// Adds the paths below a webhook's URL. Senders may add any path after the secret, and some need
/// one.
fn below_webhooks(router: Router<Arc<Gateway>>) -> Router<Arc<Gateway>> {
    let delivers = || {
        on(MethodFilter::POST.or(MethodFilter::PUT).or(MethodFilter::PATCH), hook::deliver)
            .options(hook::options)
    };
    let own = ["/hook/{token}/{turn}", "/hook/{token}/{turn}/status", "/hook/{token}/{turn}/sse"];
    let router = own.into_iter().fold(router, |router, path| router.route(path, delivers()));
    let any = [
        "/hook/{token}/",
        "/hook/{token}/{turn}/",
        "/hook/{token}/{turn}/{more}",
        "/hook/{token}/{turn}/{more}/",
        "/hook/{token}/{turn}/{more}/{*rest}",
    ];
    any.into_iter().fold(router, |router, path| router.route(path, delivers().get(hook::greet)))
}

/// Says that the process runs.
async fn healthz() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// Says whether a control can serve (the gateway needs one), and whether the request came through a
/// proxy that is not trusted.
async fn readyz(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    gateway.control.ready().await?;
    let trusted = &gateway.options.serving.trusted_proxies;
    let mut answer = Json(json!({ "status": "ready" })).into_response();
    if proxies::untrusted(request.headers(), request.extensions(), trusted).is_some() {
        answer.headers_mut().insert("arizuko-proxy", HeaderValue::from_static("untrusted"));
    }
    Ok(answer)
}

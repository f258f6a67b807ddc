//! Who may call from where: the origin rule, CORS for the origins that a link allows, and the
//! headers that every answer has.

use crate::{Gateway, events, link::Link, problem::Problem};
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use std::sync::Arc;

/// Lets pages of other sites in only where the link names them. A page of ours sends its own
/// origin, or `null` since it has no referrer; programs send none.
pub(crate) async fn guard(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    route: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let Some(origin) = foreign_origin(&request) else {
        return next.run(request).await;
    };
    let origin = origin.clone();
    let allowed = match gateway.control.resolve(link.access()).await {
        Ok(resolved) => resolved.allowed_origins,
        Err(status) => {
            let problem = Problem::from(status);
            // An EventSource gives up for good on what it may not read. Nothing is in this.
            if problem.is_outage() && route.as_str().ends_with("/sse") {
                return with_cors(events::come_back(), origin);
            }
            return problem.into_response();
        }
    };
    let named = |allowed: &String| allowed.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
    if !allowed.iter().any(named) {
        let detail = "This link may not be used from this site.";
        return Problem::new(StatusCode::FORBIDDEN, "ORIGIN_NOT_ALLOWED", detail).into_response();
    }
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let response = if is_preflight { preflight() } else { next.run(request).await };
    with_cors(response, origin)
}

/// The origin of a request that is not from a page of this gateway's.
fn foreign_origin(request: &Request) -> Option<&HeaderValue> {
    let headers = request.headers();
    let origin = headers.get(header::ORIGIN)?;
    let ours = if origin == "null" {
        let site = headers.get("sec-fetch-site");
        site.is_some_and(|site| site == "same-origin")
    } else {
        is_of_this_host(origin, request).unwrap_or(false)
    };
    (!ours).then_some(origin)
}

/// The scheme isn't compared: a proxy may have ended the TLS.
fn is_of_this_host(origin: &HeaderValue, request: &Request) -> Option<bool> {
    let host = match request.uri().authority() {
        // HTTP/2 has it there.
        Some(authority) => authority.as_str(),
        None => request.headers().get(header::HOST)?.to_str().ok()?,
    };
    let (scheme, authority) = origin.to_str().ok()?.split_once("://")?;
    let port = if scheme == "https" { ":443" } else { ":80" };
    // Either side may leave out the scheme's own port.
    let [host, authority] = [host, authority].map(|a| a.strip_suffix(port).unwrap_or(a));
    Some(host.eq_ignore_ascii_case(authority))
}

fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "content-type, idempotency-key, last-event-id, traceparent",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

fn with_cors(mut response: Response, origin: HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("retry-after, arizuko-turn, arizuko-conversation"),
    );
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    response
}

/// What every answer has unless it says otherwise itself: nothing is kept, framed, indexed,
/// guessed at or passed on.
pub(crate) async fn closed(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
    next: Next,
) -> Response {
    const CLOSED: [(HeaderName, &str); 5] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in CLOSED {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    // Behind a proxy that is the proxy's to say. It keeps a link that is typed without its
    // `https://` from travelling in the clear.
    if gateway.options.tls.are_named() {
        response.headers_mut().insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_foreign(headers: &[(&'static str, &'static str)]) -> bool {
        is_foreign_to("/chat/x/", headers)
    }

    fn is_foreign_to(uri: &'static str, headers: &[(&'static str, &'static str)]) -> bool {
        let mut request = Request::new(axum::body::Body::empty());
        *request.uri_mut() = http::Uri::from_static(uri);
        for (name, value) in headers {
            let value = HeaderValue::from_static(value);
            request.headers_mut().insert(*name, value);
        }
        foreign_origin(&request).is_some()
    }

    #[test]
    fn http2_names_the_host_in_the_uri() {
        let uri = "https://a.example/chat/x/";
        assert!(!is_foreign_to(uri, &[("origin", "https://a.example")]));
        assert!(is_foreign_to(uri, &[("origin", "https://b.example")]));
        assert!(is_foreign_to(uri, &[("host", "b.example"), ("origin", "https://b.example")]));
    }

    #[test]
    fn programs_and_our_own_page_are_not_foreign() {
        assert!(!is_foreign(&[("host", "a.example")]));
        assert!(!is_foreign(&[("host", "a.example"), ("origin", "https://A.example")]));
        assert!(!is_foreign(&[("host", "a.example:443"), ("origin", "https://a.example")]));
        assert!(!is_foreign(&[("host", "a.example:8080"), ("origin", "http://a.example:8080")]));
        assert!(!is_foreign(&[("origin", "null"), ("sec-fetch-site", "same-origin")]));
    }

    #[test]
    fn all_others_are() {
        assert!(is_foreign(&[("host", "a.example"), ("origin", "https://b.example")]));
        assert!(is_foreign(&[("host", "a.example"), ("origin", "https://a.example:8443")]));
        assert!(is_foreign(&[("host", "a.example"), ("origin", "https://a.example.evil")]));
        assert!(is_foreign(&[("host", "a.example"), ("origin", "null")]));
        assert!(is_foreign(&[("origin", "null"), ("sec-fetch-site", "cross-site")]));
        assert!(is_foreign(&[("origin", "https://a.example")]));
        assert!(is_foreign(&[("host", ""), ("origin", "nonsense")]));
    }
}

//! The sites that may call the gateway: origin checks, CORS for a link's allowed origins, and the
//! security headers of every answer.

use crate::{events, gateway::Gateway, link::Link, problem::Problem};
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use std::sync::Arc;

/// Refuses requests from pages of other sites, unless the link allows their origin. Our own page
/// sends the gateway's origin, or `null` because it has no referrer; programs send no origin.
pub(crate) async fn check_origin(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    route: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    if is_from_elsewhere(&request) {
        return Problem::origin_not_allowed().into_response();
    }
    let Some(origin) = foreign_origin(&request) else {
        return next.run(request).await;
    };
    let origin = origin.clone();
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let resolved = gateway.control.resolve(link.access()).await;
    let response = match resolved.map_err(Problem::from) {
        Ok(resolved) if !is_allowed(&resolved.allowed_origins, &origin) => {
            return Problem::origin_not_allowed().into_response();
        }
        // Every origin may read that a link has ended or that the service is out of reach, which
        // reveals nothing. The preflight succeeds even then, since otherwise a site's script
        // couldn't read that.
        _ if is_preflight => preflight(),
        Ok(_) => next.run(request).await,
        // After an error status an EventSource gives up; after a stream that ends it comes back.
        Err(problem) if problem.is_outage() && route.as_str().ends_with("/sse") => {
            events::come_back_later()
        }
        Err(problem) => problem.into_response(),
    };
    with_cors(response, origin)
}

fn is_allowed(origins: &[String], origin: &HeaderValue) -> bool {
    origins.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
}

/// Makes a response readable for every origin. For answers that don't depend on a link.
pub(crate) fn readable(response: Response, origin: Option<HeaderValue>) -> Response {
    match origin {
        Some(origin) => with_cors(response, origin),
        None => response,
    }
}

/// Whether a browser makes this request for a page of another site and does not name the site in
/// `Origin`, as for pictures and scripts. A link that a person follows does not count.
fn is_from_elsewhere(request: &Request) -> bool {
    let is = |name, value| request.headers().get(name).is_some_and(|found| found == value);
    let follows = request.method() == Method::GET && is("sec-fetch-mode", "navigate");
    !request.headers().contains_key(header::ORIGIN)
        && is("sec-fetch-site", "cross-site")
        && !follows
}

/// Refuses an HTTP/1.1 request unless it has exactly one Host header. If there are several, a proxy
/// in front may use another one than the gateway does.
pub(crate) async fn check_host(request: Request, next: Next) -> Response {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if request.version() == Version::HTTP_11 && hosts != 1 {
        return Problem::invalid("A request needs exactly one Host header.").into_response();
    }
    next.run(request).await
}

/// Returns the origin of a request that comes from a page of another site.
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

/// Returns the host that a request is for.
pub(crate) fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match uri.authority() {
        // HTTP/2 has the host in the URI.
        Some(authority) => Some(authority.as_str()),
        None => headers.get(header::HOST)?.to_str().ok(),
    }
}

/// Whether an origin is the request's host; `None` if either can't be read. Ignores the scheme,
/// since a proxy may terminate TLS.
fn is_of_this_host(origin: &HeaderValue, request: &Request) -> Option<bool> {
    let host = host(request.uri(), request.headers())?;
    let (scheme, authority) = origin.to_str().ok()?.split_once("://")?;
    let port = if scheme == "https" { ":443" } else { ":80" };
    // Either side may omit the scheme's default port.
    let [host, authority] = [host, authority].map(|a| a.strip_suffix(port).unwrap_or(a));
    Some(host.eq_ignore_ascii_case(authority))
}

fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE"),
        // The star allows the headers that clients of other protocols add. It does not cover
        // `authorization`.
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "*, authorization, content-type, idempotency-key, last-event-id, traceparent",
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
        HeaderValue::from_static(
            "retry-after, idempotency-replayed, arizuko-turn, arizuko-conversation, ratelimit, \
             ratelimit-policy, www-authenticate",
        ),
    );
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    response
}

/// Denies browser features to the gateway's pages and to the frames in them.
const PERMISSIONS: &str =
    "camera=(), display-capture=(), geolocation=(), microphone=(), midi=(), payment=(), usb=()";

/// Adds headers that forbid caching, framing, indexing, type sniffing and referrers, unless the
/// answer sets these headers itself.
pub(crate) async fn add_security_headers(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
    next: Next,
) -> Response {
    const DEFAULTS: [(HeaderName, &str); 8] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in DEFAULTS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    // HSTS keeps a link that is typed without `https://` from being sent unencrypted. Without our
    // own TLS it is for the proxy in front to decide.
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

    #[test]
    fn other_sites_may_link_to_us_and_fetch_nothing_without_an_origin() {
        let is_refused = |method: Method, headers: &[(&'static str, &'static str)]| {
            let mut request = Request::new(axum::body::Body::empty());
            *request.method_mut() = method;
            for (name, value) in headers {
                request.headers_mut().insert(*name, HeaderValue::from_static(value));
            }
            is_from_elsewhere(&request)
        };
        let (cross, navigate) = (("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"));
        assert!(is_refused(Method::GET, &[cross]));
        assert!(is_refused(Method::GET, &[cross, ("sec-fetch-mode", "no-cors")]));
        assert!(is_refused(Method::POST, &[cross, navigate]));
        assert!(!is_refused(Method::GET, &[cross, navigate]));
        assert!(!is_refused(Method::GET, &[cross, ("origin", "https://a.example")]));
        assert!(!is_refused(Method::GET, &[("sec-fetch-site", "same-origin")]));
        assert!(!is_refused(Method::GET, &[]));
    }

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
    fn http2_has_the_host_in_the_uri() {
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
    fn other_origins_are_foreign() {
        assert!(is_foreign(&[("host", "a.example"), ("origin", "https://b.example")]));
        assert!(is_foreign(&[("host", "a.example"), ("origin", "https://a.example:8443")]));
        assert!(is_foreign(&[("host", "a.example"), ("origin", "https://a.example.evil")]));
        assert!(is_foreign(&[("host", "a.example"), ("origin", "null")]));
        assert!(is_foreign(&[("origin", "null"), ("sec-fetch-site", "cross-site")]));
        assert!(is_foreign(&[("origin", "https://a.example")]));
        assert!(is_foreign(&[("host", ""), ("origin", "nonsense")]));
    }
}

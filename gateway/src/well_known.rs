//! Serves the files that crawlers, browsers and security researchers look for on every site.

use crate::{gateway::Gateway, problem::Problem};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header::CONTENT_TYPE;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// The page's icon. The page itself has it inline.
const ICON: &str = include_str!("../web/icon.svg");
/// The colour of the icon.
pub(crate) const ICON_COLOUR: &str = "#17614f";
/// How long a copy of security.txt may be trusted: half a year. RFC 9116 recommends less than a
/// year.
const VALID: SignedDuration = SignedDuration::from_hours(24 * 180);

const TEXT: &str = "text/plain; charset=utf-8";

/// GET `/robots.txt`: a link is a secret, so none should be crawled.
pub(crate) async fn robots() -> Response {
    let headers = [(CONTENT_TYPE, TEXT)];
    (headers, "User-agent: *\nDisallow: /\n").into_response()
}

/// GET `/favicon.ico`
pub(crate) async fn icon() -> Response {
    let headers = [(CONTENT_TYPE, "image/svg+xml")];
    (headers, ICON).into_response()
}

/// Returns the icon in this colour, `#rrggbb`, as an address that contains it.
pub(crate) fn icon_url(colour: &str) -> String {
    let icon = ICON.trim_end().replace(ICON_COLOUR, colour).replace('#', "%23");
    format!("data:image/svg+xml,{}", icon.replace('<', "%3C").replace('>', "%3E"))
}

/// GET `/.well-known/security.txt`
pub(crate) async fn security(State(gateway): State<Arc<Gateway>>) -> Result<Response, Problem> {
    let contact =
        gateway.options.serving.security_contact.as_ref().ok_or_else(Problem::nothing_here)?;
    let expires = Timestamp::now() + VALID;
    let text = format!("Contact: {contact}\nExpires: {expires:.0}\n");
    Ok(([(CONTENT_TYPE, TEXT)], text).into_response())
}

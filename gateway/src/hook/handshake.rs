//! Handshakes, by which senders check that somebody expects their deliveries. Each answer only
//! repeats a part of its request, so it reveals nothing and needs no signature. A handshake makes
//! no turn.

use crate::{
    header::Header,
    operation::{Argument, Description},
    problem::Problem,
};
use axum::{
    Json,
    extract::FromRequestParts,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Uri, header::CONTENT_TYPE, request::Parts};
use serde::Deserialize;
use serde_json::json;

/// The longest challenge that is repeated, in bytes. Known ones have fewer than 300.
const MAX_CHALLENGE: usize = 1024;
/// The largest body that is looked at for a handshake, in bytes. Known ones have less than 2 KiB.
const MAX_BODY: usize = 16 << 10;

/// The header with Okta's challenge.
const OKTAS_CHALLENGE: Header = Header {
    name: "X-Okta-Verification-Challenge",
    lengths: 0..=MAX_CHALLENGE,
    description: "Okta's challenge.",
};

/// The query parameters in which other senders put a challenge, with their descriptions.
const CHALLENGES: [(&str, &str); 2] = [
    ("hub.challenge", "The challenge of Meta, and of WebSub."),
    ("challenge", "Dropbox's challenge."),
];

/// The answer to a GET with a challenge to repeat. `None` if there is no challenge.
pub(crate) struct Visit(pub(super) Option<Response>);

impl Argument for Visit {
    fn describe(operation: &mut Description<'_>) {
        for (name, description) in CHALLENGES {
            let schema = json!({
                "type": "string",
                "maxLength": MAX_CHALLENGE,
                "pattern": "^[ -~]*$",
                "description": description,
            });
            operation.parameter("query", name, false, schema);
        }
        OKTAS_CHALLENGE.describe(operation, false);
    }
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Problem;

    /// Reads the challenge.
    ///
    /// # Errors
    /// The challenge is too long or has control characters.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if let Some(challenge) = parts.headers.get(OKTAS_CHALLENGE.name) {
            let challenge = checked(challenge.to_str().unwrap_or_default())?;
            let answer = Json(json!({ "verification": challenge }));
            return Ok(Self(Some(answer.into_response())));
        }
        let challenge = CHALLENGES.iter().find_map(|(name, _)| parameter(&parts.uri, name));
        Ok(Self(challenge.map(|challenge| repeat(&challenge)).transpose()?))
    }
}

/// Answers a delivery that has a challenge to repeat. Microsoft Graph sends the challenge in the
/// query; Event Grid, Twitch and Slack send it in the body. `None` if there is no challenge.
///
/// # Errors
/// The challenge is too long or has control characters.
pub(super) fn in_delivery(
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<Response>, Problem> {
    if let Some(token) = parameter(uri, "validationToken") {
        return repeat(&token).map(Some);
    }
    if body.len() > MAX_BODY {
        return Ok(None);
    }
    let says = |name, wanted: &str| {
        headers
            .get(name)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    if says("aeg-event-type", "SubscriptionValidation") {
        return event_grid(body);
    }
    let asks = says("twitch-eventsub-message-type", "webhook_callback_verification");
    match serde_json::from_slice::<Challenge>(body) {
        Ok(Challenge { kind, challenge }) if asks || kind == "url_verification" => {
            repeat(&challenge).map(Some)
        }
        _ => Ok(None),
    }
}

/// The body of a handshake of Twitch or Slack.
#[derive(Deserialize)]
struct Challenge {
    #[serde(default, rename = "type")]
    kind: String,
    challenge: String,
}

fn event_grid(body: &[u8]) -> Result<Option<Response>, Problem> {
    #[derive(Deserialize)]
    struct Event {
        data: Validation,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Validation {
        validation_code: String,
    }
    let Ok([event]) = serde_json::from_slice::<[Event; 1]>(body) else {
        return Ok(None);
    };
    let code = checked(&event.data.validation_code)?;
    Ok(Some(Json(json!({ "validationResponse": code })).into_response()))
}

/// Repeats a challenge as text that no browser takes for a page.
fn repeat(challenge: &str) -> Result<Response, Problem> {
    let challenge = checked(challenge)?.to_owned();
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], challenge).into_response())
}

fn checked(challenge: &str) -> Result<&str, Problem> {
    if challenge.len() > MAX_CHALLENGE || challenge.chars().any(char::is_control) {
        return Err(Problem::invalid(format!(
            "A challenge must have at most {MAX_CHALLENGE} bytes and no control characters."
        )));
    }
    Ok(challenge)
}

/// Returns the first value of a query parameter that isn't the empty text.
pub(super) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let mut parameters = form_urlencoded::parse(uri.query()?.as_bytes());
    let (_, value) = parameters.find(|(key, value)| key == name && !value.is_empty())?;
    Some(value.into_owned())
}

//! An HTTP endpoint that agents ask for replies: requests, the meaning of its errors, and retries.

use crate::{
    attach::{Failure, Gone, Reply, Turn},
    console::printable,
    http,
};
use anyhow::Context as _;
use arizuko_proto::{client::Backoff, duration, private};
use reqwest::{
    Client, RequestBuilder, Response, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION},
};
use serde_json::Value;
use std::{env, ops::Range, path::Path, time::Duration};
use tokio::time::{Instant, sleep};

/// How long to wait before a retry: at first, and at most.
const RETRY: Range<Duration> = Duration::from_millis(500)..Duration::from_secs(8);
/// The error for the visitor if the endpoint takes no more requests.
const BUSY: &str = "The agent is too busy to answer. Please try again later.";
/// The error for the visitor if the endpoint fails or can't be reached.
const OUT_OF_REACH: &str = "The agent is out of reach. Please try again later.";
/// The error for the visitor if the endpoint fails after the reply has begun.
const CUT_OFF: &str = "The reply was cut off. Please ask again.";
/// Reading an error response stops once this many bytes of it have come.
const MAX_ERROR_BYTES: usize = 16 << 10;
/// How many bytes of a text from the endpoint are logged, at most.
const MAX_LOGGED_BYTES: usize = 500;

/// The flags of every agent that asks an endpoint: how much to ask for, and how long to wait.
#[derive(clap::Args)]
pub(super) struct Limits {
    /// How many messages to answer at a time
    #[arg(long, default_value_t = 16, value_name = "TURNS", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) concurrency: u32,
    /// How many earlier messages of the conversation to send along
    #[arg(long, default_value_t = 40, value_name = "MESSAGES", value_parser = clap::value_parser!(u32).range(0..=200))]
    pub(super) history: u32,
    /// How long to retry while the endpoint is busy or out of reach
    #[arg(long, default_value = "1m", value_name = "DURATION", value_parser = duration::parse)]
    retry_for: Duration,
    /// How long the endpoint may send nothing, before its reply or within it
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = duration::parse)]
    timeout: Duration,
}

/// An endpoint, and the secret to ask it with.
pub(super) struct Endpoint {
    client: Client,
    url: Url,
    secret: Option<String>,
    /// The header that the secret is sent in; `None`: `Authorization: Bearer`.
    secret_header: Option<HeaderName>,
    headers: HeaderMap,
    retry_for: Duration,
}

impl Endpoint {
    pub(super) fn new(url: Url, secret: Option<String>, limits: &Limits) -> anyhow::Result<Self> {
        let client = http::client(&url).read_timeout(limits.timeout).build();
        Ok(Self {
            client: client.context("cannot prepare HTTP")?,
            url,
            secret,
            secret_header: None,
            headers: HeaderMap::new(),
            retry_for: limits.retry_for,
        })
    }

    /// Sets the headers to send with each request, and the header that carries the secret.
    pub(super) fn with_headers(
        self,
        secret_header: Option<HeaderName>,
        headers: HeaderMap,
    ) -> Self {
        Self { secret_header, headers, ..self }
    }

    /// Returns a request for a turn's reply, without a body.
    pub(super) fn request(&self, turn: &Turn) -> RequestBuilder {
        let mut request = self.client.post(self.url.clone()).headers(self.headers.clone());
        if let Some(secret) = &self.secret {
            request = match &self.secret_header {
                Some(name) => request.header(name, secret),
                None => request.bearer_auth(secret),
            };
        }
        if !turn.traceparent.is_empty() {
            request = request.header("traceparent", &turn.traceparent);
        }
        request
    }

    /// Sends a request. Returns the response if it is a success.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, AskError> {
        let response = request.send().await.map_err(AskError::broken)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let after = http::retry_after(response.headers());
        let detail = format!("the endpoint answers {}", self.describe(response).await);
        let error = match status {
            StatusCode::TOO_MANY_REQUESTS => BUSY,
            StatusCode::REQUEST_TIMEOUT => OUT_OF_REACH,
            _ if status.is_server_error() => OUT_OF_REACH,
            _ => return Err(Failure::new(detail).into()),
        };
        Err(AskError::temporary(error, detail, after))
    }

    /// Describes an error response for the operator, without the secret.
    async fn describe(&self, mut response: Response) -> String {
        let mut description = response.status().to_string();
        if let Some(to) = response.headers().get(LOCATION) {
            let to =
                clip(&self.without_secret(String::from_utf8_lossy(to.as_bytes()).into_owned()));
            description += &format!(" (to {to})");
        }
        if self.secret.is_none() && response.status() == StatusCode::UNAUTHORIZED {
            description += " (no key was sent)";
        }
        let mut body = Vec::new();
        while body.len() < MAX_ERROR_BYTES
            && let Ok(Some(bytes)) = response.chunk().await
        {
            body.extend_from_slice(&bytes);
        }
        let body = self.without_secret(String::from_utf8_lossy(&body).into_owned());
        let said = match serde_json::from_str(&body) {
            Ok(document) => explain(&document),
            Err(_) => clip(&body),
        };
        if !said.is_empty() {
            description += &format!(": {said}");
        }
        description
    }

    /// Replaces the secret in a text that is logged. A secret of fewer than 8 bytes may be an
    /// ordinary word, so it is not replaced.
    fn without_secret(&self, text: String) -> String {
        match self.secret.as_ref().filter(|secret| secret.len() >= 8) {
            Some(secret) => text.replace(secret, "[the key]"),
            None => text,
        }
    }

    /// Returns the retries for one turn. Their time begins now.
    pub(super) fn retries(&self) -> Retries {
        Retries { until: Instant::now() + self.retry_for, backoff: Backoff::new(RETRY) }
    }
}

/// Why the endpoint gave no reply, or not all of it.
pub(super) struct AskError {
    failure: Failure,
    /// Whether a retry may succeed.
    is_temporary: bool,
    /// How long to wait before a retry, as the endpoint says; `None` if it doesn't say.
    after: Option<Duration>,
}

impl AskError {
    fn temporary(error: &str, detail: String, after: Option<Duration>) -> Self {
        let error = error.into();
        Self { failure: Failure { error, detail }, is_temporary: true, after }
    }

    /// Returns the error of a connection that failed, before the response or within it.
    pub(super) fn broken(error: reqwest::Error) -> Self {
        let detail = match error.is_timeout() {
            true => "the endpoint sends nothing".into(),
            false => format!("the connection to the endpoint: {}", http::cause(error)),
        };
        Self::temporary(OUT_OF_REACH, detail, None)
    }

    /// Returns the error of an endpoint that gave up within its response.
    pub(super) fn given_up(detail: impl Into<String>) -> Self {
        Self::temporary(OUT_OF_REACH, detail.into(), None)
    }

    /// Reads an error that the endpoint reports within a response that began as a success.
    pub(super) fn reported(document: &str) -> Self {
        let document = serde_json::from_str(document).unwrap_or_else(|_| document.into());
        let detail = format!("the endpoint reports an error: {}", explain(&document));
        match may_pass(&document) {
            true => Self::given_up(detail),
            false => Failure::new(detail).into(),
        }
    }

    /// Makes the error final, since the visitor has seen a part of the reply: a retry would put
    /// another reply behind that part.
    pub(super) fn halfway(mut self) -> Self {
        if self.is_temporary {
            self.is_temporary = false;
            self.failure.error = CUT_OFF.into();
            self.failure.detail = format!("cut off: {}", self.failure.detail);
        }
        self
    }

    /// Whether the error is final and mentions this field of the request.
    pub(super) fn names(&self, name: &str) -> bool {
        !self.is_temporary && self.failure.detail.contains(name)
    }
}

impl From<Failure> for AskError {
    fn from(failure: Failure) -> Self {
        Self { failure, is_temporary: false, after: None }
    }
}

impl From<Gone> for AskError {
    fn from(gone: Gone) -> Self {
        Failure::from(gone).into()
    }
}

/// The retries for one turn's reply.
pub(super) struct Retries {
    until: Instant,
    backoff: Backoff,
}

impl Retries {
    /// Waits before the next retry: as long as the endpoint wants, plus the backoff. Returns the
    /// failure if a retry is of no use or would come too late.
    pub(super) async fn wait(&mut self, error: AskError, reply: &Reply) -> Result<(), Failure> {
        let AskError { failure, is_temporary, after } = error;
        let wait = after.unwrap_or_default().saturating_add(self.backoff.wait());
        let left = self.until.saturating_duration_since(Instant::now());
        if !is_temporary || wait > left {
            return Err(failure);
        }
        tracing::info!("{}; retrying in {:.1} s", printable(&failure.detail), wait.as_secs_f32());
        reply.status("No answer yet, trying again").await?;
        sleep(wait).await;
        Ok(())
    }
}

/// Returns a response's media type in lower case, without parameters.
pub(super) fn media_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE).map(HeaderValue::to_str);
    let value = value.and_then(Result::ok).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// Returns a response's charset in lower case; empty where it names none.
pub(super) fn charset(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE).map(HeaderValue::to_str);
    let parameters = value.and_then(Result::ok).unwrap_or_default().split(';').skip(1);
    let mut charsets = parameters.filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    charsets.next().unwrap_or_default().to_ascii_lowercase()
}

/// Parts of the codes, statuses and types that temporary errors have.
const PASSING: [&str; 7] =
    ["server_error", "api_error", "internal", "overload", "unavailable", "timeout", "rate_limit"];

/// Whether an error may be temporary. Its code decides, or else its status, or else its type; a
/// number counts as an HTTP status. An error that has none of these may be temporary, too.
fn may_pass(document: &Value) -> bool {
    let places = [&document["error"], document];
    let words = places.iter().flat_map(|error| ["code", "status", "type"].map(|name| &error[name]));
    let mut words =
        words.map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_lowercase));
    let word = words.find(|word| !["", "null", "error"].contains(&word.as_str()));
    word.is_none_or(|word| match word.parse::<u16>() {
        Ok(status) => matches!(status, 408 | 409 | 425 | 429 | 500..),
        Err(_) => PASSING.iter().any(|part| word.contains(part)),
    })
}

/// Returns the message of an error document for the log: the text of the first field that may hold
/// it, or else the whole document.
pub(super) fn explain(document: &Value) -> String {
    if let Some(text) = document.as_str() {
        return clip(text);
    }
    let places = [
        &document["error"]["message"],
        &document["error"],
        &document["message"],
        &document["detail"],
    ];
    match places.into_iter().find_map(Value::as_str) {
        Some(said) => clip(said),
        None => clip(&document.to_string()),
    }
}

/// Returns a text from the endpoint for the log, cut to [`MAX_LOGGED_BYTES`] bytes.
pub(super) fn clip(text: &str) -> String {
    let text = text.trim();
    text[..text.floor_char_boundary(MAX_LOGGED_BYTES)].to_owned()
}

/// Reads a secret from a file or, if none is named, from the first of these variables that is set.
/// `None` if nothing is set, or if the secret is empty.
pub(super) fn secret(file: Option<&Path>, variables: &[&str]) -> anyhow::Result<Option<String>> {
    let secret = match file {
        Some(path) => Some(private::read(path)?),
        None => variables.iter().find_map(|name| env::var(name).ok().filter(|key| !key.is_empty())),
    };
    let secret = secret.map(|secret| secret.trim().to_owned());
    if let Some(secret) = &secret {
        HeaderValue::from_str(secret).context("the key has characters that no key can have")?;
    }
    Ok(secret.filter(|secret| !secret.is_empty()))
}

/// Reads the URL of an endpoint, which is http or https.
pub(super) fn url(text: &str) -> Result<Url, String> {
    let url: Option<Url> = text.parse().ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| "an endpoint looks like https://model.example/v1".into())
}

//! A server that is asked for replies by HTTP: what to send it, what its refusals mean, and when it
//! is asked again.

use crate::{
    attach::{Failure, Gone, Reply, Turn, jittered},
    console::printable,
    http, time,
};
use anyhow::Context as _;
use reqwest::{
    Client, RequestBuilder, Response, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderValue, LOCATION},
};
use serde_json::Value;
use std::{env, fs, path::Path, time::Duration};
use tokio::time::{Instant, sleep};

/// The wait before a repeat: twice as long each time, up to a most.
const BACKOFF: std::ops::Range<Duration> = Duration::from_millis(500)..Duration::from_secs(8);
/// What the visitor is told.
const BUSY: &str = "The agent is too busy to answer. Please try again later.";
const OUT_OF_REACH: &str = "The agent is out of reach. Please try again later.";
const CUT_OFF: &str = "The reply was cut off. Please ask again.";
/// How much of a refusal is read, and how much of it is told.
const READ: usize = 16 << 10;
const TOLD: usize = 500;

/// How much is asked of an endpoint, and for how long.
#[derive(clap::Args)]
pub(super) struct Limits {
    /// How many turns at a time
    #[arg(long, default_value_t = 16, value_name = "TURNS", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) concurrency: u32,
    /// How many earlier messages of the conversation go in, at most 200
    #[arg(long, default_value_t = 40, value_name = "MESSAGES", value_parser = clap::value_parser!(u32).range(0..=200))]
    pub(super) history: u32,
    /// How long to ask again while the endpoint is busy or out of reach
    #[arg(long, default_value = "1m", value_name = "DURATION", value_parser = duration)]
    retry_for: Duration,
    /// How long the endpoint may be silent, before its reply or in it
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = duration)]
    timeout: Duration,
}

/// See the module.
pub(super) struct Endpoint {
    client: Client,
    url: Url,
    secret: Option<String>,
    retry_for: Duration,
}

impl Endpoint {
    pub(super) fn new(url: Url, secret: Option<String>, limits: &Limits) -> anyhow::Result<Self> {
        let client = http::client(&url).read_timeout(limits.timeout).build();
        Ok(Self {
            client: client.context("cannot prepare HTTP")?,
            url,
            secret,
            retry_for: limits.retry_for,
        })
    }

    /// A request about a turn, to add to.
    pub(super) fn request(&self, turn: &Turn) -> RequestBuilder {
        let mut request = self.client.post(self.url.clone());
        if let Some(secret) = &self.secret {
            request = request.bearer_auth(secret);
        }
        if !turn.traceparent.is_empty() {
            request = request.header("traceparent", &turn.traceparent);
        }
        request
    }

    /// Sends a request. Gives the answer's head if it is a success.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, Trouble> {
        let response = request.send().await.map_err(Trouble::broken)?;
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
        Err(Trouble::passing(error, detail, after))
    }

    /// The status of a refusal and what it says, for the operator. The secret is not in it.
    async fn describe(&self, mut response: Response) -> String {
        let mut told = response.status().to_string();
        if let Some(to) = response.headers().get(LOCATION) {
            told += &format!(" (to {})", String::from_utf8_lossy(to.as_bytes()));
        }
        if self.secret.is_none() && response.status() == StatusCode::UNAUTHORIZED {
            told += " (no key was sent)";
        }
        let mut body = Vec::new();
        while body.len() < READ
            && let Ok(Some(bytes)) = response.chunk().await
        {
            body.extend_from_slice(&bytes);
        }
        let mut body = String::from_utf8_lossy(&body).into_owned();
        // A shorter one is a word that keeps nobody out.
        if let Some(secret) = self.secret.as_ref().filter(|secret| secret.len() >= 8) {
            body = body.replace(secret, "[the key]");
        }
        let said = match serde_json::from_str(&body) {
            Ok(document) => explain(&document),
            Err(_) => clip(&body),
        };
        if !said.is_empty() {
            told += &format!(": {said}");
        }
        told
    }

    /// For one turn.
    pub(super) fn patience(&self) -> Patience {
        Patience { until: Instant::now() + self.retry_for, delay: BACKOFF.start }
    }
}

/// Why there is no reply, or not all of it.
pub(super) struct Trouble {
    failure: Failure,
    /// A repeat may fare better …
    passing: bool,
    /// … after this time, if that was told.
    after: Option<Duration>,
}

impl Trouble {
    fn passing(error: &str, detail: String, after: Option<Duration>) -> Self {
        let error = error.into();
        Self { failure: Failure { error, detail }, passing: true, after }
    }

    /// No answer came, or not all of it.
    pub(super) fn broken(error: reqwest::Error) -> Self {
        let detail = match error.is_timeout() {
            true => "the endpoint is silent".into(),
            false => format!("the connection to the endpoint: {}", http::cause(error)),
        };
        Self::passing(OUT_OF_REACH, detail, None)
    }

    /// The endpoint says in the midst of an answer, or by its end, that it can't go on.
    pub(super) fn given_up(detail: impl Into<String>) -> Self {
        Self::passing(OUT_OF_REACH, detail.into(), None)
    }

    /// The same after the visitor has seen a part of the reply. To ask again would put another
    /// reply behind that part: it stays, and is not passed off as all there is.
    pub(super) fn halfway(mut self) -> Self {
        if self.passing {
            self.passing = false;
            self.failure.error = CUT_OFF.into();
            self.failure.detail = format!("cut off: {}", self.failure.detail);
        }
        self
    }

    /// Whether the endpoint objects to something by its name.
    pub(super) fn names(&self, name: &str) -> bool {
        !self.passing && self.failure.detail.contains(name)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self { failure, passing: false, after: None }
    }
}

impl From<Gone> for Trouble {
    fn from(gone: Gone) -> Self {
        Failure::from(gone).into()
    }
}

/// How long one turn's reply is still asked for.
pub(super) struct Patience {
    until: Instant,
    delay: Duration,
}

impl Patience {
    /// Waits until it is time to ask again: after as long as the endpoint wants and somewhat more,
    /// so that not all come back at once. Gives the failure where that is of no use, or too late.
    pub(super) async fn wait(&mut self, trouble: Trouble, reply: &Reply) -> Result<(), Failure> {
        let Trouble { failure, passing, after } = trouble;
        let wait = after.unwrap_or_default().saturating_add(jittered(self.delay));
        let left = self.until.saturating_duration_since(Instant::now());
        if !passing || wait > left {
            return Err(failure);
        }
        tracing::info!(
            "{}; asking again in {:.1} s",
            printable(&failure.detail),
            wait.as_secs_f32()
        );
        reply.status("No answer yet, trying again").await?;
        sleep(wait).await;
        self.delay = (self.delay * 2).min(BACKOFF.end);
        Ok(())
    }
}

/// The type of an answer's body, without parameters and in lower case.
pub(super) fn media_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE).map(HeaderValue::to_str);
    let value = value.and_then(Result::ok).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// What a document that tells an error says, by the customs of such documents.
pub(super) fn explain(document: &Value) -> String {
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

/// The beginning of what an endpoint says.
pub(super) fn clip(text: &str) -> String {
    let text = text.trim();
    text[..text.floor_char_boundary(TOLD)].to_owned()
}

/// The secret in a file, or else in the first of these variables that is there.
pub(super) fn secret(file: Option<&Path>, variables: &[&str]) -> anyhow::Result<Option<String>> {
    let secret = match file {
        Some(path) => Some(
            fs::read_to_string(path)
                .with_context(|| format!("cannot read the key in {}", path.display()))?,
        ),
        None => variables.iter().find_map(|name| env::var(name).ok()),
    };
    let secret = secret.map(|secret| secret.trim().to_owned());
    if let Some(secret) = &secret {
        HeaderValue::from_str(secret).context("the key has characters that no key has")?;
    }
    Ok(secret.filter(|secret| !secret.is_empty()))
}

/// Reads the URL of an endpoint.
pub(super) fn url(text: &str) -> Result<Url, String> {
    let url: Option<Url> = text.parse().ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| "an endpoint looks like https://model.example/v1".into())
}

fn duration(text: &str) -> Result<Duration, String> {
    time::lifetime(text)?.try_into().map_err(|_| "that is too long".into())
}

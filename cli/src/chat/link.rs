//! A chat link over HTTP: posts messages, opens streams, and retries temporary errors.

use super::proof::Unproven;
use crate::{
    console::note,
    http::{self, cause},
};
use anyhow::{Context as _, anyhow, bail};
use arizuko_proto::client::Backoff;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use reqwest::{Client, Response, StatusCode, Url, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{ops::Range, time::Duration};
use tokio::time::{Instant, sleep};

/// How long an outage may last before the command gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait before the next try if the server doesn't say: at first, and at most.
const RETRY: Range<Duration> = Duration::from_millis(250)..Duration::from_secs(4);
/// How long a connection may be silent. A stream has a comment every 15 s by default.
const READ_TIMEOUT: Duration = Duration::from_secs(45);
/// How long a response that is not a stream may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// A longer wait than this counts as a refusal: nobody waits that long at a terminal.
const LONG: Duration = Duration::from_secs(600);

/// How many of the newest turns of a conversation each look gets: more than can begin between two
/// looks.
const NEWEST: usize = 10;

/// How many challenges to solve for one message, at most.
const CHALLENGES: usize = 5;

/// A chat link.
pub(super) struct ChatLink {
    http: Client,
    base: Url,
}

/// What the chat page knows before the first message.
#[derive(Deserialize)]
pub(super) struct Config {
    pub(super) name: String,
    #[serde(default)]
    pub(super) greeting: String,
    #[serde(default)]
    pub(super) paused: bool,
    /// What to say outside the link's hours; `None` within them.
    #[serde(default)]
    pub(super) away: Option<Away>,
}

#[derive(Deserialize)]
pub(super) struct Away {
    pub(super) text: String,
}

/// A message that the server has accepted.
#[derive(Deserialize)]
pub(super) struct Posted {
    pub(super) turn_id: String,
    pub(super) conversation: String,
    status: String,
    agent_attached: bool,
}

/// A turn as a conversation's history has it.
#[derive(Deserialize)]
pub(super) struct Turn {
    pub(super) turn_id: String,
    /// The number of its last frame.
    pub(super) n: u64,
}

/// A frame of a turn: what the stream has as an event.
#[derive(Deserialize)]
pub(super) struct Frame {
    pub(super) event: String,
    pub(super) data: Value,
}

impl Posted {
    /// Says whether the message waits for an agent to attach.
    pub(super) fn waits(&self) -> bool {
        !self.agent_attached && self.status == "queued"
    }
}

impl ChatLink {
    pub(super) fn new(base: Url) -> anyhow::Result<Self> {
        let http = http::client(&base).read_timeout(READ_TIMEOUT).build();
        Ok(Self { http: http.context("cannot prepare HTTP")?, base })
    }

    /// Asks for the link's name and greeting. Doesn't retry.
    pub(super) async fn config(&self) -> anyhow::Result<Config> {
        let request = self.http.get(self.under("config")?).timeout(ANSWER_TIMEOUT);
        let response = request.send().await.map_err(|error| {
            let host = self.base.origin().ascii_serialization();
            anyhow!("cannot reach {host} ({}): is it running?", cause(error))
        })?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        let config = response.json().await;
        config.map_err(|error| anyhow!("there is no chat link at this URL: {}", cause(error)))
    }

    /// Posts a message. Retries with the same idempotency key until the message is accepted or
    /// refused, or the outage has lasted too long.
    pub(super) async fn post(
        &self,
        content: &str,
        conversation: Option<&str>,
    ) -> anyhow::Result<Posted> {
        let mut key = [0; 24];
        getrandom::fill(&mut key).map_err(|error| anyhow!("no random bytes: {error}"))?;
        let mut body = json!({ "content": content });
        if let Some(conversation) = conversation {
            body["conversation"] = conversation.into();
        }
        for _ in 0..CHALLENGES {
            let request = || {
                self.http
                    .post(self.base.clone())
                    .header("idempotency-key", BASE64_URL_SAFE_NO_PAD.encode(key))
                    .header(header::ACCEPT, "application/json")
                    .json(&body)
            };
            match self.until_answered(request).await.map_err(|error| error.downcast::<Unproven>()) {
                Ok(posted) => return Ok(posted),
                Err(Ok(unproven)) => body["altcha"] = unproven.solve().await?.into(),
                Err(Err(error)) => return Err(error),
            }
        }
        bail!("this link refuses every proof of work")
    }

    /// Cancels a turn.
    pub(super) async fn cancel(&self, turn_id: &str) -> anyhow::Result<()> {
        let url = self.under(&format!("{turn_id}/cancel"))?;
        self.until_answered::<Value>(|| self.http.post(url.clone())).await?;
        Ok(())
    }

    /// Returns a turn as it is now.
    pub(super) async fn snapshot(&self, turn_id: &str) -> anyhow::Result<Value> {
        let url = self.under(turn_id)?;
        self.until_answered(|| self.http.get(url.clone())).await
    }

    /// Returns the newest turns of a conversation, the oldest of them first.
    pub(super) async fn newest(&self, conversation: &str) -> anyhow::Result<Vec<Turn>> {
        #[derive(Deserialize)]
        struct History {
            turns: Vec<Turn>,
        }
        let url = self.under(&format!("c/{conversation}?before=end&limit={NEWEST}"))?;
        Ok(self.until_answered::<History>(|| self.http.get(url.clone())).await?.turns)
    }

    /// Returns a turn's frames after the one with the number `after`.
    pub(super) async fn frames(&self, turn_id: &str, after: u64) -> anyhow::Result<Vec<Frame>> {
        #[derive(Deserialize)]
        struct Snapshot {
            frames: Vec<Frame>,
        }
        let url = self.under(&format!("{turn_id}?after={after}"))?;
        Ok(self.until_answered::<Snapshot>(|| self.http.get(url.clone())).await?.frames)
    }

    /// Opens a conversation's stream after the event `last_id`, or from the beginning if that is
    /// empty.
    pub(super) async fn stream(
        &self,
        conversation: &str,
        last_id: &str,
    ) -> anyhow::Result<Attempt> {
        let mut request = self
            .http
            .get(self.under(&format!("c/{conversation}/sse"))?)
            .header(header::ACCEPT, "text/event-stream");
        if !last_id.is_empty() {
            request = request.header("last-event-id", last_id);
        }
        match request.send().await {
            Err(error) => Ok(Attempt::Later(TemporaryError::from(error))),
            Ok(mut response) if response.status().is_success() => {
                Ok(match response.chunk().await {
                    Ok(Some(first)) => Attempt::Open(response, first),
                    Ok(None) => Attempt::Later(TemporaryError::outage("the stream ended", None)),
                    Err(error) => Attempt::Later(error.into()),
                })
            }
            Ok(response) => Ok(Attempt::Later(TemporaryError::of(response).await?)),
        }
    }

    /// Sends a request until the server accepts or refuses it, or the outage has lasted too long.
    async fn until_answered<T: DeserializeOwned>(
        &self,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> anyhow::Result<T> {
        let mut outage = Outage::default();
        loop {
            let error = match request().timeout(ANSWER_TIMEOUT).send().await {
                Ok(response) if response.status().is_success() => match response.json().await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => TemporaryError::from(error),
                },
                Ok(response) => TemporaryError::of(response).await?,
                Err(error) => TemporaryError::from(error),
            };
            outage.wait(&error).await?;
        }
    }

    fn under(&self, path: &str) -> anyhow::Result<Url> {
        Ok(self.base.join(path)?)
    }
}

/// The result of opening a stream.
pub(super) enum Attempt {
    /// A stream that has begun, with its first bytes.
    Open(Response, Bytes),
    Later(TemporaryError),
}

/// An error after which a retry can succeed.
pub(super) struct TemporaryError {
    problem: String,
    /// How long to wait before a retry, as the server says; `None` if it doesn't say.
    after: Option<Duration>,
    /// Whether the error is a rate limit. That always passes; an outage may not.
    is_rate_limit: bool,
}

impl TemporaryError {
    pub(super) fn outage(problem: impl Into<String>, after: Option<Duration>) -> Self {
        Self { problem: problem.into(), after, is_rate_limit: false }
    }

    /// Reads an error response.
    ///
    /// # Errors
    ///
    /// The server would refuse a retry, too.
    async fn of(response: Response) -> anyhow::Result<Self> {
        let status = response.status();
        let is_rate_limit = status == StatusCode::TOO_MANY_REQUESTS;
        if !is_rate_limit && !matches!(status.as_u16(), 502..=504) {
            return Err(refusal(response).await);
        }
        let after = http::retry_after(response.headers());
        let problem = describe(response).await;
        if after.is_some_and(|after| after > LONG) {
            bail!(problem);
        }
        Ok(Self { problem, after, is_rate_limit })
    }
}

impl From<reqwest::Error> for TemporaryError {
    fn from(error: reqwest::Error) -> Self {
        Self::outage(cause(error), None)
    }
}

/// The failed tries since the last success.
pub(super) struct Outage {
    since: Option<Instant>,
    backoff: Backoff,
}

impl Default for Outage {
    fn default() -> Self {
        Self { since: None, backoff: Backoff::new(RETRY) }
    }
}

impl Outage {
    /// Waits before the next try: as long as the server says, or else longer each time.
    ///
    /// # Errors
    ///
    /// The outage has lasted too long.
    pub(super) async fn wait(&mut self, error: &TemporaryError) -> anyhow::Result<()> {
        let TemporaryError { problem, after, is_rate_limit } = error;
        let is_new = self.since.is_none();
        let since = *self.since.get_or_insert_with(Instant::now);
        if !is_rate_limit && since.elapsed() > PATIENCE {
            bail!("{problem}; gave up after {} s", PATIENCE.as_secs());
        }
        let wait = after.unwrap_or_else(|| self.backoff.wait());
        if is_new || *is_rate_limit {
            note(&format!("({problem}; trying again in {:.1} s)", wait.as_secs_f32()));
        }
        sleep(wait).await;
        Ok(())
    }
}

async fn refusal(response: Response) -> anyhow::Error {
    match response.status() {
        StatusCode::UNAUTHORIZED => anyhow!(
            "this link is unknown, revoked or expired: ask whoever gave it to you for a new one"
        ),
        status if status.is_redirection() => {
            let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            anyhow!("the link has moved: use {}", to.unwrap_or("its new address"))
        }
        status => {
            let mut problem: Value = response.json().await.unwrap_or_default();
            match problem["challenge"].take() {
                Value::Null => anyhow!(sentence(status, &problem)),
                challenge => Unproven { challenge }.into(),
            }
        }
    }
}

/// Returns the gateway's sentence about an error, or else the status.
async fn describe(response: Response) -> String {
    let status = response.status();
    sentence(status, &response.json().await.unwrap_or_default())
}

fn sentence(status: StatusCode, problem: &Value) -> String {
    match problem["detail"].as_str() {
        Some(detail) => detail.trim_end_matches('.').to_owned(),
        None => format!("the server answers {status}"),
    }
}

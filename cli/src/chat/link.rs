//! A chat link over HTTP: posts messages and opens streams, and knows which failures pass.

use crate::{
    console::note,
    http::{self, cause},
};
use anyhow::{Context as _, anyhow, bail};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::{Client, Response, StatusCode, Url, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long an outage is waited out.
const PATIENCE: Duration = Duration::from_secs(60);
/// The stream has a comment every 15 s: silence for this long is a dead link.
const SILENCE: Duration = Duration::from_secs(45);
/// How long any other answer may take.
const ANSWER: Duration = Duration::from_secs(20);

/// A chat link.
pub(super) struct Link {
    http: Client,
    base: Url,
}

/// What the page would show first.
#[derive(Deserialize)]
pub(super) struct Config {
    pub(super) name: String,
    #[serde(default)]
    pub(super) greeting: String,
}

/// A message that was taken.
#[derive(Deserialize)]
pub(super) struct Posted {
    pub(super) turn_id: String,
    pub(super) conversation: String,
    status: String,
    agent_attached: bool,
}

impl Posted {
    /// Whether it waits for somebody to come.
    pub(super) fn waits(&self) -> bool {
        !self.agent_attached && self.status == "queued"
    }
}

impl Link {
    pub(super) fn new(base: Url) -> anyhow::Result<Self> {
        let http = http::client(&base).read_timeout(SILENCE).build();
        Ok(Self { http: http.context("cannot prepare HTTP")?, base })
    }

    /// Asks for what the page shows first. A host that can't be reached at all is told at once.
    pub(super) async fn config(&self) -> anyhow::Result<Config> {
        let request = self.http.get(self.under("config")?).timeout(ANSWER);
        let response = request.send().await.map_err(|error| {
            let host = self.base.origin().ascii_serialization();
            anyhow!("cannot reach {host} ({}): is it running?", cause(error))
        })?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        let config = response.json().await;
        config.map_err(|error| anyhow!("what answers there is no chat link: {}", cause(error)))
    }

    /// Posts a message, and again with the same key until it is known to be taken or refused.
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
        let request = || {
            self.http
                .post(self.base.clone())
                .header("idempotency-key", BASE64_URL_SAFE_NO_PAD.encode(key))
                .header(header::ACCEPT, "application/json")
                .json(&body)
        };
        self.until_answered(request).await
    }

    /// Stops a turn.
    pub(super) async fn cancel(&self, turn_id: &str) -> anyhow::Result<()> {
        let url = self.under(&format!("{turn_id}/cancel"))?;
        self.until_answered::<Value>(|| self.http.post(url.clone())).await?;
        Ok(())
    }

    /// A turn as it stands.
    pub(super) async fn snapshot(&self, turn_id: &str) -> anyhow::Result<Value> {
        let url = self.under(turn_id)?;
        self.until_answered(|| self.http.get(url.clone())).await
    }

    /// Opens a conversation's stream after the event `last_id`.
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
            Err(error) => Ok(Attempt::Later(Trouble::from(error))),
            Ok(response) if response.status().is_success() => Ok(Attempt::Open(response)),
            Ok(response) => Ok(Attempt::Later(Trouble::of(response).await?)),
        }
    }

    /// Sends a request until it is answered, as told or a little later each time.
    async fn until_answered<T: DeserializeOwned>(
        &self,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> anyhow::Result<T> {
        let mut outage = Outage::default();
        loop {
            let trouble = match request().timeout(ANSWER).send().await {
                Ok(response) if response.status().is_success() => match response.json().await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => Trouble::from(error),
                },
                Ok(response) => Trouble::of(response).await?,
                Err(error) => Trouble::from(error),
            };
            outage.wait(&trouble).await?;
        }
    }

    fn under(&self, path: &str) -> anyhow::Result<Url> {
        Ok(self.base.join(path)?)
    }
}

/// What came of opening a stream.
pub(super) enum Attempt {
    Open(Response),
    Later(Trouble),
}

/// A failure that passes.
pub(super) struct Trouble {
    what: String,
    /// When to come back, if that was told.
    after: Option<Duration>,
    /// We are too fast, and know that this ends; an outage may not.
    limited: bool,
}

impl Trouble {
    pub(super) fn outage(what: impl Into<String>, after: Option<Duration>) -> Self {
        Self { what: what.into(), after, limited: false }
    }

    /// What a refusal says, if it may be another one later; or else the error to end with.
    async fn of(response: Response) -> anyhow::Result<Self> {
        let status = response.status();
        let limited = status == StatusCode::TOO_MANY_REQUESTS;
        if !limited && !matches!(status.as_u16(), 502..=504) {
            return Err(refusal(response).await);
        }
        let after = http::retry_after(response.headers());
        Ok(Self { what: describe(response).await, after, limited })
    }
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        Self::outage(cause(error), None)
    }
}

/// A time without an answer.
#[derive(Default)]
pub(super) struct Outage {
    since: Option<Instant>,
    tries: u32,
}

impl Outage {
    /// Waits before the next try: as told, or longer each time.
    pub(super) async fn wait(&mut self, trouble: &Trouble) -> anyhow::Result<()> {
        let Trouble { what, after, limited } = trouble;
        let since = *self.since.get_or_insert_with(Instant::now);
        if !limited && since.elapsed() > PATIENCE {
            bail!("{what}; gave up after {} s", PATIENCE.as_secs());
        }
        let backoff = Duration::from_millis(250) * 2u32.pow(self.tries.min(4));
        let wait = after.unwrap_or(backoff);
        if self.tries == 0 || *limited {
            note(&format!("({what}; trying again in {:.1} s)", wait.as_secs_f32()));
        }
        self.tries += 1;
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
        _ => anyhow!(describe(response).await),
    }
}

/// The sentence that the gateway gives, or what little else there is.
async fn describe(response: Response) -> String {
    let status = response.status();
    let problem: Value = response.json().await.unwrap_or_default();
    match problem["detail"].as_str() {
        Some(detail) => detail.trim_end_matches('.').to_owned(),
        None => format!("the server answers {status}"),
    }
}

//! A visitor: HTTP requests to one link at one gateway. Answers are checked for the headers that
//! every answer has. An answer that is read to its end is also checked against the gateway's
//! contract.

use crate::{
    BOTH,
    Instance::{self, A},
    Stack,
    contract::Answered,
    operator::Link,
    sse::{Cursor, Event, Events, read_to_the_end},
    within,
};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Somebody, or a program, that sends requests to one base URL.
#[derive(Clone)]
pub struct Visitor {
    web: reqwest::Client,
    base: String,
    /// The address that a trusted proxy would name.
    address: Option<String>,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// The ids in the answer to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The turn's id.
    pub turn: String,
    /// The conversation's id.
    pub conversation: String,
}

impl Stack {
    /// Issues a chat link of `folder`, and returns its visitor at gateway A.
    pub async fn visit(&self, folder: &str) -> Visitor {
        self.visitor(&self.issue(folder).await, A)
    }

    /// Issues a chat link of `folder`, and returns its visitor at each gateway.
    pub async fn visit_both(&self, folder: &str) -> [Visitor; 2] {
        self.visitors(&self.issue(folder).await)
    }

    /// Returns a visitor of a chat link at each gateway.
    pub fn visitors(&self, link: &Link) -> [Visitor; 2] {
        BOTH.map(|gateway| self.visitor(link, gateway))
    }

    /// Returns a visitor of a chat link at a gateway.
    pub fn visitor(&self, link: &Link, gateway: Instance) -> Visitor {
        self.at(gateway, &format!("/chat/{}/", link.token))
    }

    /// Returns a caller of a webhook at a gateway.
    pub fn caller(&self, link: &Link, gateway: Instance) -> Visitor {
        self.at(gateway, &format!("/hook/{}", link.token))
    }

    /// Returns a visitor at a gateway whose requests all have paths that begin with `path`.
    pub fn at(&self, gateway: Instance, path: &str) -> Visitor {
        let base = format!("{}{path}", self.gateway(gateway));
        Visitor { web: self.web.clone(), base, address: None }
    }
}

impl Visitor {
    /// Builds a request to the base URL followed by `path`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.web.request(method, format!("{}{path}", self.base));
        match &self.address {
            Some(address) => request.header("x-forwarded-for", address),
            None => request,
        }
    }

    /// Gives the visitor this address. The gateway must trust the test as a proxy.
    pub fn from_address(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Sends a GET.
    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    /// Gets a JSON document; asserts 200.
    pub async fn json(&self, path: &str) -> Value {
        self.get(path).await.expect(200).json()
    }

    /// Sends a DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await
    }

    /// Sends a POST without a body.
    pub async fn post_to(&self, path: &str) -> Answer {
        send(self.request(Method::POST, path)).await
    }

    /// Posts a body of this content type to the base URL.
    pub async fn post(&self, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(Method::POST, "").header("content-type", kind);
        send(request.body(body)).await
    }

    /// Posts a JSON document to the base URL.
    pub async fn post_json(&self, document: &Value) -> Answer {
        self.post("application/json", document.to_string()).await
    }

    /// Sends a message in a new conversation.
    pub async fn say(&self, content: &str) -> Posted {
        self.post_json(&json!({"content": content})).await.posted()
    }

    /// Sends a message in a conversation.
    pub async fn say_in(&self, conversation: &str, content: &str) -> Posted {
        let message = json!({"content": content, "conversation": conversation});
        self.post_json(&message).await.posted()
    }

    /// Posts a message with an idempotency key.
    pub async fn say_once(&self, key: &str, document: &Value) -> Answer {
        let request = self.request(Method::POST, "").header("idempotency-key", key);
        send(request.json(document)).await
    }

    /// Posts a message and returns the turn's stream, which is the answer.
    pub async fn stream_of(&self, document: &Value) -> Events {
        let request = self.request(Method::POST, "").header("accept", "text/event-stream");
        let response = within("a stream in answer", request.json(document).send()).await;
        let response = response.unwrap_or_else(|error| panic!("no answer: {error:?}"));
        check(response.headers(), "a POST");
        Events::new(response).ok()
    }

    /// Opens an event stream that begins at `cursor`.
    pub async fn open(&self, path: &str, cursor: Cursor<'_>) -> Events {
        let events = within("an event stream's head", self.try_open(path, cursor)).await;
        let events = events.unwrap_or_else(|| panic!("no answer to GET {path}"));
        check(&events.headers, path);
        events
    }

    /// Opens an event stream that begins at `cursor`. Returns `None` if the server is unreachable.
    pub async fn try_open(&self, path: &str, cursor: Cursor<'_>) -> Option<Events> {
        let mut request = self.request(Method::GET, path);
        if let Cursor::After(id) = cursor {
            request = request.header("last-event-id", id.as_bytes());
        }
        request.send().await.ok().map(Events::new)
    }

    /// Opens a turn's stream; asserts that the answer is an event stream.
    pub async fn listen(&self, turn: &str) -> Events {
        self.open(&format!("{turn}/sse"), Cursor::Start).await.ok()
    }

    /// Reads a turn's stream to its end.
    pub async fn read(&self, turn: &str) -> Vec<Event> {
        self.listen(turn).await.rest().await
    }

    /// Reads a turn's reply in the background, as [`read_to_the_end`] does.
    pub fn read_meanwhile(&self, turn: &str) -> JoinHandle<Vec<Event>> {
        let (reader, turn) = (self.clone(), turn.to_owned());
        tokio::spawn(async move { read_to_the_end(&reader, &turn).await })
    }

    /// Repeats a message with one idempotency key until it is taken or refused for good.
    pub async fn say_until_answered(&self, key: &str, document: &Value) -> Answer {
        within("a message to be taken or refused", async {
            loop {
                let answer = self.say_once(key, document).await;
                match answer.status.as_u16() {
                    503 | 504 => assert!(answer.retry_after() >= 1),
                    _ => return answer,
                }
            }
        })
        .await
    }

    /// Repeats a message with one idempotency key until it is taken.
    pub async fn say_until_taken(&self, key: &str, document: &Value) -> Posted {
        self.say_until_answered(key, document).await.posted()
    }

    /// Cancels a turn.
    pub async fn cancel(&self, turn: &str) {
        self.post_to(&format!("{turn}/cancel")).await.expect(200);
    }

    /// Opens a conversation's stream; asserts that the answer is an event stream.
    pub async fn follow(&self, conversation: &str) -> Events {
        self.open(&format!("c/{conversation}/sse"), Cursor::Start).await.ok()
    }

    /// Waits up to 15 s for a turn's end, and returns its status document.
    pub async fn end_of(&self, turn: &str) -> Value {
        let answer = self.get(&format!("{turn}/status?wait=15")).await.expect(200);
        let standing = answer.json();
        let status = standing["status"].as_str().unwrap_or_default();
        let ended = !["queued", "running"].contains(&status);
        assert!(ended, "waited 15 s for the turn's end: {standing}");
        standing
    }
}

impl Answer {
    /// Asserts the status.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }

    /// Asserts that this is a problem document with this status and reason.
    pub fn refused(self, status: u16, reason: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem = answer.json();
        assert_eq!(problem["reason"], reason, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        let told = |name: &str| problem[name].as_str().is_some_and(|text| !text.is_empty());
        assert!(told("title") && told("detail"), "{problem}");
        answer
    }

    /// Asserts that a message was taken, and returns the ids.
    pub fn posted(self) -> Posted {
        let answer = self.expect(202).json();
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let (turn, conversation) = (text("turn_id"), text("conversation"));
        assert!(is_id(&turn) && is_id(&conversation), "{answer}");
        Posted { turn, conversation }
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> Value {
        let document = serde_json::from_slice(&self.body);
        document.unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns a header, or the empty string if there is none.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str());
        value.and_then(Result::ok).unwrap_or_default()
    }

    /// Returns Retry-After in seconds; fails the test if there is none.
    pub fn retry_after(&self) -> u64 {
        let seconds = self.header("retry-after").parse();
        seconds.unwrap_or_else(|_| panic!("no Retry-After in {:?}: {}", self.headers, self.text()))
    }
}

/// Sends a request and reads the answer.
pub async fn send(request: RequestBuilder) -> Answer {
    match try_send(request).await {
        Ok(answer) => answer,
        Err(error) => panic!("no answer: {error:?}"),
    }
}

/// Sends a request to a server that may be unreachable.
pub async fn try_send(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    within("an HTTP answer", async {
        let (client, request) = request.build_split();
        let request = request?;
        let method = request.method().clone();
        let response = client.execute(request).await?;
        let (status, headers, url) =
            (response.status(), response.headers().clone(), response.url().clone());
        check(&headers, url.path());
        let body = response.bytes().await?;
        Answered { method: &method, url: &url, status, headers: &headers, body: &body }
            .check()
            .await;
        Ok(Answer { status, headers, body })
    })
    .await
}

/// Checks the headers that all answers have.
fn check(headers: &HeaderMap, path: &str) {
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert!(!headers.contains_key("set-cookie"), "a cookie at {path}: {headers:?}");
    assert_eq!(text("referrer-policy"), "no-referrer", "{path}");
    assert_eq!(text("x-content-type-options"), "nosniff", "{path}");
    assert!(text("x-robots-tag").contains("noindex"), "{path}: {headers:?}");
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        assert_eq!(text(name), "same-origin", "{path}");
    }
    assert!(text("permissions-policy").contains("camera=()"), "{path}: {headers:?}");
    let policy = text("content-security-policy");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("frame-ancestors"),
        "{path}: {policy}"
    );
    // A logo is a picture, which may have styles of its own.
    let is_strict = path.ends_with("/logo") || !policy.contains("unsafe");
    assert!(is_strict, "{path}: {policy}");
    if !path.starts_with("/assets/") {
        assert!(text("cache-control").contains("no-store"), "{path}: {headers:?}");
    }
}

/// Whether this looks like the id of a conversation or a turn: 18 bytes in base64url.
pub fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.len() == 24 && text.bytes().all(plain)
}

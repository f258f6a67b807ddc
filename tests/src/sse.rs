//! A reader of event streams. It keeps the raw text, so that tests can compare what two readers got.

use crate::{http::Visitor, within};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::{pin::Pin, time::Duration};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// Where a reader starts.
#[derive(Clone, Copy, Debug)]
pub enum Cursor<'a> {
    /// At the beginning.
    Start,
    /// After the frame with this id.
    After(&'a str),
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its `id:`, which may be empty; `None` if it has none.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: Value,
    /// Its raw lines.
    pub raw: String,
}

/// An open event stream.
pub struct Events {
    /// The answer's status.
    pub status: StatusCode,
    /// The answer's headers.
    pub headers: HeaderMap,
    /// The last `retry:` that came, in milliseconds.
    pub retry: Option<u64>,
    /// The comments that came.
    pub comments: Vec<String>,
    body: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    buffer: Vec<u8>,
}

impl Events {
    pub(crate) fn new(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = Box::pin(response.bytes_stream());
        Self { status, headers, retry: None, comments: Vec::new(), body, buffer: Vec::new() }
    }

    /// Asserts that this is an event stream.
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{:?}", self.headers);
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header("content-type"), Some("text/event-stream"));
        assert_eq!(header("x-accel-buffering"), Some("no"));
        assert!(header("cache-control").is_some_and(|value| value.contains("no-transform")));
        self
    }

    /// Reads the next event; `None` if the stream has ended or broken.
    pub async fn next(&mut self) -> Option<Event> {
        within("the next event", self.read()).await
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            while let Some(block) = self.block().await? {
                if let Some(event) = self.parse(block) {
                    return Some(event);
                }
            }
        }
    }

    /// Reads the next block of lines. Returns `Some(None)` if the block is still incomplete, and
    /// `None` if the stream has ended or broken.
    async fn block(&mut self) -> Option<Option<String>> {
        if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
            return Some(Some(String::from_utf8(block).expect("event streams are UTF-8")));
        }
        let chunk = self.body.next().await?.ok()?;
        self.buffer.extend_from_slice(&chunk);
        Some(None)
    }

    fn parse(&mut self, raw: String) -> Option<Event> {
        let (mut id, mut name, mut data) = (None, "message".to_owned(), None);
        for line in raw.lines().filter(|line| !line.is_empty()) {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "id" => id = Some(value),
                "event" => name = value,
                "data" => data = Some(value),
                "retry" => self.retry = value.parse().ok(),
                "" => self.comments.push(value),
                other => panic!("no such field in an event stream: {other}"),
            }
        }
        let data = serde_json::from_str(&data?).expect("each event's data is JSON");
        Some(Event { id, name, data, raw })
    }

    /// Reads up to and including the next event of this name.
    pub async fn through(&mut self, name: &str) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            let last = event.name == name;
            events.push(event);
            if last {
                return events;
            }
        }
        panic!("the stream ended before {name}: {events:?}");
    }

    /// Reads the next `count` events.
    pub async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            let event = self.next().await;
            events.push(event.unwrap_or_else(|| panic!("the stream ended after {events:?}")));
        }
        events
    }

    /// Reads to the end.
    pub async fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// Waits until `count` comments have come in all. Fails the test if an event comes.
    pub async fn comment(&mut self, count: usize) {
        within("a comment", async {
            while self.comments.len() < count {
                let block = self.block().await.expect("the stream goes on");
                if let Some(event) = block.and_then(|block| self.parse(block)) {
                    panic!("{event:?} came in place of a comment");
                }
            }
        })
        .await;
    }

    /// Reads until `retry:` has come, with which every stream begins.
    pub async fn greeting(&mut self) {
        within("a stream's first bytes", async {
            while self.retry.is_none() {
                let block = self.block().await.expect("the stream begins before it ends");
                if let Some(event) = block.and_then(|block| self.parse(block)) {
                    panic!("{event:?} came before the greeting");
                }
            }
        })
        .await;
    }
}

/// How long a reply may take in spite of faults.
const WHOLE_REPLY: Duration = Duration::from_secs(120);

/// Opens a stream on a connection with a small receive buffer, and does not read. The request uses
/// HTTP/1.0, so that the body is not chunked.
pub async fn stalled(gateway: &str, path: &str) -> TcpStream {
    unread(gateway, &format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n")).await
}

/// Sends this text as a request, on a connection with a small receive buffer, and reads nothing.
pub async fn unread(gateway: &str, request: &str) -> TcpStream {
    let address = gateway.trim_start_matches("http://").parse();
    let socket = TcpSocket::new_v4().expect("the system has sockets");
    socket.set_recv_buffer_size(4096).expect("it may be small");
    let connected = socket.connect(address.expect("an address")).await;
    let mut stream = connected.expect("the gateway listens");
    let sent = stream.write_all(request.as_bytes()).await;
    sent.expect("the gateway reads");
    stream
}

/// Reads a turn's reply as a browser's `EventSource` does: reconnects with the last id until the
/// answer is 204.
pub async fn read_to_the_end(visitor: &Visitor, turn: &str) -> Vec<Event> {
    let path = format!("{turn}/sse");
    let mut seen: Vec<Event> = Vec::new();
    let reading = async {
        loop {
            let last = seen.last().and_then(|event| event.id.clone());
            let cursor = last.as_deref().map_or(Cursor::Start, Cursor::After);
            let Some(mut events) = visitor.try_open(&path, cursor).await else {
                // A browser waits longer, but a second already keeps thousands of readers from
                // flooding the gateway.
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            if events.status == 204 {
                return;
            }
            assert_eq!(events.status, 200);
            while let Some(event) = events.read().await {
                seen.push(event);
            }
        }
    };
    let read = timeout(WHOLE_REPLY, reading).await;
    assert!(read.is_ok(), "no end of the reply within {WHOLE_REPLY:?}: {seen:?}");
    seen
}

/// Returns the raw text of the events.
pub fn raw(events: &[Event]) -> String {
    events.iter().map(|event| event.raw.as_str()).collect()
}

/// Returns the events' names.
pub fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

/// Returns the ids of the numbered events.
pub fn ids(events: &[Event]) -> Vec<String> {
    events.iter().filter_map(|event| event.id.clone()).collect()
}

/// Returns the id and text of each message that a reader ends up with, in order.
pub fn transcript(events: &[Event]) -> Vec<(String, String)> {
    let mut messages: Vec<Said> = Vec::new();
    for Event { name, data, .. } in events {
        let text = |field: &str| data[field].as_str().unwrap_or_default().to_owned();
        let (id, turn) = (text("id"), text("turn_id"));
        let at = messages.iter().position(|message| message.id == id);
        let said = |text| Said { turn: turn.clone(), id: id.clone(), text, kept: false };
        match (name.as_str(), at) {
            ("delta", Some(at)) => messages[at].text += &text("text"),
            ("delta", None) => messages.push(said(text("text"))),
            ("message", Some(at)) => messages[at].text = text("content"),
            ("message", None) => messages.push(said(text("content"))),
            ("restart", _) => {
                if data["keep"] == false {
                    messages.retain(|message| message.turn != turn || message.kept);
                }
                let of_turn = messages.iter_mut().filter(|message| message.turn == turn);
                of_turn.for_each(|message| message.kept = true);
            }
            _ => {}
        }
    }
    messages.into_iter().map(|said| (said.id, said.text)).collect()
}

/// Returns the joined text of the messages that a reader ends up with.
pub fn text(events: &[Event]) -> String {
    transcript(events).into_iter().map(|(_, text)| text).collect()
}

/// A message of a transcript.
struct Said {
    turn: String,
    id: String,
    text: String,
    /// Whether a restart of its turn has kept the message.
    kept: bool,
}

/// Applies the `html` events as the page does. Returns each message's id and HTML.
pub fn rendered(events: &[Event]) -> Vec<(String, String)> {
    let mut messages: Vec<(String, Vec<String>)> = Vec::new();
    for event in events.iter().filter(|event| event.name == "html") {
        let number = |name: &str| event.data[name].as_u64().unwrap_or(0) as usize;
        let id = event.data["id"].as_str().expect("the message's id");
        let at = messages.iter().position(|(known, _)| known == id);
        let at = at.unwrap_or_else(|| {
            messages.push((id.to_owned(), Vec::new()));
            messages.len() - 1
        });
        let blocks = &mut messages[at].1;
        assert!(number("block") <= blocks.len(), "a hole before {event:?}");
        let dropped = blocks.split_off(number("block"));
        let html = event.data["html"].as_array().expect("the blocks").iter();
        blocks.extend(html.map(|html| html.as_str().expect("HTML").to_owned()));
        if let (Some(old), Some(new)) = (dropped.first(), blocks.get_mut(number("block"))) {
            let old: Vec<_> = old.encode_utf16().collect();
            let (start, end) = (&old[..number("keep")], &old[old.len() - number("tail")..]);
            let [start, end] = [start, end].map(|kept| String::from_utf16(kept).expect("text"));
            *new = start + new + &end;
        }
    }
    messages.into_iter().map(|(id, blocks)| (id, blocks.concat())).collect()
}

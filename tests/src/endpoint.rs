//! An HTTP server that the test plays: the test decides what to answer, when, and how to misbehave.

use crate::within;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// A listening server.
pub struct Endpoint {
    listener: TcpListener,
    url: String,
}

/// A request that waits for an answer.
pub struct Asked {
    /// Its path.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, a JSON document.
    pub body: Value,
    stream: BufReader<TcpStream>,
}

impl Endpoint {
    /// Starts to listen.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        Self::of(listener.expect("loopback has free ports"))
    }

    /// Answers on this listener.
    pub fn on(listener: std::net::TcpListener) -> Self {
        let listening =
            listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
        let listener = listening.expect("it listens");
        Self::of(listener)
    }

    fn of(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("it is bound");
        Self { listener, url: format!("http://{address}") }
    }

    /// Returns the server's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits for the next request.
    pub async fn asked(&mut self) -> Asked {
        let (stream, _) =
            within("a request to the endpoint", self.listener.accept()).await.expect("it connects");
        within("the rest of a request", Asked::read(stream)).await
    }
}

impl Asked {
    async fn read(stream: TcpStream) -> Self {
        let mut stream = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.expect("a request's head");
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let first = lines.remove(0);
        let [method, path, _] = first.split(' ').collect::<Vec<_>>()[..] else {
            panic!("no request: {first}")
        };
        assert_eq!(method, "POST");
        let headers: HeaderMap = lines
            .iter()
            .map(|line| {
                let (name, value) = line.split_once(": ").expect("a header");
                let name: HeaderName = name.parse().expect("a header's name");
                (name, HeaderValue::from_str(value).expect("its value"))
            })
            .collect();
        let length = headers["content-length"].to_str().unwrap_or_default();
        let mut body = vec![0; length.parse().expect("a number")];
        stream.read_exact(&mut body).await.expect("a body");
        Self {
            path: path.to_owned(),
            body: serde_json::from_slice(&body).expect("it is JSON"),
            headers,
            stream,
        }
    }

    /// Returns a header, or the empty string if there is none.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str());
        value.and_then(Result::ok).unwrap_or_default()
    }

    /// Sends a whole answer. `head` is the status, followed by further headers on lines of their
    /// own.
    pub async fn answer(self, head: &str, kind: &str, body: &str) {
        self.answer_bytes(head, kind, body.as_bytes()).await;
    }

    /// Like [`Self::answer`], with any bytes as the body.
    pub async fn answer_bytes(mut self, head: &str, kind: &str, body: &[u8]) {
        let length = body.len();
        self.write(&format!(
            "HTTP/1.1 {head}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n"
        ))
        .await;
        self.stream.write_all(body).await.expect("the other side listens");
    }

    /// Begins a chunked answer.
    pub async fn begin(&mut self, kind: &str) {
        self.write(&format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\
             connection: close\r\n\r\n"
        ))
        .await;
    }

    /// Sends a chunk.
    pub async fn piece(&mut self, text: &str) {
        self.write(&format!("{:x}\r\n{text}\r\n", text.len())).await;
    }

    /// Ends a chunked answer. To cut the answer off instead, drop the request.
    pub async fn end(mut self) {
        self.write("0\r\n\r\n").await;
    }

    /// Waits until the client has closed the connection.
    pub async fn hung_up(mut self) {
        let mut byte = [0];
        let gone = self.stream.read(&mut byte);
        let read = within("the end of a request that nobody needs", gone).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }

    async fn write(&mut self, text: &str) {
        let written = self.stream.write_all(text.as_bytes()).await;
        written.expect("the other side listens");
    }
}

//! A connection that sends prepared requests, one at a time. It does less than a real client, so
//! that the processors are left to the servers.

use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A response without its headers.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("TCP has it");
        Self { stream, buffer: Vec::with_capacity(4 << 10) }
    }

    /// Sends a request and reads its response, which must have a Content-Length.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Response {
        self.send(request).await;
        let (head, length) = self.head().await;
        while self.buffer.len() < head + length {
            self.read().await;
        }
        let status = status(&self.buffer);
        let body = self.buffer[head..head + length].to_vec();
        self.buffer.drain(..head + length);
        Response { status, body }
    }

    /// Sends a request whose response is an event stream, and reads the head.
    pub(crate) async fn subscribe(&mut self, request: &[u8]) -> u16 {
        self.send(request).await;
        let (head, _) = self.head().await;
        let status = status(&self.buffer);
        self.buffer.drain(..head);
        status
    }

    /// Reads until the unconsumed part of the response contains `text`, and consumes it to the end
    /// of `text`.
    pub(crate) async fn wait_for(&mut self, text: &[u8]) {
        loop {
            if let Some(at) = find(&self.buffer, text) {
                self.buffer.drain(..at + text.len());
                return;
            }
            self.read().await;
        }
    }

    /// Reads until the response has `start` and then one of `ends`. Consumes all of that, and returns
    /// what is between them.
    pub(crate) async fn text_between(&mut self, start: &[u8], ends: &[u8]) -> String {
        self.wait_for(start).await;
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| ends.contains(byte)) {
                let text = self.buffer.drain(..at).collect();
                return String::from_utf8(text).expect("frames are text");
            }
            self.read().await;
        }
    }

    async fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).await.expect("the server reads");
    }

    /// Returns the length of the head, and the Content-Length.
    async fn head(&mut self) -> (usize, usize) {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..at]).to_lowercase();
                let length = head.split("content-length: ").nth(1);
                let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
                return (at + 4, length.unwrap_or(0));
            }
            self.read().await;
        }
    }

    async fn read(&mut self) {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        let count = read.expect("the server answers in time").expect("the connection holds");
        assert!(count > 0, "the server closed the connection");
    }
}

fn status(head: &[u8]) -> u16 {
    let status = std::str::from_utf8(&head[9..12]).ok().and_then(|status| status.parse().ok());
    status.expect("a status line")
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

/// Writes a request.
pub(crate) fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let sent =
        if body.is_empty() { String::new() } else { format!("content-length: {length}\r\n") };
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}{sent}\r\n{body}").into_bytes()
}

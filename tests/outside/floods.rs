//! Floods: a sender who keeps exceeding a limit of docs/limits.md makes the service hold little
//! more memory, and other visitors are answered about as fast as usual.

mod agents;
mod control;
mod counts;
mod gateway;
mod hooks;
mod messages;
mod reads;
mod silence;
mod streams;
mod texts;

use arizuko_proto::client::Bearer;
use arizuko_tests::{prelude::*, tools::dial};
use std::cell::Cell;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tonic::{service::interceptor::InterceptedService, transport::Endpoint};

/// How much more memory the service may take during a flood. 64 MiB is what one address may make
/// the gateway hold (`--address-body-bytes`); the rest is control's, and what the allocators keep.
const MEMORY: u64 = 160 << 20;
/// How long an answer may take however fast answers usually are: on a slow machine that also runs
/// other tests, they can take that long.
const FLOOR: Duration = Duration::from_secs(2);
/// How many answers the honest visitor waits for, one after the other.
const ANSWERS: usize = 5;
/// Lets one flood come from many addresses.
const PROXY: (&str, &str) = ("ARIZUKO_TRUSTED_PROXY", "127.0.0.1/32");

/// A stack with an agent that repeats what it is told, and an honest visitor of its link.
struct Scene {
    stack: Stack,
    link: Link,
    honest: Visitor,
    usual: Duration,
}

impl Scene {
    async fn new(kind: Kind, limits: &[(&str, &str)]) -> Self {
        Self::on(Stack::with(kind, &[&[PROXY], limits].concat()).await).await
    }

    async fn on(stack: Stack) -> Self {
        let link = stack.issue("acme").await;
        let mut agent = stack.session(A, hello("acme", 10)).await;
        tokio::spawn(async move {
            loop {
                let held = agent.turn().await;
                let content = String::from_utf8_lossy(&held.turn.content).into_owned();
                agent.answer(held, &content).await;
                agent.credit(1).await;
            }
        });
        let honest = stack.visitor(&link, A).from_address("192.0.2.1");
        let mut scene = Self { stack, link, honest, usual: Duration::ZERO };
        scene.usual = scene.latency().await;
        scene
    }

    /// Returns another visitor of the honest one's link.
    fn visitor(&self, address: &str) -> Visitor {
        self.stack.visitor(&self.link, A).from_address(address)
    }

    /// Returns the peak of the memory of the gateway and of control, which are one process in `up`.
    fn peak_memory(&mut self) -> u64 {
        let gateway = self.stack.process(Gateway(A)).peak_memory();
        match self.stack.kind() {
            Kind::Embedded => gateway,
            _ => gateway + self.stack.process(Control(A)).peak_memory(),
        }
    }

    /// Returns how long the honest visitor waits for an answer: the median of a few.
    async fn latency(&self) -> Duration {
        let mut waits = Vec::new();
        for _ in 0..ANSWERS {
            let begun = Instant::now();
            ask(&self.honest, &json!({"content": "hello"})).await;
            waits.push(begun.elapsed());
        }
        waits.sort();
        waits[ANSWERS / 2]
    }

    /// Runs `wave` again and again until the honest visitor has all answers and at least one wave
    /// has returned `true`, which means that it has reached the bound that it floods. Asserts that
    /// the answers were not much slower than usual, and that the memory of the gateway and of
    /// control grew by little.
    async fn withstands(&mut self, mut wave: impl AsyncFnMut(&Self) -> bool) {
        let before = self.peak_memory();
        let (is_over, was_reached) = (Cell::new(false), Cell::new(false));
        let scene = &*self;
        let flood = within("the flood to reach its bound", async {
            while !is_over.get() || !was_reached.get() {
                was_reached.set(wave(scene).await || was_reached.get());
            }
        });
        let answered = async {
            let latency = scene.latency().await;
            is_over.set(true);
            latency
        };
        let ((), latency) = tokio::join!(flood, answered);
        let most = FLOOR.max(3 * self.usual);
        assert!(latency < most, "answers take {latency:?}, usually {:?}", self.usual);
        let more = self.peak_memory().saturating_sub(before);
        assert!(more < MEMORY, "the flood took {} MiB", more >> 20);
    }
}

/// Connects to control as a reader with little room for what it has not read.
async fn with_little_room(stack: &Stack, key: &str) -> Channel {
    let control = Endpoint::from_shared(stack.control(A)).expect("an address");
    let control = control.initial_stream_window_size(65_535).connect().await.expect("it answers");
    let key = Bearer::new(Some(key)).expect("keys are plain text");
    InterceptedService::new(control, key)
}

/// Sends a message and waits for the reply. Returns the turn.
async fn ask(visitor: &Visitor, message: &Value) -> Value {
    let request = visitor.request(Method::POST, "?wait=15").json(message);
    let answer = send(request).await.expect(200).json();
    assert_eq!(answer["status"], "done", "{answer}");
    answer
}

/// Connections of a flood, from several addresses.
#[derive(Default)]
struct Crowd(Vec<TcpStream>);

impl Crowd {
    /// Opens eight more connections. Sends `begin` on each, and then nothing.
    async fn grows(&mut self, server: &str, begin: &[u8]) {
        for number in 0..8 {
            let mut stream = dial(server, &format!("127.0.0.{}", 7 + number % 4)).await;
            // An error means that the server has closed it already.
            let _ = stream.write_all(begin).await;
            self.0.push(stream);
        }
    }

    /// Whether the server has closed any of the streams. Then drops all but the newest 60.
    fn was_cut(&mut self) -> bool {
        let was_cut = self.0.iter().any(|stream| status(stream).is_some());
        self.0.drain(..self.0.len().saturating_sub(60));
        was_cut
    }
}

/// Returns the status of the answer, or "closed" if the connection is closed; `None` if nothing has
/// come by now.
fn status(stream: &TcpStream) -> Option<String> {
    let mut line = [0; 12];
    match stream.try_read(&mut line) {
        Ok(12) => Some(String::from_utf8_lossy(&line[9..]).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
        _ => Some("closed".to_owned()),
    }
}

//! Floods of clients that begin something and then fall silent: each ends at its deadline.

use super::{Scene, status};
use arizuko_proto::v1::{AttachRequest, agent_service_client::AgentServiceClient};
use arizuko_tests::{
    prelude::*,
    tools::{closed, dial},
};
use futures_util::future::join_all;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;

const ATTACKER: &str = "127.0.0.7";

#[apply(embedded)]
async fn bodies_that_stop_half_way(kind: Kind) {
    let mut scene = Scene::new(kind, &[("ARIZUKO_BODY_TIMEOUT", "1s")]).await;
    let hook = scene.stack.issue_hook("acme/nobody", "github", "").await;
    let head =
        format!("POST /hook/{} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", hook.token);
    let half = [head.as_bytes(), &[b'x'; 50_000]].concat();
    let wave = async |scene: &Scene| {
        let gateway = scene.stack.gateway(A);
        let posts = (0..100).map(|_| async {
            let mut stream = dial(&gateway, ATTACKER).await;
            stream.write_all(&half).await.expect("the gateway reads");
            within("an answer", stream.readable()).await.expect("it comes");
            status(&stream)
        });
        join_all(posts).await.into_iter().all(|status| status.as_deref() == Some("408"))
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn agents_without_hello(kind: Kind) {
    let mut scene = Scene::new(kind, &[("ARIZUKO_HELLO_TIMEOUT", "1s")]).await;
    let key = scene.stack.agent_key("acme/flood").await;
    let channel = connect(&scene.stack.control(A), Some(&key)).await;
    let wave = async |_: &Scene| {
        let attach = async |_| {
            let (_silent, requests) = mpsc::channel::<AttachRequest>(1);
            let mut agents = AgentServiceClient::new(channel.clone());
            let attached = within("an answer", agents.attach(ReceiverStream::new(requests)));
            let mut answers = attached.await.expect("the stream begins").into_inner();
            let ended = within("the end of a stream", answers.message()).await;
            reason(&ended.expect_err("a reason"))
        };
        let ended = join_all((0..200).map(attach)).await;
        ended.into_iter().all(|reason| reason == ErrorReason::Invalid)
    };
    scene.withstands(wave).await;
}

/// Begins to watch control's health, which takes no key and has no end, and then reads and says
/// nothing more.
async fn watch(control: &str) -> TcpStream {
    let mut stream = dial(control, "127.0.0.7").await;
    let word =
        |text: &str| [&[u8::try_from(text.len()).expect("it is short")], text.as_bytes()].concat();
    // HPACK (RFC 7541): two names and values, and a name, that it has a number for; the rest as text.
    let head = [
        &[0x83, 0x86, 0x04][..],
        &word("/grpc.health.v1.Health/Watch"),
        &[0x01],
        &word("control"),
        &[0x00],
        &word("content-type"),
        &word("application/grpc"),
        &[0x00],
        &word("te"),
        &word("trailers"),
    ]
    .concat();
    let frame = |kind: u8, flags: u8, of: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).expect("it is short");
        [&[0, 0, length, kind, flags, 0, 0, 0, of], payload].concat()
    };
    let (settings, headers) = (frame(4, 0, 0, &[]), frame(1, 4, 1, &head));
    // An empty message, after which the client sends no more.
    let request = frame(0, 1, 1, &[0; 5]);
    let all = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], &headers, &request].concat();
    stream.write_all(&all).await.expect("control reads");
    stream
}

#[apply(embedded)]
async fn clients_that_answer_no_ping(kind: Kind) {
    let mut scene = Scene::new(kind, &[("ARIZUKO_PING_TIMEOUT", "4500ms")]).await;
    let wave = async |scene: &Scene| {
        let (control, begun) = (scene.stack.control(A), Instant::now());
        let watching = join_all((0..100).map(|_| watch(&control))).await;
        join_all(watching.into_iter().map(closed)).await;
        assert!(begun.elapsed() > Duration::from_secs(3), "they were open until then");
        true
    };
    scene.withstands(wave).await;
}

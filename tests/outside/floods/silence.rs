//! Floods of clients that begin something and then fall silent: each ends at its deadline.

use super::{PROXY, Scene, status};
use arizuko_proto::v1::{AttachRequest, agent_service_client::AgentServiceClient};
use arizuko_tests::{
    prelude::*,
    tools::{closed, dial},
};
use futures_util::future::join_all;
use std::iter;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;

const ATTACKER: &str = "127.0.0.7";

/// Opens 100 connections to a server, sends one of `words` on each in turn, and waits until the
/// server has closed them all.
async fn silent(server: String, words: Vec<&[u8]>) {
    let connections = words.iter().cycle().take(100).map(async |words| {
        let mut stream = dial(&server, ATTACKER).await;
        stream.write_all(words).await.expect("the server reads");
        closed(stream).await;
    });
    join_all(connections).await;
}

/// The head of a TLS record that announces a ClientHello of 512 bytes, and some of it.
const HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

/// Sends a TLS handshake, one byte a second, until the server closes the connection.
async fn slow(server: &str) {
    let (mut reader, mut writer) = dial(server, ATTACKER).await.into_split();
    let speaking = async {
        for byte in HELLO.iter().chain(iter::repeat(&0)) {
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    // An error is an end, too.
    let reading = async { drop(reader.read_to_end(&mut Vec::new()).await) };
    within("the end of a connection", async {
        tokio::select! { () = speaking => {}, () = reading => {} }
    })
    .await;
}

#[apply(embedded)]
async fn connections_that_say_nothing(kind: Kind) {
    let limits = [("ARIZUKO_GATEWAY_IDLE", "1s"), ("ARIZUKO_CONTROL_IDLE", "1s")];
    let mut scene = Scene::new(kind, &limits).await;
    let wave = async |scene: &Scene| {
        let answered = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
        tokio::join!(
            silent(scene.stack.gateway(A), vec![b"", b"GET / HTTP/1.1\r\nHo", answered]),
            silent(
                scene.stack.control(A),
                vec![b"", b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
            ),
        );
        true
    };
    scene.withstands(wave).await;
}

#[apply(one_redis)]
async fn handshakes_that_stop_half_way(kind: Kind) {
    let limits = [PROXY, ("ARIZUKO_TLS_TIMEOUT", "2s")];
    let mut scene = Scene::on(Stack::with_tls(kind, &limits).await).await;
    let wave = async |scene: &Scene| {
        let words = vec![&b""[..], HELLO];
        let (gateway, control) = (scene.stack.gateway(A), scene.stack.control(A));
        let begun = Instant::now();
        tokio::join!(
            silent(gateway.clone(), words.clone()),
            silent(control.clone(), words),
            join_all((0..50).map(|_| slow(&gateway))),
            join_all((0..50).map(|_| slow(&control))),
        );
        // Far sooner than the 10 s that are the default.
        begun.elapsed() < Duration::from_secs(8)
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn readers_that_stop_half_way(kind: Kind) {
    let mut scene = Scene::new(kind, &[SERVED, ("ARIZUKO_WRITE_STALL", "1s")]).await;
    let link = scene.stack.issue("acme/flood").await;
    let turn = scene.stack.visitor(&link, A).say("hello").await.turn;
    let mut agent = scene.stack.attach("acme/flood", A).await;
    let mut held = agent.turn().await;
    agent.push(&mut held, vec![delta("m1", &"x".repeat(60_000)); 50]).await;
    agent.stored(&held).await;
    let path = format!("/chat/{}/{turn}/sse", link.token);
    let wave = async |scene: &Scene| {
        let gateway = scene.stack.gateway(A);
        let mut readers = join_all((0..50).map(|_| stalled(&gateway, &path))).await;
        for reader in &mut readers {
            let mut beginning = [0; 12];
            within("an answer", reader.read_exact(&mut beginning)).await.expect("it comes");
            assert_eq!(&beginning, b"HTTP/1.0 200");
        }
        // The turn is open, so only the gateway ends its streams.
        scene.stack.metric_becomes("arizuko_gateway_open_streams", &[], 0.0).await;
        true
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn bodies_that_nobody_may_send(kind: Kind) {
    let mut scene = Scene::new(kind, &[]).await;
    let head = format!(
        "POST /hook/{} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n",
        &random_id().repeat(3)[..46]
    );
    let wave = async |scene: &Scene| {
        let gateway = scene.stack.gateway(A);
        let posts = (0..60).map(|number| {
            // Most stop after a while; some send more than all that the gateway reads and drops.
            let bytes = if number % 20 == 0 { 20 << 20 } else { 100_000 };
            let (head, gateway) = (head.as_bytes(), &gateway);
            async move {
                let mut stream = dial(gateway, ATTACKER).await;
                stream.write_all(head).await.expect("the gateway reads heads");
                // An error means that the gateway has closed the connection.
                let _ = stream.write_all(&vec![b'x'; bytes]).await;
                let status = status(&stream);
                closed(stream).await;
                status
            }
        });
        let refused = join_all(posts).await;
        refused.into_iter().flatten().all(|status| ["401", "429", "closed"].contains(&&*status))
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn agents_that_hang(kind: Kind) {
    let limits = [
        ("ARIZUKO_LEASE", "2s"),
        ("ARIZUKO_ACCEPT_TIMEOUT", "300ms"),
        ("ARIZUKO_ATTEMPTS", "2"),
        ("ARIZUKO_ADDRESS_RATE", "1000"),
    ];
    let mut scene = Scene::new(kind, &limits).await;
    let [visitor, other] = ["acme/flood", "acme/nobody"].map(|folder| scene.stack.visit(folder));
    let (visitor, other) = (visitor.await, other.await);
    let sorry = give_up("web:acme/nobody", Duration::from_secs(1), "Nobody is here.");
    scene.stack.route(sorry).await;
    let ends = async |visitor: &Visitor, status: &str| {
        let turns = join_all((0..10).map(|_| visitor.say("hello"))).await;
        let ends = join_all(turns.iter().map(|posted| visitor.end_of(&posted.turn))).await;
        ends.into_iter().all(|end| end["status"] == status)
    };
    let wave = async |scene: &Scene| {
        // The turns are delivered twice, and accepted by nobody.
        let _deaf = scene.stack.attach("acme/flood", A).await;
        let mut hung = Vec::new();
        for _ in 0..20 {
            let mut agent = scene.stack.attach("acme/flood", A).await;
            agent.hang();
            hung.push(agent);
        }
        let ended = join_all(hung.iter_mut().map(Session::ended));
        let (failed, expired, ended) =
            tokio::join!(ends(&visitor, "failed"), ends(&other, "expired"), ended);
        failed && expired && ended.iter().all(Option::is_some)
    };
    scene.withstands(wave).await;
}

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

/// Calls control's health service to watch it, which needs no key and has no end. After that, reads
/// and sends nothing.
async fn watch(control: &str) -> TcpStream {
    let mut stream = dial(control, "127.0.0.7").await;
    let word =
        |text: &str| [&[u8::try_from(text.len()).expect("it is short")], text.as_bytes()].concat();
    // HPACK (RFC 7541): two indexed fields (`:method: POST`, `:scheme: http`), two fields with indexed
    // names (`:path`, `:authority`), and two with names of their own.
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

//! Floods of connections, requests and bodies to the gateway.

use super::{Crowd, Scene, ask, status};
use arizuko_tests::{prelude::*, tools::dial};
use flate2::{Compression, read::GzEncoder};
use futures_util::future::{join_all, select_all};
use std::io::Read as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const ATTACKER: &str = "203.0.113.7";

#[apply(embedded)]
async fn connections(kind: Kind) {
    let limits =
        [("ARIZUKO_GATEWAY_CONNECTIONS", "40"), ("ARIZUKO_GATEWAY_ADDRESS_CONNECTIONS", "15")];
    let mut scene = Scene::new(kind, &limits).await;
    let mut crowd = Crowd::default();
    let wave = async |scene: &Scene| {
        crowd.grows(&scene.stack.gateway(A), b"GET / HTTP/1.1\r\nHo").await;
        // Once the gateway answers this request, it has seen all of these connections.
        scene.honest.get("config").await.expect(200);
        crowd.was_cut()
    };
    scene.withstands(wave).await;
}

/// Sends a request whose head is longer than what the gateway buffers; returns the answer's status.
async fn long_head(gateway: &str) -> String {
    let mut stream = dial(gateway, "127.0.0.7").await;
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(100 << 10));
    // An error means that it was refused already.
    let _ = stream.write_all(head.as_bytes()).await;
    within("an answer", stream.readable()).await.expect("it comes");
    status(&stream).unwrap_or_default()
}

#[apply(embedded)]
async fn requests(kind: Kind) {
    let mut scene = Scene::new(kind, &[("ARIZUKO_ADDRESS_REQUESTS", "200")]).await;
    let gateway = scene.stack.gateway(A);
    let wave = async |scene: &Scene| {
        let wrong = format!("/chat/{}/", &random_id().repeat(3)[..46]);
        let wrong = scene.stack.at(A, &wrong).from_address("203.0.113.8");
        let right = scene.visitor(ATTACKER);
        let requests = (0..60).map(|number| [&right, &wrong][number % 2].get("config"));
        let heads = (0..20).map(|_| long_head(&gateway));
        let (answers, heads) = tokio::join!(join_all(requests), join_all(heads));
        assert!(heads.iter().all(|status| status == "431"), "{heads:?}");
        answers.into_iter().any(|answer| answer.status == 429)
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn streams_and_waits(kind: Kind) {
    let mut scene = Scene::new(kind, &[("ARIZUKO_STREAMS_PER_ADDRESS", "3")]).await;
    let attacker = scene.stack.visit("acme/nobody").await.from_address(ATTACKER);
    let turn = attacker.say("hello").await.turn;
    let (stream, wait) = (format!("{turn}/sse"), format!("{turn}/status?wait=1"));
    let wave = async |_: &Scene| {
        let streams = join_all((0..20).map(|_| attacker.open(&stream, Cursor::Start))).await;
        let waits = join_all((0..20).map(|_| attacker.get(&wait))).await;
        streams.iter().filter(|stream| stream.status == 200).count() == 3
            && waits.iter().all(|answer| answer.status == 429)
    };
    scene.withstands(wave).await;
}

/// Begins to post a megabyte, and never finishes.
async fn unfinished(gateway: &str, path: &str, address: &str) -> TcpStream {
    let mut stream = dial(gateway, "127.0.0.1").await;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {address}\r\nContent-Length: 1048576\r\n\r\n"
    );
    // An error means that it was refused already.
    let _ = stream.write_all(&[head.as_bytes(), &vec![b'x'; 1_000_000]].concat()).await;
    stream
}

#[apply(embedded)]
async fn bodies_that_never_end(kind: Kind) {
    let limits = [("ARIZUKO_BODY_BYTES", "16000000"), ("ARIZUKO_ADDRESS_BODY_BYTES", "6000000")];
    let mut scene = Scene::new(kind, &limits).await;
    let hook = scene.stack.issue_hook("acme/nobody", "github", "").await;
    let path = format!("/hook/{}", hook.token);
    let mut open = Vec::new();
    let wave = async |scene: &Scene| {
        let gateway = scene.stack.gateway(A);
        for number in 0..100 {
            let address = format!("203.0.113.{}", number % 4);
            open.push(unfinished(&gateway, &path, &address).await);
        }
        // Unfinished bodies get no answer unless they are refused.
        let answers = open.iter().map(|stream| Box::pin(stream.readable()));
        let _ = within("a refusal", select_all(answers)).await;
        let answers: Vec<_> = open.drain(..).filter_map(|stream| status(&stream)).collect();
        ["429", "503"].iter().any(|refused| answers.iter().any(|status| status == refused))
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn bodies_that_are_too_long(kind: Kind) {
    let mut scene = Scene::new(kind, &[]).await;
    let body = "x".repeat(4 << 20);
    let wave = async |scene: &Scene| {
        let attacker = scene.visitor(ATTACKER);
        let posts = (0..10).map(|_| attacker.post("text/plain", body.clone()));
        for answer in join_all(posts).await {
            answer.refused(413, "TOO_LARGE");
        }
        true
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn bodies_that_grow_when_they_are_decoded(kind: Kind) {
    // Room for 4 bodies that decode to the largest size that a webhook takes.
    let limits =
        [("ARIZUKO_ADDRESS_BODY_BYTES", "20000000"), ("ARIZUKO_ADDRESS_REQUESTS", "1000000")];
    let mut scene = Scene::new(kind, &limits).await;
    let link = scene.stack.issue_hook("acme/nobody", "github", "").await;
    let encoded = |bytes: usize| {
        let mut encoded = Vec::new();
        let zeros = vec![b' '; bytes];
        let read = GzEncoder::new(&zeros[..], Compression::best()).read_to_end(&mut encoded);
        read.expect("memory can be read");
        encoded
    };
    let (bomb, small) = (encoded(64 << 20), encoded(1_000));
    let post = async |scene: &Scene, address: &str, body: &Vec<u8>| {
        let hook = scene.stack.caller(&link, A).from_address(address);
        let request = hook.request(Method::POST, "").header("content-encoding", "gzip");
        send(request.body(body.clone())).await
    };
    let wave = async |scene: &Scene| {
        let bombs = join_all((0..30).map(|_| post(scene, ATTACKER, &bomb)));
        // Bombs from one address don't occupy all decoders: another address still gets one.
        let (bombs, other) = tokio::join!(bombs, post(scene, "203.0.113.8", &small));
        other.expect(202);
        let mut were_many = false;
        for bomb in bombs {
            if bomb.status == 429 {
                bomb.refused(429, "TOO_MANY_BYTES");
                were_many = true;
            } else {
                bomb.refused(413, "TOO_LARGE");
            }
        }
        were_many
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn markdown(kind: Kind) {
    let limits = [("ARIZUKO_RENDER_BYTES", "50000"), ("ARIZUKO_RENDER_CACHE_BYTES", "1000000")];
    let mut scene = Scene::new(kind, &limits).await;
    let mut number = 0;
    let wave = async |scene: &Scene| {
        number += 1;
        let attacker = scene.visitor(&format!("203.0.113.{number}"));
        let mut was_plain = false;
        for (marker, times) in [("+\t", 20_000), ("- > ", 12_000), (">", 60_000)] {
            let text = format!("{number}\n{}x", marker.repeat(times));
            let asked = ask(&attacker, &json!({"content": text})).await;
            let path = format!("{}?html=1", asked["turn_id"].as_str().expect("an id"));
            for answer in join_all((0..8).map(|_| attacker.get(&path))).await {
                let html = answer.expect(200).json()["assistant"][0]["html"].to_string();
                was_plain |= html.len() > 60_000 && !html.contains("<blockquote");
            }
        }
        was_plain
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn long_conversations(kind: Kind) {
    let mut scene = Scene::new(kind, &[("ARIZUKO_ADDRESS_RATE", "1000")]).await;
    let attacker = scene.visitor(ATTACKER);
    let first = ask(&attacker, &json!({"content": "begin"})).await;
    let conversation = first["conversation"].as_str().expect("an id");
    let long = json!({"content": "long *words* ".repeat(4_500), "conversation": conversation});
    for _ in 0..20 {
        ask(&attacker, &long).await;
    }
    let page = format!("?conversation={conversation}");
    let history = format!("c/{conversation}?limit=200&html=1");
    let stream = format!("/chat/{}/c/{conversation}/sse", scene.link.token);
    let mut readers = Vec::new();
    for _ in 0..40 {
        readers.push(stalled(&scene.stack.gateway(A), &stream).await);
    }
    let wave = async |_: &Scene| {
        let (pages, histories) = tokio::join!(
            join_all((0..8).map(|_| attacker.get(&page))),
            join_all((0..4).map(|_| attacker.get(&history))),
        );
        histories.into_iter().for_each(|history| drop(history.expect(200)));
        pages.into_iter().all(|page| page.expect(200).body.len() < 1 << 20)
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn answers_that_nobody_reads(kind: Kind) {
    // Room for 5 answers of 1.5 MB. Until an answer is ready, it counts as a sixteenth of the room.
    let limits = [("ARIZUKO_ADDRESS_RATE", "1000"), ("ARIZUKO_ADDRESS_BODY_BYTES", "8000000")];
    let mut scene = Scene::new(kind, &limits).await;
    let attacker = scene.visitor("127.0.0.1");
    let first = ask(&attacker, &json!({"content": "begin"})).await;
    let conversation = first["conversation"].as_str().expect("an id");
    let long = json!({"content": "x".repeat(60_000), "conversation": conversation});
    for _ in 0..12 {
        ask(&attacker, &long).await;
    }
    let history = format!("c/{conversation}?limit=200");
    let path = format!("/chat/{}/{history}", scene.link.token);
    let mut deaf = Vec::new();
    for _ in 0..5 {
        let mut reader = stalled(&scene.stack.gateway(A), &path).await;
        let mut beginning = [0; 12];
        within("an answer", reader.read_exact(&mut beginning)).await.expect("it comes");
        deaf.push(reader);
    }
    let wave = async |scene: &Scene| {
        // Another address may read the history.
        scene.visitor(ATTACKER).get(&history).await.expect(200);
        let (one, other) = tokio::join!(attacker.get(&history), attacker.get(&history));
        one.status == 429 && other.status == 429
    };
    scene.withstands(wave).await;
    // Both requests wait a moment until the address's other answers take up less room: one waits
    // before its answer is made, the other one after that. Both are answered once there is room.
    let waiting = join_all([attacker.get(&history), attacker.get(&history)]);
    tokio::pin!(waiting);
    assert!(timeout(Duration::from_millis(500), &mut waiting).await.is_err(), "they wait");
    drop(deaf);
    for answer in waiting.await {
        answer.expect(200);
    }
}

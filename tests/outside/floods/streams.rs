//! Floods of requests with long replies, through each protocol that reads replies.

use super::{MEMORY, Scene, counts::OPEN};
use crate::chat::compression;
use arizuko_tests::{http::Answer, prelude::*};
use flate2::write::GzDecoder;
use futures_util::future::join_all;
use std::io::Write as _;
use tokio::io::AsyncReadExt as _;

const ATTACKER: &str = "203.0.113.7";

/// Asks for a completion of `messages`, streamed if `stream`, and reads the whole answer.
async fn complete(visitor: &Visitor, messages: &Value, stream: bool) -> Answer {
    let completion = json!({"messages": messages, "stream": stream});
    send(visitor.request(Method::POST, "v1/chat/completions").json(&completion)).await
}

fn said(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

#[apply(embedded)]
async fn completions_that_nobody_answers(kind: Kind) {
    let limits = [
        ("ARIZUKO_STREAMS_PER_ADDRESS", "3"),
        ("ARIZUKO_REPLY_TIMEOUT", "1s"),
        ("ARIZUKO_ADDRESS_TURNS", "1000"),
    ];
    let mut scene = Scene::new(kind, &[&limits[..], &OPEN].concat()).await;
    let attacker = scene.stack.visit("acme/nobody").await.from_address(ATTACKER);
    let hello = json!([said("user", "hello")]);
    let wave = async |_: &Scene| {
        let asked = join_all((0..20).map(|_| complete(&attacker, &hello, false))).await;
        let (late, refused): (Vec<_>, _) =
            asked.into_iter().partition(|answer| answer.status == 504);
        assert_eq!(late.len(), 3, "they wait, and not for longer");
        refused.into_iter().all(|answer| answer.json()["error"]["code"] == "TOO_MANY_STREAMS")
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn messages_that_a_client_tells_from_before(kind: Kind) {
    let mut scene = Scene::new(kind, &OPEN).await;
    let attacker = scene.stack.visit("acme/flood").await.from_address(ATTACKER);
    let mut agent = scene.stack.attach("acme/flood", A).await;
    let earlier = (0..50).map(|number| said("assistant", &format!("{number} ").repeat(1_000)));
    let messages: Value = earlier.chain([said("user", "And now?")]).collect();
    let wave = async |_: &Scene| {
        let answering = async {
            for _ in 0..8 {
                let held = agent.turn().await;
                let content = String::from_utf8_lossy(&held.turn.content).into_owned();
                assert!(content.contains("assistant: 49 49"), "the newest one");
                assert!((10 << 10..17 << 10).contains(&content.len()), "{}", content.len());
                agent.answer(held, "then").await;
                agent.credit(1).await;
            }
        };
        let asked = (0..8).map(|number| complete(&attacker, &messages, number % 2 == 0));
        let (answers, ()) = tokio::join!(join_all(asked), answering);
        answers.into_iter().all(|answer| answer.expect(200).text().contains("then"))
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn replies_of_very_many_messages(kind: Kind) {
    let mut scene = Scene::new(kind, &[&OPEN[..], &[SERVED]].concat()).await;
    let attacker = scene.stack.visit("acme/flood").await.from_address(ATTACKER);
    let mut agent = scene.stack.attach("acme/flood", A).await;
    let hello = json!([said("user", "hello")]);
    let wave = async |scene: &Scene| {
        let answering = async {
            let mut held = Vec::new();
            for _ in 0..4 {
                held.push(agent.turn().await);
                agent.credit(1).await;
            }
            for held in &mut held {
                for part in 0..12 {
                    let frames = (0..100).map(|n| message(&format!("{part}-{n}"), "x"));
                    agent.push(held, frames.collect()).await;
                }
                agent.finish(held).await;
            }
        };
        let asked = (0..4).map(|number| complete(&attacker, &hello, number < 3));
        let (answers, ()) = tokio::join!(join_all(asked), answering);
        let mut answers: Vec<_> = answers.into_iter().map(|it| it.expect(200).text()).collect();
        let whole = answers.pop().expect("there are four");
        assert_eq!(whole.matches("x\\n\\n").count(), 1_199, "a whole reply has all of them");
        scene.stack.metric_becomes("arizuko_gateway_open_streams", &[], 0.0).await;
        answers.iter().all(|stream| stream.contains("\"code\":\"TOO_LARGE\""))
    };
    scene.withstands(wave).await;
}

/// Returns many opening emphasis marks, and words whose closing marks change the HTML above them.
fn restless() -> (String, Vec<String>) {
    let words = (0..30).map(|number| format!("a word of {number} letters* ").repeat(3));
    ("*".repeat(500), words.collect())
}

#[apply(embedded)]
async fn html_that_changes_all_the_time(kind: Kind) {
    let mut scene = Scene::new(kind, &OPEN).await;
    let attacker = scene.stack.visit("acme/flood").await.from_address(ATTACKER);
    let mut agent = scene.stack.attach("acme/flood", A).await;
    let (start, words) = restless();
    let wave = async |_: &Scene| {
        let turn = attacker.say("hello").await.turn;
        let path = format!("{turn}/sse?html=1");
        let readers = join_all((0..20).map(|_| attacker.open(&path, Cursor::Start))).await;
        let writing = async {
            let mut held = agent.turn().await;
            agent.append(&mut held, delta("m1", &start)).await;
            for word in &words {
                agent.append(&mut held, delta("m1", word)).await;
                // Deltas that come sooner are rendered together.
                sleep(Duration::from_millis(70)).await;
            }
            agent.finish(&held).await;
            agent.credit(1).await;
        };
        let reading = readers.into_iter().map(|mut events| async move { events.rest().await });
        let (read, ()) = tokio::join!(join_all(reading), writing);
        read.iter().all(|events| {
            let html = rendered(events)[0].1.len();
            let sent = events.iter().filter_map(|event| event.data["html"].as_array()).flatten();
            let sent: usize = sent.filter_map(Value::as_str).map(str::len).sum();
            // The message is sent a third time at its end, if need be.
            assert!(sent <= 3 * html + 2_048, "{sent} bytes of HTML, to show {html}");
            sent > html
        })
    };
    scene.withstands(wave).await;
}

/// Opens a compressed stream, and reads it until this much text has come.
async fn read_compressed(web: &reqwest::Client, url: String, bytes: usize) -> reqwest::Response {
    let opened = web.get(url).header("accept-encoding", "gzip").send();
    let mut stream = within("a stream", opened).await.expect("the gateway answers");
    assert_eq!(stream.headers()["content-encoding"], "gzip");
    let mut text = GzDecoder::new(Vec::new());
    while text.get_ref().len() < bytes {
        let piece = within("more text", stream.chunk()).await.expect("more").expect("more");
        text.write_all(&piece).and_then(|()| text.flush()).expect("it is gzip");
    }
    stream
}

#[apply(embedded)]
async fn compressed_streams(kind: Kind) {
    let limits = [("ARIZUKO_STREAMS_PER_ADDRESS", "1000")];
    let mut scene = Scene::new(kind, &[&limits[..], &OPEN].concat()).await;
    let link = scene.stack.issue("acme/flood").await;
    let mut agent = scene.stack.attach("acme/flood", A).await;
    let turn = scene.stack.visitor(&link, A).say("hello").await.turn;
    let mut held = agent.turn().await;
    agent.push(&mut held, vec![delta("m1", &"x".repeat(60_000)); 20]).await;
    agent.stored(&held).await;
    let url = format!("{}/chat/{}/{turn}/sse", scene.stack.gateway(A), link.token);
    // In the end, the streams together have carried more bytes than the memory that a flood may
    // take, and all of them are still open.
    let (web, mut open) = (compression::client(), Vec::new());
    let wave = async |_: &Scene| {
        let read = (0..20).map(|_| read_compressed(&web, url.clone(), 1_200_000));
        open.extend(join_all(read).await);
        open.len() as u64 * 1_200_000 > MEMORY
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn awaited_replies_that_nobody_reads(kind: Kind) {
    // Room for 5 replies of 1.5 MB.
    let limits = [("ARIZUKO_ADDRESS_BODY_BYTES", "8000000"), ("ARIZUKO_ADDRESS_TURNS", "1000")];
    let mut scene = Scene::new(kind, &[&limits[..], &OPEN].concat()).await;
    let link = scene.stack.issue("acme/flood").await;
    let mut agent = scene.stack.attach("acme/flood", A).await;
    tokio::spawn(async move {
        loop {
            let mut held = agent.turn().await;
            agent.push(&mut held, vec![delta("m1", &"x".repeat(60_000)); 25]).await;
            agent.finish(&held).await;
            agent.credit(1).await;
        }
    });
    let body = r#"{"content": "hello"}"#;
    let post = format!(
        "POST /chat/{}/?wait=15 HTTP/1.0\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        link.token,
        body.len()
    );
    let mut deaf = Vec::new();
    for _ in 0..5 {
        let mut reader = unread(&scene.stack.gateway(A), &post).await;
        let mut beginning = [0; 12];
        within("an answer", reader.read_exact(&mut beginning)).await.expect("it comes");
        assert_eq!(&beginning, b"HTTP/1.0 200");
        deaf.push(reader);
    }
    let [attacker, other] = ["127.0.0.1", ATTACKER].map(|address| {
        let visitor = scene.stack.visitor(&link, A);
        visitor.from_address(address)
    });
    let hello = json!({"content": "hello"});
    let ask = |visitor: &Visitor| visitor.request(Method::POST, "?wait=15").json(&hello);
    let said = json!([said("user", "hello")]);
    let wave = async |_: &Scene| {
        let (message, completion, answered) = tokio::join!(
            send(ask(&attacker)),
            complete(&attacker, &said, false),
            send(ask(&other)),
        );
        assert!(answered.expect(200).body.len() > 1_500_000, "another address has room");
        // The message is taken, and its reply left out.
        message.posted();
        assert_eq!(completion.expect(504).json()["error"]["code"], "OUTCOME_UNKNOWN");
        true
    };
    scene.withstands(wave).await;
    drop(deaf);
    until("room for a reply again", async || send(ask(&attacker)).await.status == 200).await;
}

#[apply(embedded)]
async fn html_of_a_long_unfinished_reply(kind: Kind) {
    let limits = [("ARIZUKO_STREAMS_PER_ADDRESS", "1000")];
    let mut scene = Scene::new(kind, &[&limits[..], &OPEN].concat()).await;
    let link = scene.stack.issue("acme/flood").await;
    let visitor = scene.stack.visitor(&link, A).from_address(ATTACKER);
    let mut agent = scene.stack.attach("acme/flood", A).await;
    let turn = visitor.say("hello").await.turn;
    let mut held = agent.turn().await;
    agent.push(&mut held, vec![delta("m1", &"x".repeat(60_000)); 50]).await;
    agent.stored(&held).await;
    let mut first = visitor.listen(&turn).await;
    let seen = ids(&first.take(2).await).pop().expect("an id");
    // Each reader joins in the middle of 3 MB, and reads nothing more.
    let path = format!("/chat/{}/{turn}/sse?html=1&last_event_id={seen}", link.token);
    let mut deaf = Vec::new();
    let wave = async |scene: &Scene| {
        let gateway = scene.stack.gateway(A);
        for mut reader in join_all((0..20).map(|_| stalled(&gateway, &path))).await {
            let mut beginning = [0; 12];
            within("an answer", reader.read_exact(&mut beginning)).await.expect("it comes");
            deaf.push(reader);
        }
        deaf.len() >= 120
    };
    scene.withstands(wave).await;
    drop((first, deaf));
    // Somebody else reads the reply to its end, as HTML.
    let path = format!("{turn}/sse?html=1");
    let mut events = visitor.open(&path, Cursor::Start).await.ok();
    let ending = async {
        agent.append(&mut held, message("m1", "*short*")).await;
        agent.finish(&held).await;
    };
    let (events, ()) = tokio::join!(events.rest(), ending);
    assert!(rendered(&events)[0].1.contains("<em>short</em>"));
}

//! Compressed answers are small. A compressed stream brings each event without delay, and costs
//! little memory.

use arizuko_tests::prelude::*;
use flate2::{Decompress, FlushDecompress, read::GzDecoder};
use futures_util::StreamExt as _;
use std::io::Read as _;

/// How many bytes a gzip header without a file name has.
const HEAD_BYTES: usize = 10;
/// The most bytes that a page, its style and its script have together when compressed.
const PAGE_BYTES: usize = 30_000;

/// A client that leaves answers compressed.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_gzip().build().expect("a client")
}

/// Gets a path as gzip, and does not decompress it.
async fn gzipped(stack: &Stack, path: &str) -> reqwest::Response {
    get(&client(), stack, path).await
}

async fn get(web: &reqwest::Client, stack: &Stack, path: &str) -> reqwest::Response {
    let request = web.get(stack.gateway(A) + path).header("accept-encoding", "gzip, br");
    within("an answer", request.send()).await.expect("an answer")
}

fn header<'a>(answer: &'a reqwest::Response, name: &str) -> &'a str {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn unpacked(answer: reqwest::Response) -> (usize, String) {
    assert_eq!(header(&answer, "content-encoding"), "gzip", "{answer:?}");
    assert!(header(&answer, "vary").contains("accept-encoding"), "{answer:?}");
    let bytes = within("the body", answer.bytes()).await.expect("the body");
    let mut text = String::new();
    GzDecoder::new(&*bytes).read_to_string(&mut text).expect("one gzip file");
    (bytes.len(), text)
}

#[apply(embedded)]
async fn the_page_and_its_assets_weigh_little(stack: Stack) {
    let link = stack.issue("acme").await;
    let path = format!("/chat/{}/", link.token);
    let (mut weight, html) = unpacked(gzipped(&stack, &path).await).await;
    assert_eq!(html, stack.visitor(&link, A).get("").await.expect(200).text());
    let assets: Vec<_> = html.split('"').filter(|part| part.starts_with("/assets/")).collect();
    for asset in assets {
        let (bytes, text) = unpacked(gzipped(&stack, asset).await).await;
        let plain = stack.at(A, asset).request(Method::GET, "").header("accept-encoding", "br");
        let plain = send(plain).await.expect(200);
        assert_eq!(plain.headers.get_all("vary").iter().count(), 1, "{:?}", plain.headers);
        assert_eq!(text, plain.text());
        weight += bytes;
    }
    assert!(weight < PAGE_BYTES, "{weight} bytes");
}

#[apply(embedded)]
async fn a_history_is_compressed_and_a_page_with_the_secret_beside_messages_is_not(stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let posted = visitor.say("hello").await;
    let mut agent = stack.attach("acme", A).await;
    agent.answer_next(&"many words ".repeat(5_000)).await;
    let (token, conversation) = (&link.token, &posted.conversation);
    let (bytes, text) =
        unpacked(gzipped(&stack, &format!("/chat/{token}/c/{conversation}")).await).await;
    assert!(bytes * 20 < text.len() && text.contains("many words"), "{bytes} of {}", text.len());
    assert!(!text.contains(token), "the secret is in no history");
    for path in [format!("?conversation={conversation}"), "config".into()] {
        let answer = gzipped(&stack, &format!("/chat/{token}/{path}")).await;
        assert_eq!(header(&answer, "content-encoding"), "", "{path}");
    }
}

#[apply(embedded)]
async fn events_arrive_at_once_in_a_compressed_stream(stack: Stack) {
    let link = stack.issue("acme").await;
    let posted = stack.visitor(&link, A).say("hello").await;
    let answer = gzipped(&stack, &format!("/chat/{}/{}/sse", link.token, posted.turn)).await;
    assert_eq!(header(&answer, "content-encoding"), "gzip");
    let mut stream = answer.bytes_stream();
    let mut agent = stack.attach("acme", A).await;
    let mut held = agent.turn().await;
    let (mut reader, mut sent, mut text) = (Decompress::new(false), Vec::new(), String::new());
    for number in 0..200 {
        let word = format!("word {number} of some");
        agent.append(&mut held, delta("m1", &word)).await;
        while !text.contains(&word) {
            let piece = within("the event", stream.next()).await.expect("more").expect("more");
            let blocks = if sent.is_empty() { &piece[HEAD_BYTES..] } else { &piece };
            let mut read = Vec::with_capacity(64 * 1024);
            reader.decompress_vec(blocks, &mut read, FlushDecompress::Sync).expect("deflated");
            text.push_str(str::from_utf8(&read).expect("text"));
            sent.extend_from_slice(&piece);
        }
    }
    assert!(sent.len() * 3 < text.len(), "{} of {}", sent.len(), text.len());
    agent.finish(&held).await;
    while let Some(piece) = within("the end", stream.next()).await {
        sent.extend_from_slice(&piece.expect("more"));
    }
    let mut whole = String::new();
    GzDecoder::new(&*sent).read_to_string(&mut whole).expect("one gzip file");
    assert!(whole.starts_with(&text) && whole.contains("event: turn_done"));
}

#[apply(embedded)]
async fn an_idle_compressed_stream_holds_no_compressor(kind: Kind) {
    const STREAMS: usize = 400;
    /// Much less than one compressor takes.
    const BYTES: u64 = 128 * 1024;
    let stack = &mut Stack::with(kind, &[("ARIZUKO_STREAMS_PER_ADDRESS", "1000")]).await;
    let link = stack.issue("acme").await;
    let posted = stack.visitor(&link, A).say("hello").await;
    let path = format!("/chat/{}/c/{}/sse", link.token, posted.conversation);
    let before = stack.process(Gateway(A)).peak_memory();
    let (web, mut streams) = (client(), Vec::new());
    for _ in 0..STREAMS {
        let mut answer = get(&web, stack, &path).await;
        // Reads the first event, which is the visitor's message.
        let mut bytes = 0;
        while bytes < 100 {
            bytes += within("an event", answer.chunk()).await.expect("more").expect("more").len();
        }
        streams.push(answer);
    }
    let each = (stack.process(Gateway(A)).peak_memory() - before) / STREAMS as u64;
    assert!(each < BYTES, "{each} bytes");
}

//! Bodies that are compressed.

use arizuko_tests::{http::Answer, prelude::*};
use flate2::{
    Compression,
    read::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use std::io::Read;

const MESSAGE: &str = r#"{"content":"hello"}"#;
/// `MESSAGE`, compressed by brotli, in hexadecimal.
const BROTLI: &str = "1b1200f8a54574f6faa624956c52172cd358420e";
/// 64 MiB of zeros, compressed by brotli, in hexadecimal.
const BROTLI_BOMB: &str = "cbffff3ff82700e2b14020f7fe8fffff7ff04f00c4611180eefd1fffffffe09f0088c30200ddfb3ffeffffc13f0110870500baf77ffcffff837f02200e0b0074effff8ffff07ff04401c1600e8defff1ffff0ffe0980382c00d0bdffcbffff3ffc1300715800a07bff07";

fn all(mut encoder: impl Read) -> Vec<u8> {
    let mut encoded = Vec::new();
    encoder.read_to_end(&mut encoded).expect("memory can be read");
    encoded
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("it is hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}

async fn post(visitor: &Visitor, encoding: &str, body: Vec<u8>) -> Answer {
    let request = visitor.request(Method::POST, "").header("content-type", "application/json");
    send(request.header("content-encoding", encoding).body(body)).await
}

/// Returns `MESSAGE` in each encoding, after the name of the encoding.
fn encoded() -> Vec<(&'static str, Vec<u8>)> {
    let (plain, level) = (MESSAGE.as_bytes(), Compression::best());
    vec![
        ("gzip", all(GzEncoder::new(plain, level))),
        ("X-GZIP", all(GzEncoder::new(plain, level))),
        ("deflate", all(ZlibEncoder::new(plain, level))),
        ("deflate", all(DeflateEncoder::new(plain, level))),
        ("br", unhex(BROTLI)),
        ("zstd", zstd::encode_all(plain, 3).expect("memory can be read")),
        ("identity", plain.to_vec()),
    ]
}

#[apply(embedded)]
async fn a_compressed_body_reaches_the_agent_decoded_and_as_it_was(stack: Stack) {
    let hook = stack.caller(&stack.issue_hook("acme", "any", "").await, A);
    let mut agent = stack.attach("acme", B).await;
    for (encoding, body) in encoded() {
        post(&hook, encoding, body.clone()).await.posted();
        let turn = agent.offered().await;
        assert_eq!(turn.content, MESSAGE.as_bytes(), "{encoding}");
        let sent = if encoding == "identity" { Vec::new() } else { body };
        assert_eq!(turn.request.expect("it is a webhook's").encoded_content, sent, "{encoding}");
    }
}

#[apply(embedded)]
async fn a_chat_message_may_be_compressed(stack: Stack) {
    let visitor = stack.visit("acme").await;
    for (encoding, body) in encoded() {
        let answer = post(&visitor, encoding, body).await.expect(202).json();
        assert_eq!(answer["user"]["content"], "hello", "{encoding}");
    }
    post(&visitor, "gzip", b"hello".to_vec()).await.refused(400, "INVALID");
    post(&visitor, "compress", b"hello".to_vec()).await.refused(415, "UNSUPPORTED_ENCODING");
    post(&visitor, "br", unhex(BROTLI_BOMB)).await.refused(413, "TOO_LARGE");
}

#[apply(embedded)]
async fn another_encoding_is_refused_with_those_that_are_taken(stack: Stack) {
    let hook = stack.caller(&stack.issue_hook("acme", "any", "").await, A);
    for encoding in ["compress", "gzip, gzip", "br, zstd", "x", "aes128gcm"] {
        let refused = post(&hook, encoding, Vec::new()).await.refused(415, "UNSUPPORTED_ENCODING");
        assert_eq!(refused.header("accept-encoding"), "gzip, deflate, br, zstd");
        let told = refused.json()["detail"].to_string();
        assert!(told.contains("gzip"), "{told}");
    }
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        let refused = post(&hook, encoding, b"<html>".to_vec()).await.refused(400, "INVALID");
        let told = refused.json()["detail"].to_string();
        assert!(told.contains(&format!("not {encoding}, though Content-Encoding says")), "{told}");
        // An empty body is taken whatever its encoding, since senders do not compress it.
        post(&hook, encoding, Vec::new()).await.posted();
    }
    let cut = all(GzEncoder::new(MESSAGE.as_bytes(), Compression::best()));
    post(&hook, "gzip", cut[..cut.len() - 4].to_vec()).await.refused(400, "INVALID");
}

#[apply(embedded)]
async fn a_bomb_is_refused_and_the_body_and_what_it_holds_share_the_limit(kind: Kind) {
    let most = 1 << 20;
    let setting = most.to_string();
    let settings = [("ARIZUKO_HOOK_BYTES", &*setting), ("ARIZUKO_HOOK_BODY_BYTES", &*setting)];
    let stack = Stack::with(kind, &settings).await;
    let hook = stack.caller(&stack.issue_hook("acme", "any", "").await, A);
    let zeros = vec![0; 64 << 20];
    let level = Compression::best();
    for (encoding, bomb) in [
        ("gzip", all(GzEncoder::new(&zeros[..], level))),
        ("deflate", all(ZlibEncoder::new(&zeros[..], level))),
        ("br", unhex(BROTLI_BOMB)),
        ("zstd", zstd::encode_all(&zeros[..], 3).expect("memory can be read")),
    ] {
        assert!(bomb.len() < 100_000, "{encoding}: {}", bomb.len());
        post(&hook, encoding, bomb).await.refused(413, "TOO_LARGE");
    }
    // A level of 0 stores the bytes as they are.
    let stored = |bytes: usize| all(GzEncoder::new(&zeros[..bytes], Compression::none()));
    post(&hook, "gzip", stored(most / 2 - 1_000)).await.posted();
    post(&hook, "gzip", stored(most / 2)).await.refused(413, "TOO_LARGE");
}

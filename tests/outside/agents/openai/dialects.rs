//! Endpoints that speak the protocol in their own way. Where the official clients would read a
//! reply, the visitor reads it, too; any other answer fails the turn.

use super::attach;
use arizuko_tests::prelude::*;
use flate2::{Compression, write::GzEncoder};
use std::io::Write as _;

const EVENTS: &str = "text/event-stream";

fn chunk(delta: &Value, finish_reason: &Value) -> String {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish_reason});
    format!("data: {}\n\n", json!({"choices": [choice]}))
}

fn content(text: &str) -> String {
    chunk(&json!({"content": text}), &Value::Null)
}

fn stop() -> String {
    chunk(&json!({}), &json!("stop"))
}

/// Answers a visitor's message with this body at the endpoint. Returns the text that the visitor
/// reads, and how the turn ended.
async fn read(stack: &Stack, endpoint: &mut Endpoint, kind: &str, body: &[u8]) -> (String, Value) {
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    endpoint.asked().await.answer_bytes("200 OK", kind, body).await;
    let seen = visitor.read(&posted.turn).await;
    (text(&seen), visitor.end_of(&posted.turn).await["status"].clone())
}

#[apply(embedded)]
async fn what_the_official_clients_read_is_a_reply(stack: Stack) {
    let mut endpoint = Endpoint::start().await;
    let agent = attach(&stack, endpoint.url(), &[]).await;
    let hello = content("Hello") + &content(" world") + &stop();
    let whole = json!({"index": 0, "message": {"content": "Hello world"}, "finish_reason": "stop"});
    let document = json!({"choices": [whole]}).to_string();
    let halves = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\\ud83d\"}}]}\n\n\
                  data: {\"choices\":[{\"delta\":{\"content\":\"\\ude00 world\"}}]}\n\n";
    let with_error = |error: Value| {
        let choice = json!({"index": 0, "delta": {"content": "Hello world"}});
        format!("data: {}\n\n{}", json!({"error": error, "choices": [choice]}), stop())
    };
    let said = "Hello world";
    for (case, kind, body, expected) in [
        ("a stream", EVENTS, hello.clone(), said),
        (
            "an empty finish_reason is none",
            EVENTS,
            chunk(&json!({"content": "Hello"}), &json!("")) + &content(" world") + &stop(),
            said,
        ),
        (
            "the whole message at the end",
            EVENTS,
            content("Hello") + &content(" world") + &format!("data: {document}\n\n"),
            said,
        ),
        (
            "thoughts in the content",
            EVENTS,
            content("<thi") + &content("nk>Well…</think>\n\nHello world") + &stop(),
            said,
        ),
        ("half a character", EVENTS, halves.to_owned() + &stop(), "Hello\u{1f600} world"),
        ("no error: null", EVENTS, with_error(Value::Null), said),
        ("no error: false", EVENTS, with_error(json!(false)), said),
        ("no error: empty", EVENTS, with_error(json!("")), said),
        ("no error: {}", EVENTS, with_error(json!({})), said),
        ("no Content-Type", "", hello.clone(), said),
        ("a stream as text", "text/plain; charset=utf-8", hello.clone(), said),
        ("a stream as JSON", "application/json", hello.clone(), said),
        ("a document as text", "text/plain", document.clone(), said),
        ("a document as a stream", EVENTS, document.clone(), said),
        (
            "a document after a byte order mark",
            "application/json",
            format!("\u{feff}{document}"),
            said,
        ),
        ("a stream after a byte order mark", EVENTS, format!("\u{feff}{hello}"), said),
        ("lines that end with a carriage return", EVENTS, hello.replace('\n', "\r"), said),
        (
            "a last event without a blank line",
            EVENTS,
            content("Hello world") + "data: [DONE]",
            said,
        ),
        (
            "empty events and comments",
            EVENTS,
            format!(": ping\n\ndata:\n\nevent: ping\ndata: {{}}\n\n{hello}"),
            said,
        ),
    ] {
        let (read, status) = read(&stack, &mut endpoint, kind, body.as_bytes()).await;
        assert_eq!((&*read, &status), (expected, &json!("done")), "{case}: {}", agent.said());
    }
    let mut compressed = GzEncoder::new(Vec::new(), Compression::default());
    compressed.write_all(hello.as_bytes()).expect("it is in memory");
    let compressed = compressed.finish().expect("it is in memory");
    let kind = "text/event-stream\r\ncontent-encoding: gzip";
    let (read, status) = read(&stack, &mut endpoint, kind, &compressed).await;
    assert_eq!((&*read, &status), (said, &json!("done")), "{}", agent.said());
}

#[apply(embedded)]
async fn what_is_no_whole_reply_fails_the_turn_at_the_first_request(stack: Stack) {
    let mut endpoint = Endpoint::start().await;
    let agent = attach(&stack, endpoint.url(), &[]).await;
    let error = |error: Value| format!("data: {error}\n\n");
    for (case, kind, body, shown, detail) in [
        (
            "an unknown finish_reason",
            EVENTS,
            content("Half") + &chunk(&json!({}), &json!("network_error")),
            "Half",
            "network_error",
        ),
        (
            "the end without a reason",
            EVENTS,
            chunk(&json!({"content": "Half"}), &json!("")),
            "Half",
            "ends in the middle",
        ),
        (
            "a refused request",
            EVENTS,
            error(json!({"error": {"message": "no such model", "code": 404}})),
            "",
            "no such model",
        ),
        (
            "a wrong key",
            EVENTS,
            error(json!({"error": {"message": "wrong", "type": "authentication_error"}})),
            "",
            "wrong",
        ),
        (
            "another server's error",
            EVENTS,
            error(json!({"object": "error", "message": "too long", "type": "BadRequestError"})),
            "",
            "too long",
        ),
        (
            "an event that is an error",
            EVENTS,
            format!("event: error\n{}", error(json!({"code": "invalid_prompt", "message": "bad"}))),
            "",
            "bad",
        ),
        ("a page", "text/html", "<h1>Log in</h1>".to_owned(), "", "<h1>Log in</h1>"),
    ] {
        let (read, status) = read(&stack, &mut endpoint, kind, body.as_bytes()).await;
        assert_eq!((&*read, &status), (shown, &json!("failed")), "{case}: {}", agent.said());
        assert!(agent.said().contains(detail), "{case}: {}", agent.said());
    }
}

#[apply(embedded)]
async fn headers_and_roles_fit_the_endpoint(stack: Stack) {
    let key = stack.folder().join("key");
    write_secret(&key, "a-key-of-the-cloud\n");
    let key = key.display().to_string();
    let mut endpoint = Endpoint::start().await;
    let base = format!("{}/openai/deployments/d?api-version=2026-01-01", endpoint.url());
    let flags =
        ["--api-key-file", &key, "--api-key-header", "api-key", "--header", "x-team=support"];
    let _agent = attach(&stack, &base, &[&flags[..], &["--no-system-role"]].concat()).await;
    let options = LinkOptions { context: "the pricing page".into(), ..LinkOptions::default() };
    let link = stack.issue_with("acme", "", options).await;
    let posted = stack.visitor(&link, A).say("hello").await;
    let asked = endpoint.asked().await;
    assert_eq!(asked.path, "/openai/deployments/d/chat/completions?api-version=2026-01-01");
    assert_eq!(asked.header("api-key"), "a-key-of-the-cloud");
    assert_eq!((asked.header("authorization"), asked.header("x-team")), ("", "support"));
    let expected = json!([
        {"role": "user", "content": "About the link that the message came by: the pricing page"},
        {"role": "assistant", "content": "Understood."},
        {"role": "user", "content": "hello"},
    ]);
    assert_eq!(asked.body["messages"], expected);
    asked.answer("200 OK", EVENTS, &(content("Hi.") + &stop())).await;
    assert_eq!(text(&stack.visitor(&link, A).read(&posted.turn).await), "Hi.");
}

//! Visitors over HTTPS, with HTTP/1.1 and HTTP/2.

use arizuko_tests::prelude::*;
use std::fs;

/// curl's flag for each version of HTTP, and how curl reports that version.
const EITHER: [(&str, &str); 2] = [("--http1.1", "1.1"), ("--http2", "2")];

fn authority(stack: &Stack) -> String {
    stack.tls().authority.file().display().to_string()
}

async fn secure(stack: &Stack, arguments: &[&str]) -> Outcome {
    curl(&[&["--cacert", &authority(stack)], arguments].concat()).await
}

/// Starts curl on an event stream; it prints line by line.
fn reader(stack: &Stack, http: &str, url: &str) -> Process {
    let mut curl = command(found("curl"));
    curl.args(["--silent", "--show-error", "--no-buffer", "--cacert", &authority(stack)]);
    curl.args([http, "--write-out", "over HTTP/%{http_version}\n", url]);
    Process::start("curl", curl, &stack.logs())
}

fn stream_of(stack: &Stack, link: &Link, turn: &str) -> String {
    format!("{}/chat/{}/{turn}/sse", stack.gateway(A), link.token)
}

#[apply(embedded_and_pair)]
async fn a_reply_arrives_frame_by_frame_over_both_versions_of_http(kind: Kind) {
    let stack = Stack::with_tls(kind, &[]).await;
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", B).await;
    for (http, version) in EITHER {
        let posted = stack.visitor(&link, B).say("hello").await;
        let mut events = reader(&stack, http, &stream_of(&stack, &link, &posted.turn));
        events.line_with("retry: 2000").await;
        let mut held = agent.turn().await;
        for text in ["one ", "two ", "three"] {
            agent.append(&mut held, delta("m1", text)).await;
            let line = events.line_with("data: ").await;
            assert!(line.contains(&format!(r#""text":"{text}""#)), "{line}");
        }
        agent.finish(&held).await;
        events.line_with("event: turn_done").await;
        let spoken = events.line_with("over HTTP/").await;
        assert_eq!(spoken, format!("over HTTP/{version}"));
    }
}

#[apply(embedded)]
async fn the_page_may_post_and_other_sites_may_not(kind: Kind) {
    let stack = Stack::with_tls(kind, &[]).await;
    let link = stack.issue("acme").await;
    let url = format!("{}/chat/{}/", stack.gateway(A), link.token);
    for (http, _) in EITHER {
        let page = secure(&stack, &[http, "--include", &url]).await.expect(0).out;
        assert!(page.contains("strict-transport-security: max-age=31536000\r\n"), "{page}");
        for (origin, status) in
            [(stack.gateway(A), "202"), ("https://elsewhere.example".to_owned(), "403")]
        {
            let origin = format!("origin: {origin}");
            let post = [http, "--json", r#"{"content": "hello"}"#, "--header", &origin];
            let told = ["--output", "/dev/null", "--write-out", "%{http_code}", &url];
            let outcome = secure(&stack, &[&post[..], &told].concat()).await.expect(0);
            assert_eq!(outcome.out, status, "{http} {origin}");
        }
    }
}

/// If a server closes a connection while the client still sends, the server's answer may be lost.
#[apply(embedded)]
async fn a_refusal_reaches_a_client_that_is_still_sending(kind: Kind) {
    let stack = Stack::with_tls(kind, &[]).await;
    let link = stack.issue("acme").await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("body");
    fs::write(&file, vec![b'x'; 8 << 20]).expect("the folder is ours");
    let body = format!("@{}", file.display());
    let told = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    // Without `Expect: 100-continue`, curl sends at once and doesn't ask first.
    let post = ["--header", "expect:", "--header", "content-type: text/plain", "--data-binary"];
    let url = format!("{}/chat/{}/", stack.gateway(A), link.token);
    for (origin, status) in [("origin:", "413"), ("origin: https://elsewhere.example", "403")] {
        for (http, _) in EITHER {
            for _ in 0..10 {
                let sent = [&[http, "--header", origin], &told[..], &post, &[&body, &url]].concat();
                let outcome = secure(&stack, &sent).await.expect(0);
                assert_eq!(outcome.out, status, "{http} {origin}");
            }
        }
    }
}

#[apply(embedded)]
async fn a_stalled_reader_is_disconnected_and_can_read_everything_later(kind: Kind) {
    const FRAMES: usize = 200;
    let stack = Stack::with_tls(kind, &[("ARIZUKO_WRITE_STALL", "2s")]).await;
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let posted = stack.visitor(&link, A).say("hello").await;
    let url = stream_of(&stack, &link, &posted.turn);
    // The test reads nothing from these readers until the gateway has disconnected them.
    let mut slow = EITHER.map(|(http, _)| reader(&stack, http, &url));
    let mut held = agent.turn().await;
    for _ in 0..FRAMES {
        agent.push(&mut held, vec![delta("m1", &"x".repeat(15_000))]).await;
    }
    agent.stored(&held).await;
    sleep(Duration::from_secs(4)).await;
    agent.finish(&held).await;
    for reader in &mut slow {
        let (mut frames, mut ended) = (0, false);
        // Counts the frames that arrived before the disconnect. curl prints the last line when it
        // ends.
        loop {
            let line = reader.line().await;
            frames += usize::from(line.starts_with("data: "));
            ended |= line == "event: turn_done";
            if line.contains("over HTTP/") {
                break;
            }
        }
        assert!(!ended && frames < FRAMES, "it was not disconnected: {frames} frames");
        assert_ne!(reader.exit().await.code(), Some(0));
    }
    let seen = stack.visitor(&link, A).read(&posted.turn).await;
    assert_eq!(seen.len(), FRAMES + 1);
}

#[apply(embedded)]
async fn a_gateway_that_is_told_to_stop_ends_its_streams(kind: Kind) {
    let mut stack = Stack::with_tls(kind, &[]).await;
    let link = stack.issue("acme").await;
    let posted = stack.visitor(&link, A).say("hello").await;
    let url = stream_of(&stack, &link, &posted.turn);
    let mut readers = EITHER.map(|(http, _)| reader(&stack, http, &url));
    for reader in &mut readers {
        reader.line_with("retry: 2000").await;
    }
    stack.process(Gateway(A)).signal(Signal::SIGTERM);
    for reader in &mut readers {
        reader.line_with("retry: ").await;
        reader.line_with("over HTTP/").await;
        assert_eq!(reader.exit().await.code(), Some(0));
    }
    assert_eq!(stack.process(Gateway(A)).exit().await.code(), Some(0));
}

//! Requests that an attacker may make a browser or a proxy send, and paths that every site has.

use arizuko_tests::prelude::*;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Sends a request as it is, and returns the answer's status line.
async fn status_of(stack: &Stack, request: &str) -> String {
    let address = stack.gateway(A).replace("http://", "");
    let mut stream = TcpStream::connect(address).await.expect("the gateway listens");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer)).await.expect("it is text");
    answer.lines().next().unwrap_or_default().to_owned()
}

#[apply(embedded)]
async fn http_1_1_needs_exactly_one_host(stack: Stack) {
    for (head, status) in [
        ("GET /healthz HTTP/1.1\r\nHost: a.example\r\n", "HTTP/1.1 200 OK"),
        ("GET /healthz HTTP/1.1\r\n", "HTTP/1.1 400 Bad Request"),
        (
            "GET /healthz HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n",
            "HTTP/1.1 400 Bad Request",
        ),
        ("GET /healthz HTTP/1.0\r\n", "HTTP/1.0 200 OK"),
    ] {
        let request = format!("{head}Connection: close\r\n\r\n");
        assert_eq!(status_of(&stack, &request).await, status, "{head}");
    }
}

#[apply(embedded)]
async fn other_sites_may_link_to_a_page_and_fetch_nothing_of_it(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let cross = |method: Method, mode: &str| {
        let request = visitor.request(method, "").header("sec-fetch-site", "cross-site");
        request.header("sec-fetch-mode", mode.to_owned())
    };
    send(cross(Method::GET, "navigate")).await.expect(200);
    send(cross(Method::GET, "no-cors")).await.refused(403, "ORIGIN_NOT_ALLOWED");
    let posted = send(cross(Method::POST, "navigate").json(&json!({"content": "x"}))).await;
    posted.refused(403, "ORIGIN_NOT_ALLOWED");
}

#[apply(embedded)]
async fn crawlers_browsers_and_researchers_find_what_they_look_for(kind: Kind) {
    let contact = "mailto:security@acme.example";
    let stack = Stack::with(kind, &[("ARIZUKO_SECURITY_CONTACT", contact)]).await;
    let robots = stack.at(A, "/robots.txt").get("").await.expect(200);
    assert!(robots.text().lines().any(|line| line == "Disallow: /"), "{}", robots.text());
    let icon = stack.at(A, "/favicon.ico").get("").await.expect(200);
    assert_eq!(icon.header("content-type"), "image/svg+xml");
    let security = stack.at(A, "/.well-known/security.txt").get("").await.expect(200);
    let text = security.text();
    assert!(text.starts_with(&format!("Contact: {contact}\nExpires: 20")), "{text}");
    let plain = Stack::start(kind).await;
    plain.at(A, "/.well-known/security.txt").get("").await.refused(404, "NOT_FOUND");
}

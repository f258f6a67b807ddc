//! Which sites may embed a link and call it. In all tests, the harness checks that no answer sets a
//! cookie, and that each has the headers that all answers must have.

use arizuko_tests::http::Answer;
use arizuko_tests::prelude::*;

async fn links(stack: &Stack) -> (Visitor, Visitor) {
    let allowed_origins = vec!["https://acme.com".to_owned(), "http://localhost:3000".to_owned()];
    let options = LinkOptions { allowed_origins, ..LinkOptions::default() };
    let open = stack.issue_with("acme", "", options).await;
    (stack.visitor(&open, A), stack.visit("acme").await)
}

async fn post_from(visitor: &Visitor, headers: &[(&str, &str)]) -> Answer {
    let mut request = visitor.request(Method::POST, "").json(&json!({"content": "x"}));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request).await
}

#[apply(embedded)]
async fn a_site_that_the_link_does_not_name_may_not_call(stack: Stack) {
    let (open, closed) = links(&stack).await;
    for visitor in [&open, &closed] {
        for origin in [
            "https://evil.example",
            "https://acme.com.evil.example",
            "http://acme.com",
            "https://acme.com:8443",
            "null",
        ] {
            let refused =
                post_from(visitor, &[("origin", origin)]).await.refused(403, "ORIGIN_NOT_ALLOWED");
            assert_eq!(refused.header("access-control-allow-origin"), "");
        }
        let forged = [("origin", "null"), ("sec-fetch-site", "cross-site")];
        post_from(visitor, &forged).await.refused(403, "ORIGIN_NOT_ALLOWED");
    }
    post_from(&closed, &[("origin", "https://acme.com")]).await.refused(403, "ORIGIN_NOT_ALLOWED");
}

#[apply(embedded)]
async fn a_site_that_the_link_names_may_call_and_embed_it(stack: Stack) {
    let (open, closed) = links(&stack).await;
    for origin in ["https://acme.com", "http://localhost:3000"] {
        let answer = post_from(&open, &[("origin", origin)]).await;
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        assert!(answer.header("vary").to_lowercase().contains("origin"));
        let turn = answer.posted().turn;
        let request = open.request(Method::GET, &format!("{turn}/status")).header("origin", origin);
        assert_eq!(send(request).await.expect(200).header("access-control-allow-origin"), origin);
    }
    let policy = open.get("").await.expect(200).header("content-security-policy").to_owned();
    assert!(policy.contains("frame-ancestors https://acme.com http://localhost:3000"), "{policy}");
    let policy = closed.get("").await.expect(200).header("content-security-policy").to_owned();
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(open.get("").await.header("access-control-allow-origin"), "");
}

#[apply(embedded)]
async fn the_page_itself_may_call(stack: Stack) {
    let (_, closed) = links(&stack).await;
    let own = stack.gateway(A);
    post_from(&closed, &[]).await.posted();
    post_from(&closed, &[("origin", &own)]).await.posted();
    post_from(&closed, &[("origin", "null"), ("sec-fetch-site", "same-origin")]).await.posted();
}

#[apply(embedded)]
async fn only_named_sites_pass_a_preflight(stack: Stack) {
    let (open, closed) = links(&stack).await;
    let ask = |visitor: &Visitor, origin: &str| {
        let request = visitor.request(Method::OPTIONS, "").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        send(request.header("access-control-request-headers", "content-type,idempotency-key"))
    };
    let answer = ask(&open, "https://acme.com").await.expect(204);
    assert_eq!(answer.header("access-control-allow-origin"), "https://acme.com");
    assert!(answer.header("access-control-allow-methods").contains("POST"));
    let headers = answer.header("access-control-allow-headers").to_lowercase();
    for header in ["content-type", "idempotency-key", "last-event-id"] {
        assert!(headers.contains(header), "{headers}");
    }
    ask(&open, "https://evil.example").await.expect(403);
    ask(&closed, "https://acme.com").await.expect(403);
}

#[apply(embedded)]
async fn a_site_that_the_link_does_not_name_learns_nothing_about_it(stack: Stack) {
    let (_, closed) = links(&stack).await;
    let posted = closed.say("hello").await;
    for path in [
        "config",
        &posted.turn,
        &format!("{}/sse", posted.turn),
        &format!("c/{}", posted.conversation),
    ] {
        let request = closed.request(Method::GET, path).header("origin", "https://evil.example");
        let answer = send(request).await.refused(403, "ORIGIN_NOT_ALLOWED");
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
}

/// A site's script can distinguish between a link that has ended and a lost connection.
#[apply(embedded)]
async fn any_site_may_read_that_a_link_has_ended_or_that_it_must_wait(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_ADDRESS_REQUESTS", "40")]).await;
    let unknown = stack.at(A, &format!("/chat/{}/", random_id()));
    let from = |method, origin: &str| {
        let request = unknown.request(method, "config").header("origin", origin);
        request.header("access-control-request-method", "POST")
    };
    let origin = "https://acme.com";
    let asked = send(from(Method::OPTIONS, origin)).await.expect(204);
    assert_eq!(asked.header("access-control-allow-origin"), origin);
    let ended = send(from(Method::GET, origin)).await.refused(401, "TOKEN_INVALID");
    assert_eq!(ended.header("access-control-allow-origin"), origin);
    // A wrong token counts as thirty requests.
    let busy = send(from(Method::GET, origin)).await.refused(429, "RATE_LIMITED");
    assert_eq!(busy.header("access-control-allow-origin"), origin);
    assert!(busy.header("access-control-expose-headers").contains("retry-after"));
}

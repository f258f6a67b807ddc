//! `/hook/{token}`: webhooks reach the agent byte for byte.

mod answers;
mod deliveries;
mod encodings;
mod filters;
mod handshakes;
mod repeats;
mod request;
pub(crate) mod signatures;

use arizuko_tests::prelude::*;
use futures_util::future::join_all;
use std::collections::HashSet;

#[apply(every_stack)]
async fn a_body_of_any_type_reaches_the_agent_verbatim(stack: Stack) {
    let hook = stack.caller(&stack.issue_hook("acme", "github", "").await, A);
    let mut agent = stack.attach("acme", B).await;
    let every_byte: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for (kind, body) in [
        ("application/json", b"{\"a\":  1,\n\"b\": \"\\u00e9\"}".to_vec()),
        ("application/octet-stream", every_byte),
        ("application/x-www-form-urlencoded", b"content=x&payload=%7B%7D".to_vec()),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n\r\n--x--\r\n".to_vec()),
        ("text/plain", Vec::new()),
    ] {
        let answer = hook.post(kind, body.clone()).await.expect(202).json();
        assert!(answer["turn_id"].as_str().is_some_and(is_id), "{answer}");
        assert_eq!(answer["status"], "queued");
        assert_eq!(answer.get("user"), None, "the response doesn't repeat the body");
        let turn = agent.offered().await;
        assert_eq!(turn.content, body, "{kind}");
        assert_eq!(turn.turn_id, answer["turn_id"]);
        assert_eq!((turn.jid.as_str(), turn.sender.as_str()), ("hook:acme/github", "github"));
    }
}

#[apply(every_stack)]
async fn headers_reach_the_agent_in_order_and_credentials_do_not(stack: Stack) {
    let hook = stack.caller(&stack.issue_hook("acme", "github", "").await, A);
    let mut agent = stack.attach("acme", B).await;
    let sent = [
        ("X-Hub-Signature-256", "sha256=abc"),
        ("X-Twice", "1"),
        ("X-Twice", "2"),
        ("X-GitHub-Event", "push"),
    ];
    let mut request = hook.request(Method::POST, "").body("{}");
    for (name, value) in sent {
        request = request.header(name, value);
    }
    for (name, value) in [
        ("Authorization", "Bearer secret-1"),
        ("Cookie", "a=secret-2"),
        ("Proxy-Authorization", "secret-3"),
        ("X-Gitlab-Token", "secret-4"),
        ("X-Api-Key", "secret-5"),
        ("X-Telegram-Bot-Api-Secret-Token", "secret-6"),
    ] {
        request = request.header(name, value);
    }
    request = request.header("x-bytes", b"caf\xe9".as_slice());
    send(request).await.expect(202);
    let headers = agent.offered().await.headers;
    let named = |wanted: &'static str| {
        headers.iter().filter(move |h| h.name == wanted).map(|h| &h.value[..])
    };
    assert_eq!(named("x-hub-signature-256").collect::<Vec<_>>(), [b"sha256=abc"]);
    assert_eq!(named("x-twice").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(named("x-bytes").collect::<Vec<_>>(), [b"caf\xe9"]);
    assert_eq!(named("content-length").collect::<Vec<_>>(), [b"2"]);
    let order: Vec<_> =
        headers.iter().map(|h| h.name.as_str()).filter(|n| n.starts_with("x-")).collect();
    assert_eq!(order, ["x-hub-signature-256", "x-twice", "x-twice", "x-github-event", "x-bytes"]);
    let all = format!("{headers:?}");
    assert!(!all.contains("secret-"), "{all}");
}

#[apply(every_stack)]
async fn a_webhooks_turn_has_a_snapshot_a_status_and_a_stream(stack: Stack) {
    let link = stack.issue_hook("acme", "github", "").await;
    let (here, there) = (stack.caller(&link, A), stack.caller(&link, B));
    let mut agent = stack.attach("acme", B).await;
    let turn = here.post("application/json", "{}").await.posted().turn;
    agent.answer_next("seen").await;
    let status = there.json(&format!("/{turn}/status?wait=10")).await;
    assert_eq!(status["status"], "done");
    let snapshot = there.json(&format!("/{turn}")).await;
    assert_eq!(snapshot["assistant"][0]["content"], "seen");
    let path = format!("/{turn}/sse");
    let seen = there.open(&path, Cursor::Start).await.ok().rest().await;
    assert_eq!(names(&seen), ["message", "turn_done"]);
    there.get(&format!("/{}", "A".repeat(22))).await.refused(404, "NOT_FOUND");
}

#[apply(every_stack)]
async fn a_token_works_only_under_its_own_kind_of_url(stack: Stack) {
    let chat = stack.issue("acme").await;
    let hook = stack.issue_hook("acme", "github", "").await;
    let turn = stack.visitor(&chat, A).say("hello").await;
    for gateway in BOTH {
        let wrong = stack.visitor(&hook, gateway);
        let id = &turn.turn;
        for path in [
            "",
            "config",
            id,
            &format!("{id}/sse"),
            &format!("{id}/status"),
            &format!("c/{id}"),
            &format!("c/{id}/sse"),
        ] {
            wrong.get(path).await.refused(404, "WRONG_KIND");
        }
        wrong.post_json(&json!({"content": "x"})).await.refused(404, "WRONG_KIND");
        wrong.post_to(&format!("{id}/cancel")).await.refused(404, "WRONG_KIND");
        wrong.delete(&format!("c/{id}")).await.refused(404, "WRONG_KIND");

        let wrong = stack.caller(&chat, gateway);
        wrong.post("application/json", "{}").await.refused(404, "WRONG_KIND");
        for path in [format!("/{id}"), format!("/{id}/status"), format!("/{id}/sse")] {
            wrong.get(&path).await.refused(404, "WRONG_KIND");
        }
    }
    // Once revoked, a token does not show its kind.
    stack.revoke(&hook.token_id).await;
    stack.visitor(&hook, A).get("config").await.refused(401, "TOKEN_INVALID");
    stack.caller(&hook, A).post("text/plain", "x").await.refused(401, "TOKEN_INVALID");
}

#[apply(every_stack)]
async fn a_webhooks_source_and_suffix_are_distinct(stack: Stack) {
    let mut agent = stack.attach("acme", B).await;
    for (source, suffix, jid) in [
        ("github", "", "hook:acme/github"),
        ("github", "prod", "hook:acme/github/prod"),
        ("prod", "", "hook:acme/prod"),
    ] {
        let link = stack.issue_hook("acme", source, suffix).await;
        assert_eq!(link.jid, jid);
        assert_eq!(link.url, format!("https://acme.example/hook/{}", link.token));
        stack.caller(&link, A).post("text/plain", "x").await.expect(202);
        let turn = agent.offered().await;
        assert_eq!((turn.jid.as_str(), turn.sender.as_str()), (jid, source));
    }
}

#[apply(every_stack)]
async fn a_body_that_is_too_large_is_refused(kind: Kind) {
    for (most, settings) in [
        (4 << 20, &[] as &[_]),
        (16 << 20, &[("ARIZUKO_HOOK_BYTES", "16777216"), ("ARIZUKO_HOOK_BODY_BYTES", "16777216")]),
    ] {
        let stack = Stack::with(kind, settings).await;
        let hook = stack.caller(&stack.issue_hook("acme", "github", "").await, A);
        let mut agent = stack.attach("acme", B).await;
        let largest = vec![0xff; most];
        hook.post("application/octet-stream", largest.clone()).await.expect(202);
        let content = agent.offered().await.content;
        assert!(content == largest, "a body of {most} bytes that is not text arrives whole");
        let larger = hook.post("application/octet-stream", vec![0; most + 1]).await;
        let told = larger.refused(413, "TOO_LARGE").json()["detail"].to_string();
        assert!(told.contains(&most.to_string()), "{told}");
    }
}

/// All of these deliveries change one record, which holds what the folder has observed.
#[apply(embedded_and_one_redis)]
async fn a_burst_of_observed_deliveries_loses_none(stack: Stack) {
    let hook = stack.issue_hook("acme", "ci", "").await;
    stack.route(mode(&hook.jid, RouteMode::Observe)).await;
    let hook = stack.caller(&hook, A);
    let posts = (0..120).map(|number| hook.post("text/plain", number.to_string()));
    for answer in join_all(posts).await {
        answer.expect(202);
    }
}

#[apply(embedded_and_pair)]
async fn a_burst_of_deliveries_loses_none(stack: Stack) {
    let link = stack.issue_hook("acme", "ci", "").await;
    let deliver = |number: usize| {
        let hook = stack.caller(&link, BOTH[number % 2]);
        async move { hook.post("text/plain", number.to_string()).await.posted().turn }
    };
    let turns: HashSet<_> = join_all((0..100).map(deliver)).await.into_iter().collect();
    let mut agent = stack.session(B, hello("acme", 4)).await;
    let mut seen = HashSet::new();
    for _ in 0..100 {
        let held = agent.turn().await;
        seen.insert(held.turn.turn_id.clone());
        agent.answer(held, "built").await;
        agent.credit(1).await;
    }
    assert_eq!(seen, turns);
}

#[apply(embedded_and_pair)]
async fn a_webhook_has_limits_of_its_own(stack: Stack) {
    let refused = async |hooks: &[Visitor; 2], taken: usize, reason: &str| {
        for number in 0..taken {
            hooks[number % 2].post("text/plain", "x").await.posted();
        }
        assert!(hooks[0].post("text/plain", "x").await.refused(429, reason).retry_after() >= 1);
    };
    refused(&issue_hook(&stack, "slow", &["--rate", "5/h"]).await, 5, "RATE_LIMITED").await;
    refused(
        &issue_hook(&stack, "short", &["--rate", "5/h", "--burst", "2"]).await,
        2,
        "RATE_LIMITED",
    )
    .await;
    refused(&issue_hook(&stack, "few", &["--max-open-turns", "4"]).await, 4, "TOO_MANY_TURNS")
        .await;
}

/// Issues a webhook of `acme` with these flags. Returns its caller at each gateway.
async fn issue_hook(stack: &Stack, source: &str, flags: &[&str]) -> [Visitor; 2] {
    let arguments = [&["token", "issue", "acme", "hook", source], flags].concat();
    let issued = stack.arizuko(&arguments).await.expect(0);
    let token = issued.out.trim().rsplit('/').next().unwrap_or_default().to_owned();
    BOTH.map(|gateway| stack.at(gateway, &format!("/hook/{token}")))
}

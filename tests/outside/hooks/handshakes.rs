//! Handshakes: requests by which senders check a webhook's URL before they deliver to it.

use arizuko_tests::{http::Answer, prelude::*};

/// Asserts that the answer is the challenge, as text that no browser takes for a page.
fn repeated(answer: Answer, challenge: &str) {
    let answer = answer.expect(200);
    assert_eq!(answer.text(), challenge);
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

async fn post_with(hook: &Visitor, header: (&str, &str), body: &str) -> Answer {
    let request = hook.request(Method::POST, "").header(header.0, header.1);
    send(request.header("content-type", "application/json").body(body.to_owned())).await
}

/// The requests are those in the senders' documentation.
#[apply(embedded)]
async fn a_known_senders_challenge_is_answered_and_makes_no_turn(stack: Stack) {
    let link = stack.issue_hook("acme", "any", "").await;
    let mut agent = stack.attach("acme", B).await;
    let hook = stack.caller(&link, A);
    let slack = r#"{"token": "Jhj5dZrVaK7ZwHHjRyZWjbDl",
        "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
        "type": "url_verification"}"#;
    let challenge = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P";
    repeated(hook.post("application/json", slack).await, challenge);

    let meta = "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhock";
    for path in ["", "/", "/facebook", "/a/b/c/"] {
        repeated(hook.get(&format!("{path}{meta}")).await, "1158201444");
    }
    repeated(hook.get("?challenge=dropbox-1").await, "dropbox-1");
    let graph =
        "?validationToken=Validation%3a+Testing+client+application%0d".trim_end_matches("%0d");
    let answer = send(hook.request(Method::POST, graph).header("content-length", "0")).await;
    repeated(answer, "Validation: Testing client application");

    let twitch = r#"{"challenge": "pogchamp-kappa-360noscope-vohiyo",
        "subscription": {"status": "webhook_callback_verification_pending"}}"#;
    let kind = ("Twitch-Eventsub-Message-Type", "webhook_callback_verification");
    repeated(post_with(&hook, kind, twitch).await, "pogchamp-kappa-360noscope-vohiyo");

    let event_grid = r#"[{"id": "2d1781af-3a4c-4d7c-bd0c-e34b19da4e66", "subject": "",
        "data": {"validationCode": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"},
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent"}]"#;
    let kind = ("aeg-event-type", "SubscriptionValidation");
    let answer = post_with(&hook, kind, event_grid).await.expect(200).json();
    assert_eq!(answer, json!({"validationResponse": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}));

    let okta = hook.request(Method::GET, "").header("x-okta-verification-challenge", "okta-1");
    assert_eq!(send(okta).await.expect(200).json(), json!({"verification": "okta-1"}));

    // The first turn comes from the first request that is not a handshake.
    let posted = hook.post("application/json", r#"{"challenge": "x", "type": "event"}"#).await;
    assert_eq!(agent.offered().await.turn_id, posted.posted().turn);
}

#[apply(embedded)]
async fn a_challenge_is_short_and_plain(stack: Stack) {
    let hook = stack.caller(&stack.issue_hook("acme", "any", "").await, A);
    repeated(
        hook.get("?challenge=%3Cscript%3Ealert(1)%3C/script%3E").await,
        "<script>alert(1)</script>",
    );
    repeated(hook.get(&format!("?challenge={}", "x".repeat(1024))).await, &"x".repeat(1024));
    hook.get(&format!("?challenge={}", "x".repeat(1025))).await.refused(400, "INVALID");
    hook.get("?hub.challenge=a%0d%0ab").await.refused(400, "INVALID");
    let slack = json!({"type": "url_verification", "challenge": "x".repeat(1025)});
    hook.post_json(&slack).await.refused(400, "INVALID");
}

#[apply(embedded)]
async fn only_a_link_that_works_answers(stack: Stack) {
    let link = stack.issue_hook("acme", "any", "").await;
    let chat = stack.issue("acme").await;
    let asked = async |hook: &Visitor| {
        let slack = json!({"type": "url_verification", "challenge": "c"});
        let options = send(hook.request(Method::OPTIONS, "")).await;
        let head = send(hook.request(Method::HEAD, "")).await;
        [
            hook.get("").await,
            hook.get("?challenge=c").await,
            hook.post_json(&slack).await,
            options,
            head,
        ]
    };
    for answer in asked(&stack.caller(&link, A)).await {
        answer.expect(200);
    }
    for answer in asked(&stack.caller(&chat, A)).await {
        answer.expect(404);
    }
    stack.revoke(&link.token_id).await;
    for answer in asked(&stack.caller(&link, B)).await {
        answer.expect(401);
    }
}

#[apply(embedded)]
async fn a_visit_gets_a_sentence_and_options_what_is_allowed(stack: Stack) {
    let link = stack.issue_hook("acme", "any", "").await;
    let hook = stack.caller(&link, A);
    for path in ["", "/", "/x", "/x/y/"] {
        let answer = hook.get(path).await.expect(200);
        assert!(answer.text().starts_with("This is a webhook."), "{}", answer.text());
        assert!(answer.header("content-type").starts_with("text/plain"));
        assert_eq!(send(hook.request(Method::HEAD, path)).await.expect(200).text(), "");
    }
    let answer = send(hook.request(Method::OPTIONS, "/x")).await.expect(200);
    assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS, PATCH, POST, PUT");
    assert_eq!(answer.header("webhook-allowed-origin"), "");
    send(hook.request(Method::DELETE, "")).await.refused(405, "METHOD_NOT_ALLOWED");
    hook.get(&format!("/{}", "A".repeat(22))).await.refused(404, "NOT_FOUND");
}

/// The headers are those in the CloudEvents specification for webhooks.
#[apply(embedded)]
async fn a_cloudevents_sender_may_send_at_the_links_rate(stack: Stack) {
    let ask = async |hook: &Visitor| {
        let request = hook.request(Method::OPTIONS, "");
        let request = request.header("webhook-request-origin", "eventemitter.example.com");
        let answer = send(request.header("webhook-request-rate", "120")).await.expect(200);
        assert_eq!(answer.header("webhook-allowed-origin"), "eventemitter.example.com");
        answer.header("webhook-allowed-rate").to_owned()
    };
    assert_eq!(ask(&stack.caller(&stack.issue_hook("acme", "any", "").await, A)).await, "600");
    let [slow, _] = super::issue_hook(&stack, "slow", &["--rate", "120/h"]).await;
    assert_eq!(ask(&slow).await, "2");
}

//! One delivery makes one turn, however often it is sent.

use crate::hooks::issue_hook;
use arizuko_tests::prelude::*;

/// Sends a delivery with these headers. Returns the turn, and whether the answer says that the
/// delivery is a repeat.
async fn deliver(hook: &Visitor, headers: &[(&str, &str)], body: &str) -> (String, bool) {
    let request = headers.iter().fold(hook.request(Method::POST, ""), |request, (name, value)| {
        request.header(*name, *value)
    });
    let answer = send(request.body(body.to_owned())).await;
    let replayed = answer.header("idempotency-replayed").to_owned();
    assert!(["", "true"].contains(&&*replayed), "{replayed}");
    (answer.posted().turn, replayed == "true")
}

#[apply(embedded_and_pair)]
async fn a_redelivery_runs_once(stack: Stack) {
    let link = stack.issue_hook("acme", "github", "").await;
    let deliver = |gateway: Instance, key: &str, body: &str| {
        let request = stack.caller(&link, gateway).request(Method::POST, "");
        send(request.header("idempotency-key", key).body(body.to_owned()))
    };
    // Short keys are fine here: guessing a key gives no access to a webhook's conversation.
    let first = deliver(A, "delivery-1", "{}").await.posted();
    assert_eq!(deliver(B, "delivery-1", "{}").await.posted(), first);
    deliver(A, "delivery-1", "{\"other\":1}").await.refused(422, "IDEMPOTENCY_MISMATCH");
    let second = deliver(A, "delivery-2", "{}").await.posted();
    assert_ne!(second.turn, first.turn);
    assert_ne!(second.conversation, first.conversation, "each call opens its own conversation");
}

#[apply(embedded_and_pair)]
async fn a_delivery_is_known_by_its_senders_header_at_every_gateway_and_after_a_restart(
    mut stack: Stack,
) {
    let link = stack.issue_hook("acme", "any", "").await;
    let sources: [&[(&str, &str)]; 11] = [
        &[("webhook-id", "msg_1")],
        &[("svix-id", "msg_1")],
        &[("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")],
        &[("x-gitea-delivery", "f6266f16-1bf3-46a5-9ea4-602e06ead473")],
        &[("linear-delivery", "234d1a4e-b617-4388-90fe-adc3633d6b72")],
        &[("x-shopify-webhook-id", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043")],
        &[("x-gitlab-event-uuid", "13792a34-cac6-4fda-95a8-c58e00a3954e")],
        &[("x-atlassian-webhook-identifier", "1")],
        &[("twitch-eventsub-message-id", "1")],
        &[("ce-id", "1"), ("ce-source", "/a")],
        &[("ce-id", "1"), ("ce-source", "/b")],
    ];
    let mut first = Vec::new();
    for headers in sources {
        let here = stack.caller(&link, A);
        let (turn, replayed) = deliver(&here, headers, "{}").await;
        assert!(!replayed && !first.contains(&turn), "{headers:?}");
        assert_eq!(deliver(&stack.caller(&link, B), headers, "{}").await, (turn.clone(), true));
        first.push(turn);
    }
    stack.power_cycle().await;
    for (headers, turn) in sources.iter().zip(first) {
        assert_eq!(deliver(&stack.caller(&link, B), headers, "{}").await, (turn, true));
    }
    // The same delivery to another link makes another turn.
    let other = stack.caller(&stack.issue_hook("acme", "any", "").await, A);
    assert!(!deliver(&other, sources[0], "{}").await.1);
}

#[apply(embedded)]
async fn a_retry_may_have_another_body_unless_the_header_is_shared_by_several(stack: Stack) {
    let hook = stack.caller(&stack.issue_hook("acme", "any", "").await, A);
    let retried = [("linear-delivery", "1")];
    let (turn, _) = deliver(&hook, &retried, "{\"webhookTimestamp\":1}").await;
    assert_eq!(deliver(&hook, &retried, "{\"webhookTimestamp\":2}").await, (turn, true));
    // If one GitLab webhook causes others, all of them have the same id.
    let shared = [("x-gitlab-event-uuid", "1")];
    assert!(!deliver(&hook, &shared, "{\"object_kind\":\"push\"}").await.1);
    assert!(!deliver(&hook, &shared, "{\"object_kind\":\"pipeline\"}").await.1);
    // No header names these deliveries.
    assert!(!deliver(&hook, &[], "{}").await.1);
    assert!(!deliver(&hook, &[], "{}").await.1);
}

#[apply(embedded_and_pair)]
async fn a_link_may_name_the_header_or_take_the_body(stack: Stack) {
    let by_header = issue_hook(&stack, "one", &["--dedupe-header", "X-Event-Id"]).await;
    let (turn, _) = deliver(&by_header[0], &[("x-event-id", "1"), ("webhook-id", "1")], "a").await;
    let again = deliver(&by_header[1], &[("x-event-id", "1"), ("webhook-id", "2")], "b").await;
    assert_eq!(again, (turn, true));
    assert!(!deliver(&by_header[0], &[("webhook-id", "1")], "a").await.1, "it has no such header");

    let by_body = issue_hook(&stack, "two", &["--dedupe", "body"]).await;
    let (turn, _) = deliver(&by_body[0], &[("webhook-id", "1")], "a").await;
    assert_eq!(deliver(&by_body[1], &[("webhook-id", "2")], "a").await, (turn, true));
    assert!(!deliver(&by_body[0], &[("webhook-id", "1")], "b").await.1);
    let elsewhere = by_body[0].request(Method::POST, "/elsewhere").body("a");
    assert_eq!(send(elsewhere).await.expect(202).header("idempotency-replayed"), "");
}

#[apply(embedded)]
async fn what_names_a_delivery_is_checked_and_listed(stack: Stack) {
    let wrong = ["token", "issue", "acme", "hook", "ci", "--dedupe-header", "X Event"];
    let told = stack.arizuko(&wrong).await.expect(1).err;
    assert!(told.contains("a header's name looks like X-Event-Id"), "{told}");
    let both = ["token", "issue", "acme", "hook", "ci", "--dedupe", "body", "--dedupe-header", "X"];
    stack.arizuko(&both).await.expect(2);
    issue_hook(&stack, "ci", &["--dedupe-header", "X-Event-Id"]).await;
    let listed = stack.arizuko(&["token", "list", "--json"]).await.expect(0).out;
    let listed: Value = serde_json::from_str(&listed).expect("it is JSON");
    assert_eq!(listed["tokens"][0]["options"]["hook"]["dedupe_header"], "x-event-id");
}

#[apply(one_redis)]
async fn a_delivery_is_remembered_for_72_hours(mut stack: Stack) {
    let hook = stack.caller(&stack.issue_hook("acme", "any", "").await, A);
    deliver(&hook, &[("webhook-id", "1")], "{}").await;
    let redis = stack.redis();
    let named = redis.ask(&["--scan", "--pattern", "*:repeat:*"]).await;
    let name = String::from_utf8(named).expect("names are text");
    let left = redis.ask(&["pttl", name.trim()]).await;
    let left: u64 = String::from_utf8_lossy(&left).trim().parse().expect("it expires");
    let hours = left / 3_600_000;
    assert!((71..=73).contains(&hours), "{hours} hours");
}

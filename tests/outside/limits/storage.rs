//! How many bytes of messages are kept, by link and by tenant.

use arizuko_proto::v1::{
    EditTokenRequest, IssueChatLinkRequest, LinkLooks, RevokeTokenRequest, TokenTarget,
    revoke_token_request::Target, token_service_client::TokenServiceClient,
    token_target::Target as Named,
};
use arizuko_tests::prelude::*;
use futures_util::future::join_all;
use prost_types::FieldMask;

/// How many bytes of a limit each turn uses in addition to its texts.
const RECORDS: usize = 4 << 10;

fn of_link(bytes: usize) -> [(&'static str, String); 1] {
    [("ARIZUKO_LINK_BYTES", bytes.to_string())]
}

async fn with(kind: Kind, limits: &[(&'static str, String)]) -> Stack {
    let limits = limits.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>();
    Stack::with(kind, &limits).await
}

async fn is_full(visitor: &Visitor) -> bool {
    let answer = visitor.post_json(&json!({"content": "x"})).await;
    if answer.status == 202 {
        return false;
    }
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    answer.refused(429, "LIMIT_REACHED");
    true
}

#[apply(embedded_and_one_redis)]
async fn a_link_keeps_so_many_bytes_and_a_deletion_makes_room(kind: Kind) {
    let stack = with(kind, &of_link(3 * RECORDS + 2)).await;
    let visitor = stack.visit("acme").await;
    let posted = visitor.say(&"x".repeat(RECORDS)).await;
    // There is room for a message, but not for a long one.
    let long = json!({"content": "x".repeat(RECORDS)});
    visitor.post_json(&long).await.refused(429, "LIMIT_REACHED");
    visitor.say("hi").await;
    assert!(is_full(&visitor).await);
    assert!(!is_full(&stack.visit("acme").await).await, "each link has its own");
    visitor.delete(&format!("c/{}", posted.conversation)).await.expect(204);
    visitor.post_json(&long).await.posted();
}

#[apply(embedded_and_one_redis)]
async fn replies_and_what_visitors_say_of_them_count_too(kind: Kind) {
    let stack = with(kind, &of_link(5 * RECORDS + 100)).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let posted = visitor.say("hello").await;
    agent.answer_next(&"x".repeat(3 * RECORDS)).await;
    until("the turn to end", async || visitor.json(&posted.turn).await["status"] == "done").await;
    let rate = async |rating: Value| {
        let request = visitor.request(Method::PUT, &format!("{}/rating", posted.turn));
        send(request.json(&rating)).await.expect(200);
    };
    rate(json!({"rating": "up", "comment": "é".repeat(1_000)})).await;
    assert!(is_full(&visitor).await);
    rate(json!({"rating": "up"})).await;
    assert!(!is_full(&visitor).await);
}

#[apply(embedded_and_one_redis)]
async fn links_of_a_tenant_share_what_it_keeps(kind: Kind) {
    let stack = with(kind, &[("ARIZUKO_TENANT_BYTES", (3 * RECORDS).to_string())]).await;
    let (visitor, other) = (stack.visit("acme").await, stack.visit("acme/eng").await);
    visitor.say("one").await;
    other.say("two").await;
    assert!(is_full(&visitor).await);
    assert!(is_full(&other).await);
    assert!(!is_full(&stack.visit("other").await).await, "each tenant has its own");
}

#[apply(embedded_and_one_redis)]
async fn what_is_past_retention_makes_room(kind: Kind) {
    let short = ["ARIZUKO_KEEP_FRAMES", "ARIZUKO_KEEP_MESSAGES"];
    let short = short.map(|name| (name, "200ms".to_owned()));
    let stack = with(kind, &[of_link(2 * RECORDS).as_slice(), &short].concat()).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", A).await;
    visitor.say("hello").await;
    assert!(is_full(&visitor).await);
    agent.answer_next("bye").await;
    until("the conversation to be dropped", async || !is_full(&visitor).await).await;
}

#[apply(pair)]
async fn the_limit_is_exact_over_two_controls(kind: Kind) {
    let fits = 10;
    let limits = [
        ("ARIZUKO_LINK_BYTES", (fits * (RECORDS + 5)).to_string()),
        ("ARIZUKO_ADDRESS_RATE", "1000".to_owned()),
    ];
    let stack = with(kind, &limits).await;
    let visitors = stack.visit_both("acme").await;
    let message = json!({"content": "hello"});
    let posts = (0..40).map(|n| visitors[n % 2].post_json(&message));
    let answers = join_all(posts).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 202).count(), fits);
    assert_eq!(answers.iter().filter(|answer| answer.status == 429).count(), 40 - fits);
}

#[apply(embedded_and_one_redis)]
async fn logos_and_texts_count_for_their_tenant_until_they_are_gone(kind: Kind) {
    let stack = with(kind, &[("ARIZUKO_TENANT_BYTES", (100 << 10).to_string())]).await;
    let logo = [b"\x89PNG\r\n\x1a\n".as_slice(), &[0; 60 << 10]].concat();
    let looks = LinkLooks { logo: logo.into(), ..LinkLooks::default() };
    let with_logo = LinkOptions { looks: Some(looks), ..LinkOptions::default() };
    let with_text = LinkOptions { context: "\u{1f642}".repeat(16_000), ..LinkOptions::default() };
    for (tenant, options, path) in
        [("acme", with_logo, "looks.logo"), ("beta", with_text, "context")]
    {
        let tokens = TokenServiceClient::new(stack.operator(A).await);
        let issue = async |folder: &str| {
            let (folder, options) = (folder.to_owned(), Some(options.clone()));
            let request = IssueChatLinkRequest { folder, options, ..Default::default() };
            let issued = tokens.clone().issue_chat_link(request).await;
            issued.map(|issued| issued.into_inner().token_id)
        };
        let first = issue(tenant).await.expect("there is room for one");
        let full = issue(&format!("{tenant}/eng")).await.expect_err("there is room for one only");
        assert_eq!(reason(&full), ErrorReason::LimitReached, "{full:?}");
        issue(&format!("{tenant}2")).await.expect("each tenant has its own");

        let target = Some(TokenTarget { target: Some(Named::TokenId(first)) });
        let update_mask = Some(FieldMask { paths: vec![path.to_owned()] });
        let clear = EditTokenRequest { target, options: None, update_mask };
        tokens.clone().edit_token(clear).await.expect("it can go");
        let second = issue(tenant).await.expect("the first one's is gone");
        assert!(issue(tenant).await.is_err());
        let target = Some(Target::TokenId(second));
        tokens
            .clone()
            .revoke_token(RevokeTokenRequest { target, dry_run: false })
            .await
            .expect("operators may");
        issue(tenant).await.expect("the second one is gone");
    }
}

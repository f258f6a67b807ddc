//! Floods of requests that break a rule of webhooks.

use super::Scene;
use crate::hooks::signatures::{SEAL, sign};
use arizuko_proto::v1::{
    HookOptions, IssueWebhookRequest, Signature, SignatureSender, signature::Scheme,
    token_service_client::TokenServiceClient,
};
use arizuko_tests::prelude::*;
use futures_util::future::join_all;
use reqwest::RequestBuilder;
use std::{io, iter::repeat_with, time::SystemTime};

const SECRET: &str = "It's a Secret to Everybody";

/// Sends 12 requests at once, and asserts how each is refused.
async fn refused(request: impl FnMut() -> RequestBuilder, status: u16, reason: &str) {
    for answer in join_all(repeat_with(request).take(12).map(send)).await {
        answer.refused(status, reason);
    }
}

/// Issues a webhook whose deliveries Stripe signs.
async fn signed(stack: &Stack) -> Link {
    let scheme = Some(Scheme::Sender(SignatureSender::Stripe.into()));
    let signature = Some(Signature { secrets: vec![SECRET.to_owned()], scheme });
    let hook = Some(HookOptions { signature, ..HookOptions::default() });
    let request = IssueWebhookRequest {
        folder: "acme/nobody".to_owned(),
        source: "stripe".to_owned(),
        options: Some(LinkOptions { hook, ..LinkOptions::default() }),
        ..IssueWebhookRequest::default()
    };
    let mut tokens = TokenServiceClient::new(stack.operator(A).await);
    let issued = tokens.issue_webhook(request).await.expect("operators issue webhooks");
    Link { token: issued.into_inner().token, ..Link::default() }
}

/// Returns Stripe's header for the body `{}`, with the right signature after some wrong ones.
fn signatures(wrong: usize) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("it is after 1970").as_secs();
    let right = sign(SECRET, format!("{now}.{{}}").as_bytes());
    format!("t={now}{},v1={right}", format!(",v1={}", "00".repeat(32)).repeat(wrong))
}

#[apply(embedded)]
async fn that_are_refused(kind: Kind) {
    let mut scene = Scene::new(kind, &[SEAL, ("ARIZUKO_ADDRESS_REQUESTS", "1000000")]).await;
    let hook = scene.stack.issue_hook("acme/nobody", "github", "").await;
    let hook = scene.stack.caller(&hook, A).from_address("203.0.113.7");
    let signing = scene.stack.caller(&signed(&scene.stack).await, A).from_address("203.0.113.7");
    // A window of 16 MiB, and a kind of window that only some brotli decoders know.
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).expect("memory is to be had");
    zstd.window_log(24).expect("zstd has it");
    io::copy(&mut &vec![0; 20 << 20][..], &mut zstd).expect("memory can be read");
    let zstd = zstd.finish().expect("memory can be written");
    let brotli = [0x11, 0x1e, 0, 0];
    let encoded = |encoding: &'static str, body: &[u8]| {
        hook.request(Method::POST, "").header("content-encoding", encoding).body(body.to_vec())
    };
    let challenge = "x".repeat(1_025);
    let slack = json!({"type": "url_verification", "challenge": challenge});
    let longer = json!({"type": "url_verification", "challenge": "x".repeat(17 << 10)});
    let stripe = |wrong: usize| {
        let request = signing.request(Method::POST, "").body("{}");
        request.header("stripe-signature", signatures(wrong))
    };
    send(stripe(7)).await.expect(202);
    let wave = async |scene: &Scene| {
        refused(|| encoded("zstd", &zstd), 400, "INVALID").await;
        refused(|| encoded("br", &brotli), 400, "INVALID").await;
        let visit = || hook.request(Method::GET, &format!("?challenge={challenge}"));
        refused(visit, 400, "INVALID").await;
        refused(|| hook.request(Method::POST, "").json(&slack), 400, "INVALID").await;
        hook.post_json(&longer).await.posted();
        refused(|| stripe(8), 401, "SIGNATURE_INVALID").await;
        let visitor = scene.visitor("203.0.113.8");
        let repeat = visitor.request(Method::POST, "").json(&json!({"content": "hello"}));
        let repeat = repeat.header("idempotency-key", "k".repeat(256));
        refused(|| repeat.try_clone().expect("it has no stream"), 400, "INVALID").await;
        true
    };
    scene.withstands(wave).await;
}

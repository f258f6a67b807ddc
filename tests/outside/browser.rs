//! A real Chromium: `tests/browser` drives the page.

use arizuko_tests::{Kind, Stack, on};

on![embedded, Embedded;
    conversation, a_stream_that_breaks, privacy, trouble, accessibility, looks];
on![one_redis, OneRedis; conversation];
on![pair, Pair; conversation, a_stream_that_breaks, privacy, trouble];

async fn test(kind: Kind, file: &str) {
    Stack::with_real_links(kind, &[]).await.browser_test(file).await;
}

async fn conversation(kind: Kind) {
    test(kind, "conversation.test.js").await;
}

async fn a_stream_that_breaks(kind: Kind) {
    test(kind, "stream.test.js").await;
}

async fn privacy(kind: Kind) {
    test(kind, "privacy.test.js").await;
}

async fn trouble(kind: Kind) {
    test(kind, "trouble.test.js").await;
}

async fn accessibility(kind: Kind) {
    test(kind, "accessibility.test.js").await;
}

async fn looks(kind: Kind) {
    test(kind, "looks.test.js").await;
}

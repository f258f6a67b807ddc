//! The page in a real Chromium, driven by `tests/browser`: on the embedded store in its headless
//! shell, on the pair in the whole browser. And the SDK in Node.js.

use arizuko_tests::prelude::*;

/// On the pair, runs only the files that depend on the servers, and `privacy`, which blocks cookies
/// as only the whole browser can.
#[apply(embedded_and_pair)]
async fn the_page_works_in_chromium(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let files: &[&str] = match kind {
        Kind::Embedded => &["conversation", "network", "people", "stream", "trouble"],
        _ => &["conversation", "people", "privacy", "stream"],
    };
    stack.browser_tests(files).await;
}

/// The links take few messages at once, so that few are an attack.
#[apply(embedded)]
async fn the_page_proves_its_work_in_chromium(kind: Kind) {
    let limits = [("ARIZUKO_LINK_BURST", "12"), ("ARIZUKO_LINK_RATE", "6")];
    let stack = Stack::with_real_links(kind, &limits).await;
    stack.browser_tests(&["proof"]).await;
}

/// Blocks storage, as only the whole browser can.
#[apply(pair)]
async fn the_chat_works_in_other_sites_in_chromium(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    stack.browser_tests(&["embed", "hooks"]).await;
}

#[apply(embedded)]
async fn the_sdk_works_in_node(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    stack.browser_tests(&["sdk"]).await;
}

#[apply(embedded)]
async fn the_page_is_easy_to_use_in_chromium(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let files = [
        "accessibility",
        "branding",
        "colours",
        "conversations",
        "devices",
        "doing",
        "editing",
        "growing",
        "languages",
        "looks",
        "reading",
        "text",
        "thumbs",
    ];
    stack.browser_tests(&files).await;
}

#[apply(embedded)]
async fn the_page_waits_while_its_link_is_paused_in_chromium(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    stack.browser_tests(&["pause"]).await;
}

//! The page in real browsers, driven by `tests/browser`. Here each file except `looks` runs in
//! Chromium, or in its headless shell where that is enough, and some files also run in Firefox;
//! `tests/run --browsers` runs all files in Chromium and in Firefox. The SDK runs in Node.js and
//! Deno. Each group of files takes about as long as any other, since the groups run side by side.

use crate::hooks::signatures::SEAL;
use arizuko_tests::prelude::*;

#[apply(embedded)]
async fn the_page_works(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    stack.browser_tests(Browser::Shell, &["conversation", "network", "stream"]).await;
}

#[apply(embedded)]
async fn the_page_works_with_people_and_in_trouble(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    stack.browser_tests(Browser::Shell, &["people", "trouble"]).await;
}

/// Runs only the files that depend on the servers.
#[apply(pair)]
async fn the_page_works_on_several_servers(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    stack.browser_tests(Browser::Shell, &["conversation", "people", "stream"]).await;
}

/// The links take few messages at once, so that a few are an attack.
#[apply(embedded)]
async fn the_page_proves_its_work(kind: Kind) {
    let limits = [("ARIZUKO_LINK_BURST", "12"), ("ARIZUKO_LINK_RATE", "6")];
    let stack = Stack::with_real_links(kind, &limits).await;
    stack.browser_tests(Browser::Shell, &["proof"]).await;
}

/// Blocks storage, as only the whole Chromium can.
#[apply(pair)]
async fn the_chat_works_in_other_sites_and_keeps_secrets(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[SEAL]).await;
    stack.browser_tests(Browser::Chromium, &["embed", "hooks", "privacy"]).await;
}

#[apply(embedded)]
async fn the_sdk_works_and_so_does_the_ai_sdk(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[SEAL]).await;
    stack.browser_tests(Browser::Shell, &["sdk", "use-chat"]).await;
}

#[apply(embedded)]
async fn the_page_is_easy_to_read(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    stack.browser_tests(Browser::Shell, &["accessibility", "colours", "text"]).await;
}

#[apply(embedded)]
async fn the_page_fits_its_site_device_and_reader(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    stack.browser_tests(Browser::Shell, &["branding", "devices", "languages"]).await;
}

#[apply(embedded)]
async fn the_page_is_easy_to_use(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    stack.browser_tests(Browser::Shell, &["doing", "growing", "reading"]).await;
}

#[apply(embedded)]
async fn conversations_are_easy_to_keep_and_change(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let files = ["conversations", "editing", "pause", "thumbs"];
    stack.browser_tests(Browser::Shell, &files).await;
}

/// The files whose subjects differ most between browsers.
#[apply(embedded)]
async fn the_page_is_the_same_in_firefox(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[SEAL]).await;
    stack.browser_tests(Browser::Firefox, &["devices", "embed", "stream", "text"]).await;
}

async fn the_page_is_photographed(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    stack.browser_tests(Browser::Chromium, &["looks"]).await;
}

#[test]
#[ignore = "takes screenshots for people to look at: tests/run --browsers"]
fn screenshots() {
    arizuko_tests::run(Kind::Embedded, the_page_is_photographed);
}

//! The page in a real Chromium, driven by `tests/browser`.

use arizuko_tests::prelude::*;

/// Runs all files on the embedded store. On the pair, runs only those that depend on the servers.
#[apply(embedded_and_pair)]
async fn the_page_works_in_chromium(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let files: &[&str] = match kind {
        Kind::Embedded => &[
            "conversation",
            "network",
            "people",
            "stream",
            "reading",
            "privacy",
            "trouble",
            "accessibility",
            "looks",
        ],
        _ => &["conversation", "people", "stream"],
    };
    stack.browser_tests(files).await;
}

//! A real Chromium: `tests/browser` drives the page.

use arizuko_tests::prelude::*;

/// Everything on one stack. What is about the page alone is not repeated on the other.
#[apply(embedded_and_pair)]
async fn the_page_works_in_chromium(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let files: &[&str] = match kind {
        Kind::Embedded => {
            &["conversation", "people", "stream", "privacy", "trouble", "accessibility", "looks"]
        }
        _ => &["conversation", "people", "stream"],
    };
    stack.browser_tests(files).await;
}

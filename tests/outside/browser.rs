//! A real Chromium: `tests/browser` drives the page.

use arizuko_tests::{Kind, Stack, on};

on![embedded, Embedded; the_page_works_in_chromium];
on![pair, Pair; the_page_works_in_chromium];

/// Everything on one stack. What is about the page alone is not repeated on the other.
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

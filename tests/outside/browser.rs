//! A real Chromium: `tests/browser` drives the page.

use arizuko_tests::{Kind, Stack, on_every_stack};

on_every_stack![the_page_works_in_chromium];

/// Everything on one stack. What is about the page alone is not repeated on the others, and on one
/// Redis a conversation will do: its gateway and its control are those of the pair.
async fn the_page_works_in_chromium(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let files: &[&str] = match kind {
        Kind::Embedded => &[
            "conversation",
            "people",
            "stream",
            "privacy",
            "trouble",
            "accessibility",
            "looks",
        ],
        Kind::OneRedis => &["conversation"],
        Kind::Pair | Kind::Sentinel | Kind::Cluster => {
            &["conversation", "people", "stream", "privacy", "trouble"]
        }
    };
    stack.browser_tests(files).await;
}

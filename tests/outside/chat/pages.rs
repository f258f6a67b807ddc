//! The page without JavaScript shows a conversation in pages.

use arizuko_tests::prelude::*;

const FAST: [(&str, &str); 2] =
    [("ARIZUKO_ADDRESS_RATE", "100000"), ("ARIZUKO_LINK_RATE", "100000")];

/// Returns the questions that a page shows, and the query of its link to earlier messages.
fn shown(html: &str) -> (Vec<String>, Option<String>) {
    let between = |text: &str, begin: &str, end: &str| {
        let (_, rest) = text.split_once(begin)?;
        Some(rest.split_once(end)?.0.to_owned())
    };
    let questions = html.split(r#"class="message user" data-id="#).skip(1);
    let questions =
        questions.filter_map(|part| between(part, r#"<div class="body" dir="auto">"#, "<"));
    let earlier = between(html, r#"<p class="more"><a href="./"#, r#"">Earlier"#);
    (questions.collect(), earlier.map(|query| query.replace("&amp;", "&")))
}

#[apply(embedded)]
async fn a_long_conversation_is_shown_in_pages_from_the_newest_on(kind: Kind) {
    let stack = Stack::with(kind, &FAST).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let first = visitor.say("question 0").await;
    agent.answer_next("*answer* 0").await;
    for number in 1..45 {
        visitor.say_in(&first.conversation, &format!("question {number}")).await;
        agent.answer_next(&format!("*answer* {number}")).await;
    }
    let mut query = Some(format!("?conversation={}", first.conversation));
    let (mut all, mut pages) = (Vec::new(), Vec::new());
    while let Some(next) = query {
        let html = visitor.get(&next).await.expect(200).text();
        assert_eq!(html.contains("Newest messages"), !pages.is_empty(), "{html}");
        let (questions, earlier) = shown(&html);
        assert_eq!(html.matches("<em>answer</em>").count(), questions.len());
        pages.push(questions.len());
        all.splice(0..0, questions);
        query = earlier;
    }
    assert_eq!(pages, [20, 20, 5]);
    assert_eq!(all, (0..45).map(|number| format!("question {number}")).collect::<Vec<_>>());
}

#[apply(embedded)]
async fn a_page_without_javascript_is_bounded_in_bytes(kind: Kind) {
    let stack = Stack::with(kind, &FAST).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let first = visitor.say("question 0").await;
    let long = "long *words* ".repeat(4_500);
    agent.answer_next(&long).await;
    for number in 1..12 {
        visitor.say_in(&first.conversation, &format!("question {number}")).await;
        agent.answer_next(&long).await;
    }
    let mut query = Some(format!("?conversation={}", first.conversation));
    let mut all = Vec::new();
    while let Some(next) = query {
        let html = visitor.get(&next).await.expect(200).text();
        assert!(html.len() < 1 << 20, "{} bytes", html.len());
        let (questions, earlier) = shown(&html);
        all.splice(0..0, questions);
        query = earlier;
    }
    assert_eq!(all.len(), 12, "{all:?}");
}

//! A link's options and lifetime, and the list of links.

use super::issue::issue;
use arizuko_proto::v1::{
    LinkLimits, ListTokensRequest, ProofOfWork, Rate, token_service_client::TokenServiceClient,
};
use arizuko_tests::prelude::*;
use std::collections::BTreeSet;

#[apply(every_stack)]
async fn options_are_checked_and_kept(stack: Stack) {
    for origin in [
        "*",
        "acme.com",
        "https://acme.com/",
        "https://",
        "https://a b",
        "https://acme.com;x",
        "javascript:x",
        "null",
        "https://Acme.com",
    ] {
        let options =
            LinkOptions { allowed_origins: vec![origin.into()], ..LinkOptions::default() };
        assert_eq!(issue(&stack, "acme", "", options).await, Err(ErrorReason::Invalid), "{origin}");
    }
    let name = LinkOptions { name: "n".repeat(101), ..LinkOptions::default() };
    assert_eq!(issue(&stack, "acme", "", name).await, Err(ErrorReason::Invalid));
    for seconds in [0, -1] {
        let lifetime = Some(prost_types::Duration { seconds, nanos: 0 });
        let options = LinkOptions { lifetime, ..LinkOptions::default() };
        assert_eq!(
            issue(&stack, "acme", "", options).await,
            Err(ErrorReason::Invalid),
            "{seconds} s"
        );
    }
    let second = prost_types::Duration { seconds: 1, nanos: 0 };
    let rate = |count, per| LinkLimits { rate: Some(Rate { count, per }), ..LinkLimits::default() };
    for limits in [
        rate(0, Some(second)),
        rate(1001, Some(second)),
        rate(1, None),
        rate(1, Some(prost_types::Duration { seconds: 86_401, nanos: 0 })),
        rate(1, Some(prost_types::Duration { seconds: -1, nanos: 0 })),
        LinkLimits { burst: 100_001, ..LinkLimits::default() },
        LinkLimits { max_open_turns: 10_001, ..LinkLimits::default() },
        LinkLimits { proof_of_work: 7, ..LinkLimits::default() },
    ] {
        let options = LinkOptions { limits: Some(limits), ..LinkOptions::default() };
        assert_eq!(
            issue(&stack, "acme", "", options).await,
            Err(ErrorReason::Invalid),
            "{limits:?}"
        );
    }

    let options = LinkOptions {
        name: "Name é".into(),
        greeting: "Hello".into(),
        context: "Context".into(),
        allowed_origins: vec!["https://acme.com".into()],
        lifetime: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
        limits: Some(LinkLimits {
            burst: 30,
            max_open_turns: 5,
            proof_of_work: ProofOfWork::Auto.into(),
            ..rate(20, Some(second))
        }),
        hook: None,
        looks: None,
        paused: false,
        visitor_keys: Vec::new(),
    };
    stack.issue_with("acme", "support", options.clone()).await;
    let mut tokens = TokenServiceClient::new(stack.operator(B).await);
    let listed = tokens
        .list_tokens(ListTokensRequest { full: true, ..Default::default() })
        .await
        .expect("operators list")
        .into_inner();
    let token = &listed.tokens[0];
    assert_eq!(token.options, Some(LinkOptions { lifetime: None, ..options.clone() }));
    let small = tokens.list_tokens(ListTokensRequest::default()).await.expect("operators list");
    let (greeting, context) = Default::default();
    let without_texts = LinkOptions { lifetime: None, greeting, context, ..options };
    assert_eq!(small.into_inner().tokens[0].options, Some(without_texts));
    let (created, expires) = (token.created_at.expect("a time"), token.expires_at.expect("a time"));
    assert_eq!(expires.seconds - created.seconds, 3600);
    assert_eq!((token.folder.as_str(), token.suffix.as_str()), ("acme", "support"));
    assert_eq!((token.owner_folder.as_str(), token.source.as_str()), ("acme", ""));
}

#[apply(every_stack)]
async fn a_list_shows_live_tokens_and_no_credentials(stack: Stack) {
    let mut issued = Vec::new();
    for folder in ["acme", "acme/eng", "other", "acme"] {
        issued.push(stack.issue(folder).await);
    }
    issued.push(stack.issue_hook("acme", "github", "").await);
    let ids = |folder: &str| {
        let request = ListTokensRequest { folder: folder.to_owned(), ..Default::default() };
        let stack = &stack;
        async move {
            let mut tokens = TokenServiceClient::new(stack.operator(B).await);
            let listed =
                tokens.list_tokens(request).await.expect("operators list").into_inner().tokens;
            assert!(
                listed.is_sorted_by_key(|token| token.created_at.map(|at| (at.seconds, at.nanos))),
                "sorted from the oldest to the newest"
            );
            let ids = listed.into_iter().map(|token| token.token_id);
            ids.collect::<BTreeSet<_>>()
        }
    };
    let of = |numbers: &[usize]| {
        numbers.iter().map(|n| issued[*n].token_id.clone()).collect::<BTreeSet<_>>()
    };
    assert_eq!(ids("").await, of(&[0, 1, 2, 3, 4]));
    assert_eq!(ids("acme").await, of(&[0, 1, 3, 4]));
    assert_eq!(ids("acme/eng").await, of(&[1]));
    assert_eq!(ids("nobody").await, of(&[]));
    stack.revoke(&issued[3].token_id).await;
    assert_eq!(ids("acme").await, of(&[0, 1, 4]));

    let mut tokens = TokenServiceClient::new(stack.operator(A).await);
    let listed = tokens.list_tokens(ListTokensRequest::default()).await.expect("operators list");
    let shown = format!("{:?}", listed.into_inner());
    assert!(issued.iter().all(|link| !shown.contains(&link.token)), "{shown}");
}

#[apply(every_stack)]
async fn a_link_expires_at_the_end_of_its_lifetime(stack: Stack) {
    let lifetime = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let options = LinkOptions { lifetime, ..LinkOptions::default() };
    let link = stack.issue_with("acme", "", options).await;
    let [here, there] = stack.visitors(&link);
    let posted = here.say("hello").await;
    let mut agent = stack.attach("acme", B).await;
    let held = agent.turn().await;
    let mut events = there.follow(&posted.conversation).await;
    let last = events.rest().await.pop().expect("the stream tells why it ends");
    assert_eq!(last.name, "revoked");
    for visitor in [&here, &there] {
        visitor.get("config").await.refused(401, "TOKEN_INVALID");
        visitor.get(&posted.turn).await.refused(401, "TOKEN_INVALID");
    }
    use arizuko_proto::v1::attach_response::Message as Heard;
    let cancelled = |heard: &Heard| {
        matches!(heard, Heard::Cancel(c) if c.turn_id == held.turn.turn_id).then_some(())
    };
    agent.hear_of("Cancel", cancelled).await;
    let mut tokens = TokenServiceClient::new(stack.operator(A).await);
    let listed = tokens
        .list_tokens(ListTokensRequest::default())
        .await
        .expect("operators list")
        .into_inner();
    assert_eq!(listed.tokens, []);
    assert_eq!(stack.revoke(&link.token_id).await, [], "there is nothing left to revoke");
}

#[apply(embedded_and_pair)]
async fn a_list_comes_in_pages(stack: Stack) {
    let long = LinkOptions { context: "\u{1f642}".repeat(16_000), ..LinkOptions::default() };
    // The links with long contexts fill pages. Control reads the names of the other links in
    // several steps.
    let options = [vec![long; 70], vec![LinkOptions::default(); 130]].concat();
    for (number, options) in options.into_iter().enumerate() {
        let folder = if number < 140 { ["acme", "acme/eng"][number % 2] } else { "beta" };
        stack.issue_with(folder, "", options).await;
    }
    let mut tokens = TokenServiceClient::new(stack.operator(B).await);
    let mut list = async |page_size: u32, page_token: String| {
        let request = ListTokensRequest { page_size, page_token, full: true, ..Default::default() };
        tokens.list_tokens(request).await.map(|listed| listed.into_inner())
    };
    for (page_size, longest) in [(0, 199), (30, 30)] {
        let (mut listed, mut page_token) = (Vec::new(), String::new());
        loop {
            let page = list(page_size, page_token).await.expect("operators list");
            assert!((1..=longest).contains(&page.tokens.len()), "{}", page.tokens.len());
            listed.extend(page.tokens);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert!(listed.is_sorted_by_key(|token| token.created_at.map(|at| (at.seconds, at.nanos))));
        let ids: BTreeSet<_> = listed.iter().map(|token| &token.token_id).collect();
        assert_eq!((listed.len(), ids.len()), (200, 200));
    }
    for wrong in ["1", "x-tok_x"] {
        let refused = list(0, wrong.to_owned()).await.expect_err("no page has it");
        assert_eq!(reason(&refused), ErrorReason::Invalid);
    }
    let listed = stack.arizuko(&["token", "list"]).await.expect(0).out;
    assert_eq!(listed.matches("tok_").count(), 200, "the command lists all pages");
    let of_eng = stack.arizuko(&["token", "list", "acme/eng", "--json"]).await.expect(0).json();
    assert_eq!(of_eng["tokens"].as_array().expect("a list").len(), 70);
}

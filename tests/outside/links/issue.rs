//! Issuing links: names, URLs and JIDs.

use arizuko_proto::{
    v1::token_service_client::TokenServiceClient,
    v1::{IssueChatLinkRequest, IssueWebhookRequest},
};
use arizuko_tests::prelude::*;

pub(super) async fn issue(
    stack: &Stack,
    folder: &str,
    suffix: &str,
    options: LinkOptions,
) -> Result<String, ErrorReason> {
    let (folder, jid_suffix) = (folder.to_owned(), suffix.to_owned());
    let request = IssueChatLinkRequest { folder, jid_suffix, options: Some(options) };
    let issued = TokenServiceClient::new(stack.operator(A).await).issue_chat_link(request).await;
    issued.map(|issued| issued.into_inner().jid).map_err(|status| reason(&status))
}

async fn hook(stack: &Stack, source: &str, suffix: &str) -> Result<String, ErrorReason> {
    let (source, jid_suffix) = (source.to_owned(), suffix.to_owned());
    let request = IssueWebhookRequest { folder: "acme".into(), source, jid_suffix, options: None };
    let issued = TokenServiceClient::new(stack.operator(A).await).issue_webhook(request).await;
    issued.map(|issued| issued.into_inner().jid).map_err(|status| reason(&status))
}

#[apply(every_stack)]
async fn a_link_has_a_token_a_url_and_a_jid(stack: Stack) {
    for (folder, suffix, jid) in [
        ("acme", "", "web:acme"),
        ("acme", "support", "web:acme/support"),
        ("acme/eng", "", "web:acme/eng"),
        ("acme/eng", "a-b_C9", "web:acme/eng/a-b_C9"),
    ] {
        let link = stack.issue_with(folder, suffix, LinkOptions::default()).await;
        assert_eq!(link.jid, jid);
        assert_eq!(link.url, format!("https://acme.example/chat/{}/", link.token));
        assert!(link.token_id.starts_with("tok_") && !link.token.contains(&link.token_id[4..]));
        assert!(link.token.len() >= 43, "at least 256 bits: {}", link.token);
        assert!(!link.agent_attached);
        stack.visitor(&link, A).get("").await.expect(200);
        stack.visitor(&link, B).get("config").await.expect(200);
    }
    let _agent = stack.attach("acme", B).await;
    assert!(stack.issue("acme").await.agent_attached);
}

#[apply(every_stack)]
async fn links_of_one_folder_reach_its_agent_under_their_own_jids(stack: Stack) {
    let context = |text: &str| LinkOptions { context: text.into(), ..LinkOptions::default() };
    let support = stack.issue_with("acme", "support", context("be kind")).await;
    let sales = stack.issue_with("acme", "sales", context("be quick")).await;
    let again = stack.issue_with("acme", "sales", LinkOptions::default()).await;
    let mut agent = stack.attach("acme", B).await;
    for (link, jid, context) in [
        (&support, "web:acme/support", "be kind"),
        (&sales, "web:acme/sales", "be quick"),
        (&again, "web:acme/sales", ""),
    ] {
        let posted = stack.visitor(link, A).say("hello").await;
        let held = agent.turn().await;
        assert_eq!(held.turn.turn_id, posted.turn);
        assert_eq!((held.turn.jid.as_str(), held.turn.folder.as_str()), (jid, "acme"));
        assert_eq!(held.turn.context, context);
        agent.answer(held, "hello").await;
    }
}

#[apply(every_stack)]
async fn a_suffix_and_a_folder_cannot_have_the_same_jid(stack: Stack) {
    let plain = LinkOptions::default;
    // The first of these folders has a link, the second one a key, and the third one an agent.
    stack.issue("acme/eng").await;
    stack.agent_key("acme/ops").await;
    let _agent = stack.attach("acme/art", B).await;
    for suffix in ["eng", "ops", "art"] {
        assert_eq!(
            issue(&stack, "acme", suffix, plain()).await,
            Err(ErrorReason::JidTaken),
            "{suffix}"
        );
    }
    // A folder can issue a link with its own JID even if a link of the folder above has that JID by
    // a suffix. From then on, the suffix is refused.
    stack.issue_with("acme", "support", plain()).await;
    assert_eq!(issue(&stack, "acme/support", "", plain()).await, Ok("web:acme/support".into()));
    assert_eq!(issue(&stack, "acme", "support", plain()).await, Err(ErrorReason::JidTaken));
    assert_eq!(issue(&stack, "acme/support", "x", plain()).await, Ok("web:acme/support/x".into()));
    // A webhook never takes a link's JID.
    assert_eq!(hook(&stack, "support", "").await, Ok("hook:acme/support".into()));
    assert_eq!(hook(&stack, "a", "b").await, Ok("hook:acme/a/b".into()));
    let request = IssueWebhookRequest {
        folder: "acme/a".into(),
        source: "b".into(),
        ..IssueWebhookRequest::default()
    };
    let taken = TokenServiceClient::new(stack.operator(B).await).issue_webhook(request).await;
    assert_eq!(taken.expect("it is the folder's own").into_inner().jid, "hook:acme/a/b");
    assert_eq!(hook(&stack, "a", "b").await, Err(ErrorReason::JidTaken));
}

#[apply(every_stack)]
async fn invalid_folders_suffixes_and_sources_are_refused(stack: Stack) {
    let long = "x".repeat(64);
    let deep = ["a"; 9].join("/");
    for folder in [
        "", "/", "acme/", "/acme", "a//b", "a b", "é", "a.b", "..", "a:b", "{root}", "a\0", &long,
        &deep,
    ] {
        assert_eq!(
            issue(&stack, folder, "", LinkOptions::default()).await,
            Err(ErrorReason::Invalid),
            "{folder:?}"
        );
    }
    for suffix in ["a/b", "a b", "é", ".", "..", "a:b", "a\n", &long] {
        assert_eq!(
            issue(&stack, "acme", suffix, LinkOptions::default()).await,
            Err(ErrorReason::Invalid),
            "{suffix:?}"
        );
        assert_eq!(hook(&stack, suffix, "").await, Err(ErrorReason::Invalid), "{suffix:?}");
        assert_eq!(hook(&stack, "github", suffix).await, Err(ErrorReason::Invalid), "{suffix:?}");
    }
    assert_eq!(hook(&stack, "", "").await, Err(ErrorReason::Invalid));
    let longest = ["a".repeat(63).as_str(); 8].join("/");
    assert!(issue(&stack, &longest, &"b".repeat(63), LinkOptions::default()).await.is_ok());
}

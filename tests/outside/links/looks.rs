//! How a link's page looks, and changes of links.

use super::issue::issue;
use arizuko_proto::v1::{
    EditTokenRequest, EditTokenResponse, LinkLimits, LinkLooks, Theme, Token, TokenTarget,
    token_service_client::TokenServiceClient, token_target::Target,
};
use arizuko_tests::prelude::*;
use prost_types::{Duration, FieldMask};
use tonic::Status;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nthe rest";
const SVG: &[u8] = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";

fn with(looks: LinkLooks) -> LinkOptions {
    LinkOptions { looks: Some(looks), ..LinkOptions::default() }
}

fn with_logo(logo: impl Into<Vec<u8>>) -> LinkOptions {
    with(LinkLooks { logo: logo.into().into(), ..LinkLooks::default() })
}

fn full() -> LinkLooks {
    LinkLooks {
        accent: "#2563eb".into(),
        theme: Theme::Dark.into(),
        starters: vec!["Where is \"my\" order?".into(), "<b>Tea</b>".into()],
        placeholder: "Ask \"us\"".into(),
        language: "de".into(),
        legal_url: "https://acme.example/legal?a=1&b=2".into(),
        presence: "Usually <quick>".into(),
        ..LinkLooks::default()
    }
}

async fn edit(
    stack: &Stack,
    target: Target,
    options: LinkOptions,
    paths: &[&str],
) -> Result<Vec<Token>, Status> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let request = EditTokenRequest {
        target: Some(TokenTarget { target: Some(target) }),
        options: Some(options),
        update_mask: Some(FieldMask { paths }),
    };
    let edited = TokenServiceClient::new(stack.operator(B).await).edit_token(request).await?;
    let EditTokenResponse { edited } = edited.into_inner();
    Ok(edited)
}

#[apply(every_stack)]
async fn the_page_has_the_links_looks_and_escapes_them(stack: Stack) {
    let options = LinkOptions {
        name: "Acme".into(),
        greeting: "Ask *anything*, \"Tom\".".into(),
        ..with(LinkLooks { logo: PNG.to_vec().into(), ..full() })
    };
    let link = stack.issue_with("acme", "", options).await;
    let visitor = stack.visitor(&link, B);
    let page = visitor.get("").await.expect(200);
    let html = page.text();
    for part in [
        r#"<html lang="de" data-theme="dark">"#,
        r#"<meta name="color-scheme" content="dark">"#,
        r##"<meta name="theme-color" content="#171614">"##,
        r#"<meta name="description" content="Ask anything, &quot;Tom&quot;.">"#,
        r#"<meta property="og:title" content="Acme">"#,
        r#"<link rel="icon" href="logo">"#,
        r#"<img class="logo" src="logo" alt="">"#,
        r#"<div class="hello" lang="de">"#,
        r#"<button name="content" value="Where is &quot;my&quot; order?" dir="auto">"#,
        "&lt;b&gt;Tea&lt;/b&gt;",
        r#"placeholder="Ask &quot;us&quot;""#,
        r#"href="https://acme.example/legal?a=1&amp;b=2""#,
        "Usually &lt;quick&gt;",
        "--fill:light-dark(#2563eb,#2563eb)",
    ] {
        assert!(html.contains(part), "{part} in {html}");
    }
    let policy = page.header("content-security-policy");
    let style = policy.split(';').find(|part| part.trim().starts_with("style-src"));
    let style = style.expect("a directive for styles").trim();
    assert!(style.starts_with("style-src 'self' 'sha256-"), "{policy}");
    assert_eq!(style.matches("'sha256-").count(), 2, "the page's style and the link's: {policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let looks = visitor.json("config").await["looks"].clone();
    assert_eq!((&looks["theme"], &looks["logo"]), (&json!("dark"), &json!("logo")));
    assert_eq!(looks["starters"], json!(["Where is \"my\" order?", "<b>Tea</b>"]));

    let plain = stack.visit("acme").await;
    let page = plain.get("").await.expect(200);
    let policy = page.header("content-security-policy");
    assert_eq!(policy.matches("'sha256-").count(), 1, "only the page's own style: {policy}");
    let html = page.text();
    assert_eq!(html.matches("<style>").count(), 1, "{html}");
    assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "no theme: {html}");
    for part in ["starters\"", "class=\"about\"", "class=\"logo\""] {
        assert!(!html.contains(part), "{part} in {html}");
    }
    assert!(html.contains(r#"content="Write a message to acme.""#), "{html}");
    plain.get("logo").await.refused(404, "NOT_FOUND");
}

#[apply(every_stack)]
async fn a_logo_is_a_picture_that_can_do_nothing(stack: Stack) {
    for (logo, kind) in [(PNG, "image/png"), (SVG, "image/svg+xml")] {
        let link = stack.issue_with("acme", "", with_logo(logo)).await;
        for gateway in BOTH {
            let answer = stack.visitor(&link, gateway).get("logo").await.expect(200);
            assert_eq!((answer.header("content-type"), &*answer.body), (kind, logo));
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            let policy = answer.header("content-security-policy");
            assert!(policy.starts_with("default-src 'none'") && policy.contains("sandbox"));
        }
        stack.revoke(&link.token_id).await;
        stack.visitor(&link, A).get("logo").await.refused(401, "TOKEN_INVALID");
    }
    let largest = [PNG, &[0; (64 << 10) - PNG.len()]].concat();
    let link = stack.issue_with("acme", "", with_logo(largest.clone())).await;
    assert_eq!(stack.visitor(&link, A).get("logo").await.expect(200).body, largest);
    for wrong in [&b"GIF89a"[..], b"<html><svg></svg>", &[PNG, &[0; 64 << 10]].concat()] {
        let refused = issue(&stack, "acme", "", with_logo(wrong)).await;
        assert_eq!(refused, Err(ErrorReason::Invalid));
    }
    let hook = v1::IssueWebhookRequest {
        folder: "acme".into(),
        source: "github".into(),
        options: Some(with(full())),
        ..v1::IssueWebhookRequest::default()
    };
    let refused = TokenServiceClient::new(stack.operator(A).await).issue_webhook(hook).await;
    assert_eq!(reason(&refused.expect_err("a webhook has no page")), ErrorReason::Invalid);
}

#[apply(every_stack)]
async fn an_edit_is_true_from_the_next_request_and_changes_only_what_it_names(stack: Stack) {
    let limits = LinkLimits { burst: 7, max_open_turns: 2, ..LinkLimits::default() };
    let options = LinkOptions {
        name: "Old".into(),
        context: "Context".into(),
        limits: Some(limits),
        ..with(LinkLooks { logo: PNG.to_vec().into(), ..full() })
    };
    let link = stack.issue_with("acme", "support", options.clone()).await;
    let other = stack.issue_with("acme", "support", LinkOptions::default()).await;
    let visitor = stack.visitor(&link, A);
    let id = || Target::TokenId(link.token_id.clone());

    let change = LinkOptions { name: "New".into(), ..with_logo(SVG) };
    let paths = ["name", "looks.logo", "looks.starters", "limits.burst"];
    let edited = edit(&stack, id(), change, &paths).await.expect("operators edit").remove(0);
    let expected = LinkLooks { starters: vec![], logo_type: "image/svg+xml".into(), ..full() };
    let expected = LinkOptions {
        name: "New".into(),
        looks: Some(expected),
        limits: Some(LinkLimits { burst: 0, ..limits }),
        ..options
    };
    assert_eq!(edited.options, Some(expected));
    assert_eq!(&*visitor.get("logo").await.expect(200).body, SVG);
    let html = visitor.get("").await.expect(200).text();
    assert!(html.contains("<title>New</title>") && !html.contains("starters\""), "{html}");

    let edited = edit(&stack, id(), LinkOptions::default(), &["looks.logo"]).await;
    assert_eq!(edited.expect("operators edit")[0].options.as_ref().map(|o| &*o.name), Some("New"));
    visitor.get("logo").await.refused(404, "NOT_FOUND");

    // A JID names all its tokens, and a token that has ended is unknown.
    let both =
        edit(&stack, Target::Jid("web:acme/support".into()), LinkOptions::default(), &["name"]);
    assert_eq!(both.await.expect("operators edit").len(), 2);
    stack.revoke(&other.token_id).await;
    let ended = Target::TokenId(other.token_id.clone());
    assert_eq!(edit(&stack, ended, LinkOptions::default(), &["name"]).await.expect("no error"), []);

    for (options, paths) in [
        (with(LinkLooks { accent: "red".into(), ..LinkLooks::default() }), &["looks.accent"][..]),
        (LinkOptions::default(), &["jid"]),
        (LinkOptions::default(), &[]),
        (LinkOptions { name: "n".repeat(101), ..LinkOptions::default() }, &["name"]),
    ] {
        let refused = edit(&stack, id(), options, paths).await.expect_err("it is wrong");
        assert_eq!(reason(&refused), ErrorReason::Invalid, "{paths:?}");
    }
}

#[apply(every_stack)]
async fn a_link_can_ask_for_a_proof_of_work_later(stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    visitor.say("hello").await;
    let on = v1::ProofOfWork::On.into();
    let limits = LinkLimits { proof_of_work: on, ..LinkLimits::default() };
    let options = LinkOptions { limits: Some(limits), ..LinkOptions::default() };
    let target = || Target::TokenId(link.token_id.clone());
    edit(&stack, target(), options, &["limits.proof_of_work"]).await.expect("operators edit");
    visitor.post_json(&json!({"content": "hello"})).await.refused(428, "PROOF_REQUIRED");
    let off = edit(&stack, target(), LinkOptions::default(), &["limits.proof_of_work"]);
    off.await.expect("operators edit");
    visitor.say("hello").await;
}

#[apply(every_stack)]
async fn the_lifetime_of_a_link_can_change(stack: Stack) {
    let lifetime = |seconds| LinkOptions {
        lifetime: Some(Duration { seconds, nanos: 0 }),
        ..LinkOptions::default()
    };
    let link = stack.issue_with("acme", "", lifetime(3600)).await;
    let visitor = stack.visitor(&link, A);
    let id = || Target::TokenId(link.token_id.clone());
    let edited = edit(&stack, id(), LinkOptions::default(), &["lifetime"]).await;
    assert_eq!(edited.expect("operators edit")[0].expires_at, None);
    let posted = visitor.say("hello").await;
    let mut events = visitor.follow(&posted.conversation).await;
    edit(&stack, id(), lifetime(1), &["lifetime"]).await.expect("operators edit");
    let last = events.rest().await.pop().expect("the stream tells why it ends");
    assert_eq!(last.name, "revoked");
    visitor.get("config").await.refused(401, "TOKEN_INVALID");
}

#[apply(embedded)]
async fn an_agents_key_edits_its_own_links_only(stack: Stack) {
    let link = stack.issue("acme").await;
    let key = stack.agent_key("acme").await;
    let own = v1::IssueChatLinkRequest { folder: "acme".into(), ..Default::default() };
    let mut tokens = TokenServiceClient::new(connect(&stack.control(A), Some(&key)).await);
    let own = tokens.issue_chat_link(own).await.expect("its key may mint").into_inner();
    let request = EditTokenRequest {
        target: Some(TokenTarget { target: Some(Target::Jid("web:acme".into())) }),
        options: Some(LinkOptions { name: "Mine".into(), ..LinkOptions::default() }),
        update_mask: Some(FieldMask { paths: vec!["name".into()] }),
    };
    let edited = tokens.edit_token(request).await.expect("its key may mint").into_inner().edited;
    let ids: Vec<_> = edited.iter().map(|token| &token.token_id).collect();
    assert_eq!(ids, [&own.token_id]);
    let title = stack.visitor(&link, A).json("config").await["name"].clone();
    assert_eq!(title, "acme");
}

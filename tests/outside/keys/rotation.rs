//! A key that is rotated has two secrets for a while, and then one.

use arizuko_proto::v1::{
    IssueChatLinkRequest, ListTokensRequest, token_service_client::TokenServiceClient,
};
use arizuko_tests::prelude::*;

async fn rotate(stack: &Stack, flags: &[&str]) -> Outcome {
    stack.arizuko(&[&["key", "rotate"], flags].concat()).await
}

/// Whether the controls take a call with a secret. Asserts that they agree.
async fn works(stack: &Stack, secret: &str) -> bool {
    let mut taken = Vec::new();
    for control in BOTH {
        let channel = connect(&stack.control(control), Some(secret)).await;
        let mut tokens = TokenServiceClient::new(channel);
        let listed = tokens.list_tokens(ListTokensRequest::default()).await;
        taken.push(match listed.map_err(|status| reason(&status)) {
            Ok(_) => true,
            Err(ErrorReason::KeyInvalid) => false,
            Err(other) => panic!("{other:?}"),
        });
    }
    assert_eq!(taken[0], taken[1], "both controls agree");
    taken[0]
}

async fn issue(stack: &Stack, secret: &str) {
    let channel = connect(&stack.control(A), Some(secret)).await;
    let mut tokens = TokenServiceClient::new(channel);
    let issued = tokens.issue_chat_link(IssueChatLinkRequest::default()).await;
    issued.expect("the key may issue links");
}

async fn ended(session: &mut Session) -> Option<ErrorReason> {
    session.ended().await.map(|status| reason(&status))
}

#[apply(embedded_and_pair)]
async fn both_secrets_of_a_key_work_until_the_rotation_is_finished(stack: Stack) {
    let key = stack.key(KeyKind::Agent, "acme", KeyReach::Self_, true).await;
    let (id, old) = (key.key_id.as_str(), key.key.as_str());
    let mut before = stack.attach_with(old, hello("acme", 0), B).await;
    issue(&stack, old).await;
    let rotated = rotate(&stack, &[id]).await.expect(0);
    assert!(rotated.err.contains(&format!("key rotate {id} --finish")), "{rotated:?}");
    let new = rotated.out.trim();
    assert!(works(&stack, old).await && works(&stack, new).await);
    // The old secret's stream goes on. The new secret is the same key's, so it can resume the
    // session.
    let posted = stack.visit("acme").await.say("hello").await;
    before.credit(1).await;
    let mut held = before.turn().await;
    assert_eq!(held.turn.turn_id, posted.turn);
    before.append(&mut held, delta("m1", "still here")).await;
    let session_id = before.welcome.session_id.clone();
    let resuming = Hello { session_id: session_id.clone(), ..hello("acme", 0) };
    let mut after = stack.attach_with(new, resuming, A).await;
    assert_eq!(after.welcome.session_id, session_id);
    let mut other = stack.attach_with(old, hello("acme", 0), A).await;
    issue(&stack, new).await;

    let again = rotate(&stack, &[id]).await.expect(1);
    assert!(again.err.contains("finish or undo"), "{again:?}");
    let list = stack.arizuko(&["key", "list"]).await.expect(0).out;
    assert!(list.matches(id).count() == 1 && list.contains("(old secret until "), "{list}");

    rotate(&stack, &[id, "--finish"]).await.expect(0);
    assert_eq!(ended(&mut other).await, Some(ErrorReason::KeyInvalid));
    assert!(!works(&stack, old).await && works(&stack, new).await);
    let repeated = rotate(&stack, &[id, "--finish"]).await.expect(0);
    assert!(repeated.err.contains("only one secret"), "{repeated:?}");

    let revoked = stack.arizuko(&["key", "revoke", id, "--with-links"]).await.expect(0);
    assert!(revoked.out.contains("2 links"), "of both secrets: {revoked:?}");
    assert_eq!(ended(&mut after).await, Some(ErrorReason::KeyInvalid));
    assert!(!works(&stack, new).await);
}

#[apply(embedded_and_pair)]
async fn the_old_secret_ends_with_its_streams_when_the_overlap_ends(stack: Stack) {
    let key = stack.key(KeyKind::Agent, "acme", KeyReach::Self_, true).await;
    let mut session = stack.attach_with(&key.key, hello("acme", 0), B).await;
    let rotated = rotate(&stack, &[&key.key_id, "--overlap", "3s"]).await.expect(0);
    let new = rotated.out.trim();
    let mut next = stack.attach_with(new, hello("acme", 1), B).await;
    assert_eq!(ended(&mut session).await, Some(ErrorReason::KeyInvalid));
    assert!(!works(&stack, &key.key).await && works(&stack, new).await);
    let posted = stack.visit("acme").await.say("hello").await;
    assert_eq!(next.turn().await.turn.turn_id, posted.turn);
    // The key can be rotated again.
    let third = rotate(&stack, &[&key.key_id, "--overlap", "1s"]).await.expect(0);
    assert_eq!(ended(&mut next).await, Some(ErrorReason::KeyInvalid));
    assert!(!works(&stack, new).await && works(&stack, third.out.trim()).await);
}

#[apply(embedded_and_pair)]
async fn a_rotation_is_undone(stack: Stack) {
    let key = stack.key(KeyKind::Agent, "acme", KeyReach::Self_, true).await;
    let id = key.key_id.as_str();
    let lost = rotate(&stack, &[id]).await.expect(0);
    rotate(&stack, &[id, "--undo"]).await.expect(0);
    assert!(works(&stack, &key.key).await && !works(&stack, lost.out.trim()).await);
    let again = rotate(&stack, &[id]).await.expect(0);
    assert!(works(&stack, again.out.trim()).await);

    let audit = stack.arizuko(&["audit", "--json"]).await.expect(0).json();
    let entries = audit["entries"].as_array().expect("a list");
    for (action, count) in [("key.rotate", 2), ("key.rotate.undo", 1)] {
        let found = entries.iter().filter(|e| e["action"] == action && e["subject"] == id);
        assert_eq!(found.count(), count, "{action}");
    }
    let unknown = format!("key_AAA{}", "A".repeat(21));
    for wrong in [&[unknown.as_str()][..], &[id, "--overlap", "31d"], &["key_x"]] {
        rotate(&stack, wrong).await.expect(1);
    }
}

#[apply(embedded)]
async fn a_rotation_changes_the_end_of_a_key_only_if_it_is_told_to(stack: Stack) {
    let create = ["key", "create", "acme", "--expires", "10d"];
    stack.arizuko(&create).await.expect(0);
    let only = async || {
        let list = stack.arizuko(&["key", "list", "--json"]).await.expect(0).json();
        let keys = list["keys"].as_array().expect("a list").clone();
        keys.into_iter().find(|key| key["folder"] == "acme").expect("it is listed")
    };
    let before = only().await;
    let id = before["key_id"].as_str().expect("an id");
    rotate(&stack, &[id]).await.expect(0);
    let rotated = only().await;
    assert_eq!(rotated["expires_at"], before["expires_at"]);
    assert!(rotated["rotated_at"].is_string() && before["rotated_at"].is_null(), "{rotated}");
    rotate(&stack, &[id, "--finish"]).await.expect(0);
    rotate(&stack, &[id, "--expires", "90d"]).await.expect(0);
    let end = |key: &Value| key["expires_at"].as_str().expect("a time").to_owned();
    assert!(end(&only().await) > end(&before));
}

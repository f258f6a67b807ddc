//! Ownership: listing and revoking follow the folder of the key that issued the token.

use arizuko_proto::{
    v1::key_service_client::KeyServiceClient,
    v1::revoke_token_request::Target,
    v1::token_service_client::TokenServiceClient,
    v1::{
        CreateKeyRequest, IssueChatLinkRequest, ListKeysRequest, ListTokensRequest,
        RevokeTokenRequest,
    },
};
use arizuko_tests::prelude::*;

async fn issue_link(channel: Channel, folder: &str) -> arizuko_proto::v1::IssueChatLinkResponse {
    let request = IssueChatLinkRequest { folder: folder.into(), ..IssueChatLinkRequest::default() };
    let issued = TokenServiceClient::new(channel).issue_chat_link(request).await;
    issued.expect("this key may issue links here").into_inner()
}

/// Returns the ids of all listed tokens, sorted by id, since a list may have tokens that were
/// issued in one millisecond in any order.
async fn listed(channel: Channel) -> Vec<String> {
    let listed = TokenServiceClient::new(channel).list_tokens(ListTokensRequest::default()).await;
    let tokens = listed.expect("every key may list its own").into_inner().tokens;
    sorted(tokens.into_iter().map(|token| token.token_id))
}

fn sorted(ids: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut ids: Vec<_> = ids.into_iter().collect();
    ids.sort();
    ids
}

async fn revoke(channel: Channel, jid: &str) -> usize {
    let request = RevokeTokenRequest { target: Some(Target::Jid(jid.into())), dry_run: false };
    let revoked = TokenServiceClient::new(channel).revoke_token(request).await;
    revoked.expect("a JID of others is not an error").into_inner().revoked.len()
}

#[apply(every_stack)]
async fn an_agents_link_takes_its_folder_from_the_key(stack: Stack) {
    let key = stack.agent_key("acme/eng").await;
    let issued = issue_link(connect(&stack.control(B), Some(&key)).await, "").await;
    assert_eq!(issued.jid, "web:acme/eng");
    assert_eq!(issued.url, format!("https://acme.example/chat/{}/", issued.token));
    stack.at(A, &format!("/chat/{}/", issued.token)).get("").await.expect(200);
}

#[apply(every_stack)]
async fn a_link_belongs_to_the_folder_of_the_key_that_issued_it(stack: Stack) {
    let subtree = stack.key(KeyKind::Agent, "acme", KeyReach::Subtree, true).await.key;
    let eng = stack.agent_key("acme/eng").await;
    let subtree = connect(&stack.control(A), Some(&subtree)).await;
    let eng = connect(&stack.control(B), Some(&eng)).await;
    let from_above = issue_link(subtree.clone(), "acme/eng").await;
    let own = issue_link(eng.clone(), "").await;
    let operators = stack.issue("acme/eng").await;
    let foreign = stack.issue("other").await;

    let engs = [own.token_id, operators.token_id];
    assert_eq!(listed(eng.clone()).await, sorted(engs.clone()));
    let all = engs.into_iter().chain([from_above.token_id]);
    assert_eq!(listed(subtree.clone()).await, sorted(all));
    assert_eq!(revoke(eng.clone(), "web:other").await, 0);
    assert_eq!(revoke(eng, "web:acme/eng").await, 1, "its own link alone");
    stack.visitor(&foreign, A).get("config").await.expect(200);
    stack.at(A, &format!("/chat/{}/", from_above.token)).get("config").await.expect(200);
    assert_eq!(revoke(subtree, "web:acme/eng").await, 1, "not the operator's");
    stack.at(A, &format!("/chat/{}/", from_above.token)).get("config").await.expect(401);
}

#[apply(every_stack)]
async fn the_list_of_keys_contains_no_secrets(stack: Stack) {
    let agent = stack.key(KeyKind::Agent, "acme/eng", KeyReach::Subtree, true).await;
    let gateway = stack.key(KeyKind::Gateway, "", KeyReach::Unspecified, false).await;
    let mut keys = KeyServiceClient::new(stack.operator(B).await);
    let mut all =
        keys.list_keys(ListKeysRequest::default()).await.expect("operators list").into_inner().keys;
    all.retain(|key| key.name != FROM_SETTINGS);
    all.sort_by_key(|key| key.kind);
    let ids: Vec<_> = all.iter().map(|key| key.key_id.as_str()).collect();
    assert_eq!(ids, [&*agent.key_id, &gateway.key_id]);
    assert_eq!(
        (all[0].kind(), all[0].reach(), all[0].may_mint),
        (KeyKind::Agent, KeyReach::Subtree, true)
    );
    assert_eq!((all[0].folder.as_str(), all[1].kind()), ("acme/eng", KeyKind::Gateway));
    let shown = format!("{all:?}");
    assert!(!shown.contains(&agent.key) && !shown.contains(&gateway.key));
    for (folder, count) in [("acme", 1), ("acme/eng", 1), ("other", 0)] {
        let listed = keys
            .list_keys(ListKeysRequest { folder: folder.into(), ..Default::default() })
            .await
            .expect("operators list");
        assert_eq!(listed.into_inner().keys.len(), count, "{folder}");
    }
    let (mut request, mut paged) =
        (ListKeysRequest { page_size: 1, ..Default::default() }, Vec::new());
    loop {
        let page = keys.list_keys(request.clone()).await.expect("operators list").into_inner();
        assert_eq!(page.keys.len(), 1);
        paged.extend(page.keys.into_iter().map(|key| key.key_id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let whole = keys.list_keys(ListKeysRequest::default()).await.expect("operators list");
    let whole: Vec<_> = whole.into_inner().keys.into_iter().map(|key| key.key_id).collect();
    assert_eq!(paged, whole);
}

#[apply(every_stack)]
async fn invalid_keys_are_refused(stack: Stack) {
    let mut keys = KeyServiceClient::new(stack.operator(A).await);
    let request = |kind: KeyKind, folder: &str, name: &str| CreateKeyRequest {
        kind: kind.into(),
        folder: folder.into(),
        name: name.into(),
        ..CreateKeyRequest::default()
    };
    for wrong in [
        request(KeyKind::Unspecified, "", ""),
        request(KeyKind::Agent, "", ""),
        request(KeyKind::Agent, "a b", ""),
        request(KeyKind::Operator, "acme", ""),
        request(KeyKind::Gateway, "acme", ""),
        request(KeyKind::Agent, "acme", &"n".repeat(101)),
    ] {
        let refused = keys.create_key(wrong.clone()).await.map_err(|status| reason(&status));
        assert_eq!(refused.err(), Some(ErrorReason::Invalid), "{wrong:?}");
    }
}

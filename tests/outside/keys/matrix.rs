//! Every kind of key tries every call.

use super::calls::{
    CHANGES, FOLDERS, Facts, GATEWAYS, OPERATORS, OVERSEERS, ROUTES, SHOWS, SPEECH, outcome,
};
use arizuko_proto::{v1::RevokeKeyRequest, v1::key_service_client::KeyServiceClient};
use arizuko_tests::prelude::*;

async fn facts(stack: &Stack) -> Facts {
    let link = stack.issue("acme").await;
    let posted = stack.visitor(&link, A).say("hello").await;
    let hook = stack.issue_hook("acme", "any", "").await;
    let delivery = stack.caller(&hook, A).post("text/plain", "a delivery").await.posted();
    Facts { link, posted, delivery }
}

/// Asserts the outcome of `calls` with `key` at both controls.
async fn expect(
    stack: &Stack,
    key: &str,
    calls: &[&str],
    folder: &str,
    expected: &str,
    facts: &Facts,
) {
    for call in calls {
        for control in BOTH {
            // A conversation can be deleted only once.
            if control == B && expected == "OK" && *call == "DeleteConversation" {
                continue;
            }
            let channel = connect(&stack.control(control), Some(key)).await;
            let found = outcome(call, folder, channel, facts).await;
            assert_eq!(found, expected, "{call} {folder}");
        }
    }
}

#[apply(every_stack)]
async fn operators_may_make_all_calls_but_the_gateways(stack: Stack) {
    let facts = facts(&stack).await;
    let another = stack.key(KeyKind::Operator, "", KeyReach::Unspecified, false).await.key;
    for key in [stack.operator_key(), &another] {
        expect(&stack, key, &OPERATORS, "", "OK", &facts).await;
        expect(&stack, key, &OVERSEERS, "", "OK", &facts).await;
        expect(&stack, key, &GATEWAYS, "", "NOT_ALLOWED", &facts).await;
        for folder in ["acme", "acme/eng", "other"] {
            expect(&stack, key, &FOLDERS, folder, "OK", &facts).await;
            expect(&stack, key, &ROUTES, folder, "OK", &facts).await;
        }
        expect(&stack, key, &SPEECH, "acme", "OK", &facts).await;
        expect(&stack, key, &SPEECH, "acme/eng", "NOT_FOUND", &facts).await;
        expect(&stack, key, &SHOWS, "acme", "OK", &facts).await;
        // An operator's key has no folder: only some lists work without one.
        let about_a_folder =
            ["IssueChatLink", "IssueWebhook", "Attach", "ListConversations", "ExportConversations"];
        expect(&stack, key, &about_a_folder, "", "INVALID", &facts).await;
        expect(&stack, key, &["ListTokens", "GetTokenStats"], "", "OK", &facts).await;
    }
    // The link is not a webhook that checks signatures.
    expect(&stack, &another, &["SetWebhookSecrets"], "", "NOT_FOUND", &facts).await;
    let changes = ["EditToken", "SetVisitorKeys", "RevokeToken"];
    expect(&stack, &another, &changes, "", "OK", &facts).await;
}

#[apply(every_stack)]
async fn viewers_may_make_every_call_that_changes_nothing(stack: Stack) {
    let facts = facts(&stack).await;
    let key = stack.key(KeyKind::Viewer, "", KeyReach::Unspecified, false).await.key;
    expect(&stack, &key, &OVERSEERS, "", "OK", &facts).await;
    for calls in [&OPERATORS[..], &GATEWAYS] {
        expect(&stack, &key, calls, "", "NOT_ALLOWED", &facts).await;
    }
    for folder in ["acme", "acme/eng", "other"] {
        let reads = ["ListTokens", "ListRoutes", "ExplainRoute"];
        expect(&stack, &key, &reads, folder, "OK", &facts).await;
        let changes = [
            "IssueChatLink",
            "IssueWebhook",
            "Attach",
            "SetRoute",
            "ApplyRoutes",
            "DeleteRoute",
            "SendMessage",
            "AssignConversation",
        ];
        expect(&stack, &key, &changes, folder, "NOT_ALLOWED", &facts).await;
    }
    expect(&stack, &key, &["ListTokens", "GetTokenStats"], "", "OK", &facts).await;
    expect(&stack, &key, &SHOWS, "acme", "OK", &facts).await;
    expect(&stack, &key, &["ReadConversation"], "acme", "OK", &facts).await;
    expect(&stack, &key, &CHANGES, "", "NOT_ALLOWED", &facts).await;
    stack.visitor(&facts.link, A).get("config").await.expect(200);
    let audit = stack.arizuko(&["audit", "--json"]).await.expect(0).json().to_string();
    let key_id = stack.arizuko(&["key", "list", "--json"]).await.expect(0).json();
    let keys = key_id["keys"].as_array().expect("a list").iter();
    let viewer = keys.clone().find(|key| key["kind"] == "KEY_KIND_VIEWER").expect("it is listed");
    let viewer = viewer["key_id"].as_str().expect("an id");
    assert!(audit.contains(viewer), "its reads are noted");
    // Unlike the only operator's key, the only viewer's key can be revoked.
    stack.arizuko(&["key", "revoke", viewer]).await.expect(0);
    expect(&stack, &key, &OVERSEERS, "", "KEY_INVALID", &facts).await;
}

#[apply(every_stack)]
async fn gateways_may_make_only_their_own_calls(stack: Stack) {
    let facts = facts(&stack).await;
    let key = stack.key(KeyKind::Gateway, "", KeyReach::Unspecified, false).await.key;
    expect(&stack, &key, &OPERATORS, "", "NOT_ALLOWED", &facts).await;
    expect(&stack, &key, &OVERSEERS, "", "NOT_ALLOWED", &facts).await;
    for folder in ["acme", "acme/eng", "other"] {
        for calls in [&FOLDERS[..], &ROUTES, &SPEECH, &SHOWS] {
            expect(&stack, &key, calls, folder, "NOT_ALLOWED", &facts).await;
        }
    }
    expect(&stack, &key, &["GetTokenStats"], "", "NOT_ALLOWED", &facts).await;
    expect(&stack, &key, &CHANGES, "", "NOT_ALLOWED", &facts).await;
    expect(&stack, &key, &GATEWAYS, "", "OK", &facts).await;
}

#[apply(every_stack)]
async fn an_agents_key_reaches_only_its_own_folder(stack: Stack) {
    let facts = facts(&stack).await;
    let key = stack.agent_key("acme").await;
    expect(&stack, &key, &OPERATORS, "", "NOT_ALLOWED", &facts).await;
    expect(&stack, &key, &OVERSEERS, "", "NOT_ALLOWED", &facts).await;
    expect(&stack, &key, &GATEWAYS, "", "NOT_ALLOWED", &facts).await;
    expect(&stack, &key, &FOLDERS, "acme", "OK", &facts).await;
    expect(&stack, &key, &FOLDERS, "", "OK", &facts).await;
    for calls in [&ROUTES[..], &SPEECH] {
        expect(&stack, &key, calls, "acme", "OK", &facts).await;
        for folder in ["other", "acmex", "acm"] {
            expect(&stack, &key, calls, folder, "NOT_ALLOWED", &facts).await;
        }
    }
    // Folders below and beside `acme`, and folders whose names begin alike.
    for folder in ["acme/eng", "acme/eng/x", "other", "acmex", "acm"] {
        expect(&stack, &key, &FOLDERS, folder, "NOT_ALLOWED", &facts).await;
    }
    expect(&stack, &key, &SHOWS, "", "OK", &facts).await;
    let eng = stack.agent_key("acme/eng").await;
    let lists = ["ListConversations", "ExportConversations"];
    expect(&stack, &eng, &lists, "acme", "NOT_ALLOWED", &facts).await;
    expect(&stack, &eng, &["ShowConversation", "ShowTurn"], "", "NOT_FOUND", &facts).await;
    expect(&stack, &eng, &FOLDERS, "acme", "NOT_ALLOWED", &facts).await;
    // The key sees no tokens of other folders and cannot change or revoke them.
    let secrets = ["SetWebhookSecrets", "SetVisitorKeys"];
    expect(&stack, &eng, &secrets, "", "NOT_FOUND", &facts).await;
    expect(&stack, &eng, &["EditToken", "RevokeToken"], "", "OK", &facts).await;
    stack.visitor(&facts.link, A).get("config").await.expect(200);
    // The key cannot revoke an operator's link, even in its own folder.
    expect(&stack, &key, &["EditToken", "RevokeToken"], "", "OK", &facts).await;
    stack.visitor(&facts.link, A).get("config").await.expect(200);
}

#[apply(every_stack)]
async fn a_subtree_key_reaches_the_folders_below(stack: Stack) {
    let facts = facts(&stack).await;
    let key = stack.key(KeyKind::Agent, "acme", KeyReach::Subtree, true).await.key;
    expect(&stack, &key, &OPERATORS, "", "NOT_ALLOWED", &facts).await;
    expect(&stack, &key, &OVERSEERS, "", "NOT_ALLOWED", &facts).await;
    expect(&stack, &key, &GATEWAYS, "", "NOT_ALLOWED", &facts).await;
    for folder in ["", "acme", "acme/eng", "acme/eng/x"] {
        expect(&stack, &key, &FOLDERS, folder, "OK", &facts).await;
    }
    for folder in ["acme", "acme/eng", "acme/eng/x"] {
        expect(&stack, &key, &ROUTES, folder, "OK", &facts).await;
    }
    for folder in ["other", "acmex", "acm"] {
        for calls in [&FOLDERS[..], &ROUTES, &SPEECH] {
            expect(&stack, &key, calls, folder, "NOT_ALLOWED", &facts).await;
        }
    }
    expect(&stack, &key, &["EditToken", "RevokeToken"], "", "OK", &facts).await;
}

#[apply(every_stack)]
async fn an_agent_without_may_mint_can_attach_and_list_but_not_issue_or_revoke(stack: Stack) {
    let facts = facts(&stack).await;
    let key = stack.key(KeyKind::Agent, "acme", KeyReach::Subtree, false).await.key;
    for folder in ["", "acme", "acme/eng"] {
        expect(&stack, &key, &["Attach", "ListTokens"], folder, "OK", &facts).await;
        expect(&stack, &key, &["IssueChatLink", "IssueWebhook"], folder, "NOT_ALLOWED", &facts)
            .await;
    }
    expect(&stack, &key, &CHANGES, "", "NOT_ALLOWED", &facts).await;
    stack.visitor(&facts.link, A).get("config").await.expect(200);
}

#[apply(every_stack)]
async fn every_call_is_refused_with_a_missing_unknown_or_revoked_key(stack: Stack) {
    let facts = facts(&stack).await;
    let mut revoked = Vec::new();
    for (kind, folder) in
        [(KeyKind::Operator, ""), (KeyKind::Gateway, ""), (KeyKind::Agent, "acme")]
    {
        let key = stack.key(kind, folder, KeyReach::Unspecified, true).await;
        let mut keys = KeyServiceClient::new(stack.operator(A).await);
        let request = RevokeKeyRequest { key_id: key.key_id.clone(), with_tokens: false };
        let ended = keys.revoke_key(request.clone()).await.expect("operators revoke").into_inner();
        assert_eq!(ended.revoked.map(|key| key.key_id), Some(key.key_id));
        let again = keys.revoke_key(request).await.expect("a repeat is safe").into_inner();
        assert_eq!(again.revoked, None);
        revoked.push(key.key);
    }
    let mut changed = revoked[0].clone();
    changed.pop();
    let bad = ["", "x", "azk_", &changed, &facts.link.token, &"A".repeat(5_000)];
    let bad = bad.into_iter().chain(revoked.iter().map(String::as_str)).map(Some).chain([None]);
    for (number, key) in bad.enumerate() {
        let all = [&OPERATORS[..], &GATEWAYS, &FOLDERS, &ROUTES, &SPEECH, &SHOWS, &CHANGES];
        for call in all.concat().into_iter().chain(["GetTokenStats"]) {
            let channel = connect(&stack.control(BOTH[number % 2]), key).await;
            let found = outcome(call, "acme", channel, &facts).await;
            assert_eq!(found, "KEY_INVALID", "{call} with the bad key number {number}");
        }
    }
}

#[apply(every_stack)]
async fn revoking_a_key_ends_the_streams_that_were_opened_with_it(kind: Kind) {
    use arizuko_tests::{attach::hello, operator::reason};
    let stack = Stack::start(kind).await;
    let link = stack.issue("acme").await;
    let key = stack.key(KeyKind::Agent, "acme", KeyReach::Self_, true).await;
    let mut agent = stack.attach_with(&key.key, hello("acme", 10), B).await;
    let mut other = stack.attach_with(&stack.agent_key("acme").await, hello("acme", 0), B).await;
    let posted = stack.visitor(&link, A).say("hello").await;
    agent.turn().await;
    let mut keys = KeyServiceClient::new(stack.operator(A).await);
    let request = RevokeKeyRequest { key_id: key.key_id, with_tokens: false };
    keys.revoke_key(request).await.expect("operators revoke");
    let status = agent.ended().await.expect("the stream ends with a reason");
    assert_eq!(reason(&status), ErrorReason::KeyInvalid);
    // The revoked key's turn is requeued at once.
    other.credit(1).await;
    let held = other.turn().await;
    assert_eq!((held.turn.turn_id.as_str(), held.turn.attempt), (posted.turn.as_str(), 2));
}

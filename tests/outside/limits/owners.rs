//! How many links, routes, keys and sessions there may be.

use arizuko_proto::v1::{
    IssueChatLinkRequest, SetRouteRequest, route_service_client::RouteServiceClient,
    token_service_client::TokenServiceClient,
};
use arizuko_tests::prelude::*;
use tonic::Status;

async fn issue(stack: &Stack, key: &str, folder: &str, suffix: &str) -> Result<Link, Status> {
    let channel = connect(&stack.control(A), Some(key)).await;
    let (folder, jid_suffix) = (folder.to_owned(), suffix.to_owned());
    let request = IssueChatLinkRequest { folder, jid_suffix, ..Default::default() };
    let issued = TokenServiceClient::new(channel).issue_chat_link(request).await;
    issued.map(|issued| issued.into_inner())
}

fn is_full<T: std::fmt::Debug>(made: Result<T, Status>, words: &str) {
    let refused = made.unwrap_err();
    assert_eq!(reason(&refused), ErrorReason::LimitReached, "{refused:?}");
    assert!(refused.message().contains(words), "{refused:?}");
}

#[apply(embedded)]
async fn links_are_limited_by_jid_folder_and_key(kind: Kind) {
    let limits =
        [("ARIZUKO_JID_LINKS", "2"), ("ARIZUKO_FOLDER_LINKS", "3"), ("ARIZUKO_KEY_LINKS", "4")];
    let stack = Stack::with(kind, &limits).await;
    let key = stack.key(KeyKind::Agent, "acme", KeyReach::Subtree, true).await;
    let issue = async |folder, suffix| issue(&stack, &key.key, folder, suffix).await;
    let first = issue("acme", "").await.unwrap();
    issue("acme", "").await.unwrap();
    is_full(issue("acme", "").await, "web:acme has 2 links");
    issue("acme", "x").await.unwrap();
    is_full(issue("acme", "y").await, "acme has 3 links");
    issue("acme/eng", "").await.unwrap();
    is_full(issue("acme/eng", "").await, "the key has issued 4 links");
    // A revoked link makes room under all three limits.
    stack.revoke(&first.token_id).await;
    issue("acme", "").await.unwrap();
    is_full(issue("acme", "z").await, "that is the limit");
}

#[apply(embedded)]
async fn sessions_are_limited_by_key(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_KEY_SESSIONS", "2")]).await;
    let key = stack.agent_key("acme").await;
    let attach = async || {
        let channel = connect(&stack.control(A), Some(&key)).await;
        Session::try_open(channel, hello("acme", 0)).await
    };
    let first = attach().await.unwrap();
    let _second = attach().await.unwrap();
    let refused = attach().await.map(drop).unwrap_err();
    assert_eq!(reason(&refused), ErrorReason::LimitReached, "{refused:?}");
    // Another key has a limit of its own.
    let _other = stack.attach_with(&stack.agent_key("acme").await, hello("acme", 0), A).await;
    first.leave().await;
    until("room for a session", async || attach().await.is_ok()).await;
}

#[apply(embedded)]
async fn routes_are_limited_by_tenant_and_keys_by_partition(kind: Kind) {
    let limits = [
        ("ARIZUKO_TENANT_ROUTES", "2"),
        ("ARIZUKO_PARTITIONS", "1"),
        // Two of the keys are from control's settings.
        ("ARIZUKO_PARTITION_KEYS", "4"),
    ];
    let stack = Stack::with(kind, &limits).await;
    let set = async |prefix: &str| {
        let mut routes = RouteServiceClient::new(stack.operator(A).await);
        let route = Some(mode(prefix, RouteMode::Drop));
        routes.set_route(SetRouteRequest { route, update_mask: None }).await
    };
    set("web:acme/a").await.unwrap();
    set("web:acme/b").await.unwrap();
    is_full(set("web:acme/c").await, "acme has 2 routes");
    set("web:other").await.unwrap();
    for folder in ["acme", "other"] {
        stack.agent_key(folder).await;
    }
    let refused = stack.arizuko(&["key", "create", "third"]).await.expect(1);
    assert!(refused.err.contains("has 4 keys; that is the limit"), "{refused:?}");
}

#[apply(embedded)]
async fn turns_that_no_session_holds_take_no_worker(stack: Stack) {
    let mut agent = stack.attach("acme", A).await;
    let accept =
        |turn_id: &str| Said::Accept(v1::Accept { turn_id: turn_id.to_owned(), attempt: 1 });
    for number in 0..300 {
        // Well formed, but no turn has this id.
        let turn_id = format!("{number:0>21}A");
        agent.say(accept(&turn_id)).await;
        let heard = agent.hear().await;
        assert!(matches!(heard, Ok(Some(Heard::Cancel(cancel))) if cancel.turn_id == turn_id));
    }
    // An id of this length is malformed.
    agent.say(accept(&"A".repeat(44_000))).await;
    let refused = agent.ended().await.expect("the stream ends with a reason");
    assert_eq!(reason(&refused), ErrorReason::Invalid);
}

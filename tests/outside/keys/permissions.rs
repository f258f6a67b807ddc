//! Each key says what it may do beyond answering its folder's turns, and may expire.

use super::calls::{Facts, outcome};
use arizuko_proto::v1::{
    Hello, ListTokensRequest, SendMessageRequest, SetRouteRequest,
    agent_service_client::AgentServiceClient, route_service_client::RouteServiceClient,
    token_service_client::TokenServiceClient,
};
use arizuko_tests::prelude::*;

/// Creates a key of `acme` with these flags and returns it.
async fn create(stack: &Stack, flags: &[&str]) -> String {
    let create = [&["key", "create", "acme"], flags].concat();
    stack.arizuko(&create).await.expect(0).out.trim().to_owned()
}

/// Sets a route, attaches as a person, and speaks as a person, all with this key. Returns the
/// reason of each refusal.
async fn told(stack: &Stack, key: &str, conversation: &str) -> [Option<ErrorReason>; 3] {
    let channel = connect(&stack.control(A), Some(key)).await;
    let topic = Route { topic: Some("leads".into()), ..route("web:acme") };
    let request = SetRouteRequest { route: Some(topic), update_mask: None };
    let routed = RouteServiceClient::new(channel.clone()).set_route(request).await;
    let posed = Session::try_open(channel.clone(), person("acme", "Ann")).await;
    let request = SendMessageRequest {
        conversation: conversation.to_owned(),
        content: "It is me.".to_owned(),
        name: "Ann".to_owned(),
        ..SendMessageRequest::default()
    };
    let spoke = AgentServiceClient::new(channel).send_message(request).await;
    [routed.err(), posed.err(), spoke.err()].map(|refused| refused.map(|status| reason(&status)))
}

#[apply(embedded)]
async fn a_bots_key_sets_no_routes_and_is_no_person_unless_it_may(stack: Stack) {
    let conversation = stack.visit("acme").await.say("hello").await.conversation;
    let refused = Some(ErrorReason::NotAllowed);
    let plain = create(&stack, &[]).await;
    assert_eq!(told(&stack, &plain, &conversation).await, [refused; 3]);
    let listed = TokenServiceClient::new(connect(&stack.control(A), Some(&plain)).await)
        .list_tokens(ListTokensRequest::default())
        .await;
    assert_eq!(listed.expect("it may read its own").into_inner().tokens.len(), 1);
    let routes = create(&stack, &["--routes"]).await;
    assert_eq!(told(&stack, &routes, &conversation).await, [None, refused, refused]);
    let person = create(&stack, &["--speak-as-person"]).await;
    assert_eq!(told(&stack, &person, &conversation).await, [refused, None, None]);
    let list = stack.arizuko(&["key", "list"]).await.expect(0).out;
    for may in [" mint,read ", " mint,read,routes ", " mint,read,speak-as-person "] {
        assert!(list.contains(may), "{may}: {list}");
    }
}

#[apply(embedded)]
async fn a_key_without_read_answers_turns_and_sees_nothing_else(stack: Stack) {
    let link = stack.issue("acme").await;
    let posted = stack.visitor(&link, A).say("hello").await;
    let facts = Facts { link, delivery: posted.clone(), posted };
    let reads = ["ListTokens", "ListRoutes", "ExplainRoute", "ReadConversation"];
    for (flags, expected) in [(&["--no-read"][..], "NOT_ALLOWED"), (&[], "OK")] {
        let key = create(&stack, flags).await;
        let channel = connect(&stack.control(A), Some(&key)).await;
        for call in reads {
            assert_eq!(outcome(call, "acme", channel.clone(), &facts).await, expected, "{call}");
        }
        for call in ["IssueChatLink", "SendMessage"] {
            assert_eq!(outcome(call, "acme", channel.clone(), &facts).await, "OK", "{call}");
        }
        let with_history = Hello { history: 1, ..hello("acme", 0) };
        let attached = Session::try_open(channel, with_history).await.map(drop);
        let told = attached.map_or_else(|status| reason(&status).word(), |()| "OK");
        assert_eq!(told, expected);
    }
    let key = create(&stack, &["--no-read", "--no-mint"]).await;
    let mut session = stack.attach_with(&key, hello("acme", 1), A).await;
    assert_eq!(session.turn().await.turn.turn_id, facts.posted.turn);
}

#[apply(embedded)]
async fn a_key_with_a_lifetime_ends_with_its_streams(stack: Stack) {
    let key = create(&stack, &["--expires", "5s"]).await;
    let mut session = stack.attach_with(&key, hello("acme", 1), A).await;
    let status = session.ended().await.expect("it ends with an error");
    assert_eq!(reason(&status), ErrorReason::KeyInvalid);
    let channel = connect(&stack.control(A), Some(&key)).await;
    let refused = TokenServiceClient::new(channel).list_tokens(ListTokensRequest::default()).await;
    assert_eq!(refused.map_err(|status| reason(&status)).err(), Some(ErrorReason::KeyInvalid));
    let list = stack.arizuko(&["key", "list", "acme"]).await.expect(0);
    assert!(list.err.contains("no live keys"), "{list:?}");
}

#[apply(embedded_and_one_redis)]
async fn an_expired_key_makes_room_for_another(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_PARTITION_KEYS", "1")]).await;
    let create = ["key", "create", "acme", "--expires"];
    stack.arizuko(&[&create[..], &["2s"]].concat()).await.expect(0);
    stack.arizuko(&[&create[..], &["1h"]].concat()).await.expect(1);
    until("the key's end", async || {
        stack.arizuko(&["audit"]).await.expect(0).out.contains("key.expire")
    })
    .await;
    stack.arizuko(&[&create[..], &["1h"]].concat()).await.expect(0);
}

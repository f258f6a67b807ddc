//! Floods of connections and calls to control.

use super::{Crowd, Scene};
use arizuko_proto::v1::{
    ApplyRoutesRequest, CreateKeyRequest, GetStatusRequest, IssueChatLinkRequest,
    PostMessageRequest, SendMessageRequest, SetRouteRequest,
    admin_service_client::AdminServiceClient, agent_service_client::AgentServiceClient,
    gateway_service_client::GatewayServiceClient, key_service_client::KeyServiceClient,
    route_service_client::RouteServiceClient, token_service_client::TokenServiceClient,
};
use arizuko_tests::prelude::*;
use futures_util::future::join_all;
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

#[apply(embedded)]
async fn connections(kind: Kind) {
    let limits =
        [("ARIZUKO_CONTROL_CONNECTIONS", "40"), ("ARIZUKO_CONTROL_ADDRESS_CONNECTIONS", "15")];
    let mut scene = Scene::new(kind, &limits).await;
    // The gateway's connection is in use while anybody reads.
    let posted = scene.honest.say("hello").await;
    let _reader = scene.honest.follow(&posted.conversation).await;
    let mut admin = AdminServiceClient::new(scene.stack.operator(A).await);
    let mut crowd = Crowd::default();
    let wave = async |scene: &Scene| {
        crowd.grows(&scene.stack.control(A), b"PRI * HTTP/2.0\r\n\r\n").await;
        // Now control has seen them all.
        admin.get_status(GetStatusRequest {}).await.expect("an operator gets in");
        crowd.was_cut()
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn requests_that_are_too_long(kind: Kind) {
    let mut scene = Scene::new(kind, &[]).await;
    let key = scene.stack.key(KeyKind::Gateway, "", KeyReach::Unspecified, false).await;
    let control = scene.stack.control(A);
    let gateway = connect(&control, Some(&key.key)).await;
    let (operator, nobody) = (scene.stack.operator(A).await, connect(&control, None).await);
    let long = |bytes: usize| "x".repeat(bytes);
    let refused = |answer: Result<(), Status>| answer.err().map(|status| status.code());
    let wave = async |_: &Scene| {
        let (posted, spoken, applied, issued, checked) = tokio::join!(
            async {
                let content = vec![b'x'; 18 << 20].into();
                let request = PostMessageRequest { content, ..Default::default() };
                GatewayServiceClient::new(gateway.clone()).post_message(request).await.map(drop)
            },
            async {
                let request = SendMessageRequest { content: long(5 << 20), ..Default::default() };
                AgentServiceClient::new(operator.clone()).send_message(request).await.map(drop)
            },
            async {
                let request = ApplyRoutesRequest {
                    routes: vec![Route { prefix: long(5 << 20), ..Route::default() }],
                    ..Default::default()
                };
                RouteServiceClient::new(operator.clone()).apply_routes(request).await.map(drop)
            },
            async {
                let request = IssueChatLinkRequest { folder: long(1 << 20), ..Default::default() };
                TokenServiceClient::new(operator.clone()).issue_chat_link(request).await.map(drop)
            },
            async {
                let request = HealthCheckRequest { service: long(8 << 10) };
                HealthClient::new(nobody.clone()).check(request).await.map(drop)
            },
        );
        let mut agent = Session::open(operator.clone(), hello("acme/flood", 1)).await;
        let turn_id = long(5 << 20);
        agent.say(Said::Accept(v1::Accept { turn_id, attempt: 1 })).await;
        assert_eq!(reason(&agent.ended().await.expect("a reason")), ErrorReason::Invalid);
        let answers = [posted, spoken, applied, issued, checked];
        for (number, answer) in answers.into_iter().enumerate() {
            assert_eq!(refused(answer), Some(Code::OutOfRange), "call {number}");
        }
        true
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn links_routes_and_keys(kind: Kind) {
    let limits = [
        ("ARIZUKO_JID_LINKS", "30"),
        ("ARIZUKO_TENANT_ROUTES", "30"),
        ("ARIZUKO_PARTITION_KEYS", "30"),
        ("ARIZUKO_PARTITIONS", "1"),
    ];
    let mut scene = Scene::new(kind, &limits).await;
    let operator = scene.stack.operator(A).await;
    let mut made = 0;
    let wave = async |_: &Scene| {
        let is_full = |answer: Result<(), Status>| {
            answer.is_err_and(|status| reason(&status) == ErrorReason::LimitReached)
        };
        let numbers = made..made + 20;
        made += 20;
        let make = |number: usize| {
            let operator = operator.clone();
            async move {
                let folder = "acme/flood".to_owned();
                let link = IssueChatLinkRequest { folder: folder.clone(), ..Default::default() };
                let route = Some(mode(&format!("web:acme/flood/{number}"), RouteMode::Drop));
                let route = SetRouteRequest { route, update_mask: None };
                let key = CreateKeyRequest {
                    kind: KeyKind::Agent.into(),
                    folder,
                    reach: KeyReach::Self_.into(),
                    ..CreateKeyRequest::default()
                };
                let (mut tokens, mut routes, mut keys) = (
                    TokenServiceClient::new(operator.clone()),
                    RouteServiceClient::new(operator.clone()),
                    KeyServiceClient::new(operator),
                );
                [
                    is_full(tokens.issue_chat_link(link).await.map(drop)),
                    is_full(routes.set_route(route).await.map(drop)),
                    is_full(keys.create_key(key).await.map(drop)),
                ]
            }
        };
        let answers = join_all(numbers.map(make)).await;
        (0..3).all(|kind| answers.iter().any(|full| full[kind]))
    };
    scene.withstands(wave).await;
}

//! Floods of connections and calls to control.

use super::{Crowd, Scene};
use crate::limits::connections::post;
use arizuko_proto::{
    client::Bearer,
    v1::{
        ApplyRoutesRequest, CreateKeyRequest, GetStatusRequest, IssueChatLinkRequest,
        ListKeysRequest, ListTokensRequest, PostMessageRequest, SendMessageRequest,
        SetRouteRequest, admin_service_client::AdminServiceClient,
        agent_service_client::AgentServiceClient, gateway_service_client::GatewayServiceClient,
        key_service_client::KeyServiceClient, route_service_client::RouteServiceClient,
        token_service_client::TokenServiceClient,
    },
};
use arizuko_tests::prelude::*;
use futures_util::{StreamExt as _, future::join_all, stream};
use tonic::{Code, Status, service::interceptor::InterceptedService, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

fn is_refused<T>(answer: Result<T, Status>, wanted: ErrorReason) -> bool {
    answer.err().is_some_and(|status| reason(&status) == wanted)
}

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
        // Once control answers this call, it has seen all of these connections.
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
async fn requests_without_a_key(kind: Kind) {
    let mut scene = Scene::new(kind, &[]).await;
    let nobody = connect(&scene.stack.control(A), Some("azk_none")).await;
    let content = vec![b'x'; 15 << 20];
    let wave = async |_: &Scene| {
        let posts = (0..8).map(|_| {
            let content = content.clone().into();
            let message = PostMessageRequest { content, ..Default::default() };
            post(nobody.clone(), tokio_stream::once(message))
        });
        // Control may close the connection while the client still sends a message.
        let is_cut = |status: &Status| status.message() == "transport error";
        join_all(posts).await.into_iter().all(|post| match post {
            Err(status) if is_cut(&status) => true,
            post => is_refused(post, ErrorReason::KeyInvalid),
        })
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn calls_that_never_end(kind: Kind) {
    let limits = [("ARIZUKO_CONNECTION_CALLS", "50"), ("ARIZUKO_CALL_DEADLINE", "1s")];
    let mut scene = Scene::new(kind, &limits).await;
    let operator = scene.stack.operator(A).await;
    // Control's first answer also tells the client how many calls may be open.
    let mut admin = AdminServiceClient::new(operator.clone());
    admin.get_status(GetStatusRequest {}).await.expect("operators may");
    let wave = async |_: &Scene| {
        let begun = Instant::now();
        let posts = (0..120).map(|_| post(operator.clone(), tokio_stream::pending()));
        let posts = join_all(posts).await;
        // No more than 50 of them were open at a time.
        assert!(begun.elapsed() > Duration::from_secs(2));
        posts.into_iter().all(|post| is_refused(post, ErrorReason::OutcomeUnknown))
    };
    scene.withstands(wave).await;
}

async fn many_links(kind: Kind, limit: &str) {
    let mut scene = Scene::new(kind, &[(limit, "30")]).await;
    let operator = scene.stack.operator(A).await;
    let mut made = 0;
    let wave = async |_: &Scene| {
        let issue = |number| {
            let mut tokens = TokenServiceClient::new(operator.clone());
            let (folder, jid_suffix) = ("acme/flood".to_owned(), format!("{number}"));
            let request = IssueChatLinkRequest { folder, jid_suffix, ..Default::default() };
            async move { tokens.issue_chat_link(request).await }
        };
        made += 20;
        let issued = join_all((made..made + 20).map(issue)).await;
        issued.into_iter().any(|issued| is_refused(issued, ErrorReason::LimitReached))
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn links_of_a_folder(kind: Kind) {
    many_links(kind, "ARIZUKO_FOLDER_LINKS").await;
}

#[apply(embedded)]
async fn links_of_a_key(kind: Kind) {
    many_links(kind, "ARIZUKO_KEY_LINKS").await;
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
        let is_full = |answer: Result<(), Status>| is_refused(answer, ErrorReason::LimitReached);
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

#[apply(embedded)]
async fn keys_that_are_used_for_the_first_time(kind: Kind) {
    const KEYS: usize = 500;
    /// How many uses are noted at a time, and after how many seconds the next ones are.
    const NOTED: (u64, u64) = (200, 5);
    let mut scene = Scene::new(kind, &[]).await;
    let operator = scene.stack.operator(A).await;
    let create = (0..KEYS).map(|_| scene.stack.agent_key("acme/flood"));
    let keys: Vec<_> = stream::iter(create).buffer_unordered(16).collect().await;
    let address = Endpoint::from_shared(scene.stack.control(A)).expect("an address");
    let control = address.connect().await.expect("control answers");
    let begun = Instant::now();
    let wave = async |_: &Scene| {
        let uses =
            keys.iter().map(|key| {
                let key = Bearer::new(Some(key)).expect("keys are plain text");
                let with_key = InterceptedService::new(control.clone(), key);
                let mut tokens = TokenServiceClient::new(with_key);
                async move {
                    tokens.list_tokens(ListTokensRequest::default()).await.expect("it is good")
                }
            });
        stream::iter(uses).buffer_unordered(16).collect::<Vec<_>>().await;
        true
    };
    scene.withstands(wave).await;
    let mut keys = KeyServiceClient::new(operator);
    let mut noted = async || {
        let listed = keys.list_keys(ListKeysRequest::default()).await.expect("operators read");
        let listed = listed.into_inner().keys;
        listed.iter().filter(|key| key.folder == "acme/flood" && key.last_used_at.is_some()).count()
    };
    until("the first uses to be noted", async || noted().await > 0).await;
    let most = NOTED.0 * (begun.elapsed().as_secs() / NOTED.1 + 1);
    assert!(noted().await as u64 <= most, "more than {most} of {KEYS}");
}

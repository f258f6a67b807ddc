//! Floods of calls with texts and lists that are too long: each is refused.

use super::Scene;
use crate::hooks::signatures::SEAL;
use arizuko_proto::v1::{
    CreateKeyRequest, Escalation, EscalationStep, HmacScheme, HookFilter, HookOptions,
    IssueChatLinkRequest, IssueWebhookRequest, LinkLooks, ListConversationsRequest,
    RotateKeyRequest, SetRouteRequest, Signature, SignatureSender,
    conversation_service_client::ConversationServiceClient, hook_filter::Field,
    hook_options::Dedupe, key_service_client::KeyServiceClient,
    route_service_client::RouteServiceClient, signature::Scheme,
    token_service_client::TokenServiceClient,
};
use arizuko_tests::prelude::*;
use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use tonic::Status;

const FOLDER: &str = "acme/flood";

/// A call, and what it is about.
type Call = (String, BoxFuture<'static, Result<(), Status>>);

fn long(characters: usize) -> String {
    "é".repeat(characters)
}

/// Options for chat links, each with one field that is too long.
fn links() -> Vec<(String, LinkOptions)> {
    let looks = |looks: LinkLooks| LinkOptions { looks: Some(looks), ..LinkOptions::default() };
    let logo = [b"\x89PNG\r\n\x1a\n".as_slice(), &[0; 64 << 10]].concat();
    let options = [
        LinkOptions { name: long(101), ..LinkOptions::default() },
        LinkOptions { greeting: long(4_001), ..LinkOptions::default() },
        LinkOptions { context: long(16_001), ..LinkOptions::default() },
        LinkOptions {
            allowed_origins: vec!["https://acme.example".to_owned(); 51],
            ..LinkOptions::default()
        },
        looks(LinkLooks { logo: logo.into(), ..LinkLooks::default() }),
        looks(LinkLooks { starters: vec!["x".to_owned(); 7], ..LinkLooks::default() }),
        looks(LinkLooks { starters: vec![long(101)], ..LinkLooks::default() }),
    ];
    let folders = [["f"; 9].join("/"), format!("acme/{}", "f".repeat(64))];
    let options = options.into_iter().map(|options| (FOLDER.to_owned(), options));
    options.chain(folders.map(|folder| (folder, LinkOptions::default()))).collect()
}

/// Options for webhooks, each with one field that is too long.
fn hooks() -> Vec<HookOptions> {
    let signed = |secrets: &[usize], scheme: Scheme| {
        let secrets = secrets.iter().map(|bytes| "x".repeat(*bytes)).collect();
        let signature = Some(Signature { secrets, scheme: Some(scheme) });
        HookOptions { signature, ..HookOptions::default() }
    };
    let only = |pointer: &str, values: &[&str]| HookFilter {
        field: Some(Field::JsonPointer(pointer.to_owned())),
        values: values.iter().map(|&value| value.to_owned()).collect(),
    };
    let plain = HmacScheme { header: "x-signature".to_owned(), ..HmacScheme::default() };
    let window = Some(prost_types::Duration { seconds: 86_401, nanos: 0 });
    let hmac = |scheme: HmacScheme| signed(&[20], Scheme::Hmac(scheme));
    let github = || Scheme::Sender(SignatureSender::Github.into());
    vec![
        HookOptions {
            dedupe: Some(Dedupe::DedupeHeader("x".repeat(65))),
            ..HookOptions::default()
        },
        HookOptions { only: vec![only("/a", &["x"]); 21], ..HookOptions::default() },
        HookOptions { only: vec![only("/a", &["x"; 21])], ..HookOptions::default() },
        HookOptions { only: vec![only("/a", &[&"x".repeat(201)])], ..HookOptions::default() },
        HookOptions {
            only: vec![only(&format!("/{}", "x".repeat(200)), &["x"])],
            ..HookOptions::default()
        },
        signed(&[20, 20, 20], github()),
        signed(&[513], github()),
        hmac(HmacScheme { header: "x".repeat(65), ..plain.clone() }),
        hmac(HmacScheme { prefix: "x".repeat(65), ..plain.clone() }),
        hmac(HmacScheme { signed: format!("{{body}}{}", "x".repeat(195)), ..plain.clone() }),
        hmac(HmacScheme { window, ..plain }),
    ]
}

/// Routes, each with one field that is too long.
fn routes() -> Vec<Route> {
    let flood = route("web:acme/flood");
    let steps = |count: usize, say: String| {
        let after = Duration::from_secs(60).try_into().ok();
        let step = EscalationStep { after, to: "acme".to_owned(), say, ..Default::default() };
        Some(Escalation { steps: vec![step; count] })
    };
    vec![
        Route { persona: Some(long(4_001)), ..flood.clone() },
        Route { topic: Some(long(201)), ..flood.clone() },
        Route { escalation: steps(1, long(1_001)), ..flood.clone() },
        Route { escalation: steps(11, String::new()), ..flood },
    ]
}

/// Returns the calls of a wave. `key` has two secrets already.
fn calls(operator: &Channel, key: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    for (folder, options) in links() {
        let mut tokens = TokenServiceClient::new(operator.clone());
        let what = format!("a link of {folder}: {options:?}");
        let request = IssueChatLinkRequest { folder, options: Some(options), ..Default::default() };
        calls.push((what, async move { tokens.issue_chat_link(request).await.map(drop) }.boxed()));
    }
    for hook in hooks() {
        let mut tokens = TokenServiceClient::new(operator.clone());
        let what = format!("a webhook: {hook:?}");
        let options = Some(LinkOptions { hook: Some(hook), ..LinkOptions::default() });
        let (folder, source) = (FOLDER.to_owned(), "github".to_owned());
        let request = IssueWebhookRequest { folder, source, options, ..Default::default() };
        calls.push((what, async move { tokens.issue_webhook(request).await.map(drop) }.boxed()));
    }
    for route in routes() {
        let mut routes = RouteServiceClient::new(operator.clone());
        let request = SetRouteRequest { route: Some(route), update_mask: None };
        let what = format!("{request:?}");
        calls.push((what, async move { routes.set_route(request).await.map(drop) }.boxed()));
    }
    let mut keys = KeyServiceClient::new(operator.clone());
    let (kind, name) = (KeyKind::Operator.into(), long(101));
    let request = CreateKeyRequest { kind, name, ..CreateKeyRequest::default() };
    let creating = async move { keys.create_key(request).await.map(drop) };
    let mut keys = KeyServiceClient::new(operator.clone());
    let request = RotateKeyRequest { key_id: key.to_owned(), ..RotateKeyRequest::default() };
    let rotating = async move { keys.rotate_key(request).await.map(drop) };
    let mut conversations = ConversationServiceClient::new(operator.clone());
    let (folder, search) = (FOLDER.to_owned(), long(201));
    let request = ListConversationsRequest { folder, search, ..Default::default() };
    let searching = async move { conversations.list_conversations(request).await.map(drop) };
    let named = Hello { name: long(101), ..hello(FOLDER, 1) };
    let attaching = Session::try_open(operator.clone(), named).map(|session| session.map(drop));
    calls.push(("the name of a key".to_owned(), creating.boxed()));
    calls.push(("a third secret of a key".to_owned(), rotating.boxed()));
    calls.push(("a search".to_owned(), searching.boxed()));
    calls.push(("the name of an agent".to_owned(), attaching.boxed()));
    calls
}

#[apply(embedded)]
async fn of_links_routes_keys_and_sessions(kind: Kind) {
    let mut scene = Scene::new(kind, &[SEAL]).await;
    let operator = scene.stack.operator(A).await;
    let key = scene.stack.key(KeyKind::Agent, FOLDER, KeyReach::Self_, true).await.key_id;
    scene.stack.arizuko(&["key", "rotate", &key]).await.expect(0);
    let wave = async |_: &Scene| {
        let calls = (0..4).flat_map(|_| calls(&operator, &key));
        let answers = calls.map(async |(what, call)| (what, call.await));
        for (what, answer) in join_all(answers).await {
            let refused = answer.expect_err(&what);
            assert_eq!(reason(&refused), ErrorReason::Invalid, "{what}: {refused:?}");
        }
        true
    };
    scene.withstands(wave).await;
}

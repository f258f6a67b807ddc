//! Floods of calls that read as much as they can. Each answer has one page.

use super::{
    Scene,
    counts::{OPEN, post},
    with_little_room,
};
use arizuko_proto::v1::{
    ConversationStatus, ListAuditRequest, ListConversationsRequest, ListTokensRequest,
    ListTokensResponse, ShowConversationRequest, ShowConversationResponse, ShowTurnRequest,
    admin_service_client::AdminServiceClient,
    conversation_service_client::ConversationServiceClient,
    token_service_client::TokenServiceClient,
};
use arizuko_tests::{http::Answer, prelude::*};
use futures_util::{StreamExt as _, future::join_all, stream};
use tonic::{Request, Response, Status, Streaming, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

const ATTACKER: &str = "203.0.113.7";
const ANY: ConversationStatus = ConversationStatus::Unspecified;
/// The bytes of a webhook's delivery: more than ShowTurn shows of it.
const LONG: usize = 1_200_000;

/// An operator, who asks for as much as there is.
#[derive(Clone)]
struct Curious {
    conversations: ConversationServiceClient<Channel>,
    admin: AdminServiceClient<Channel>,
}

impl Curious {
    async fn new(stack: &Stack) -> Self {
        let channel = stack.operator(A).await;
        let conversations = ConversationServiceClient::new(channel.clone());
        let conversations = conversations.max_decoding_message_size(64 << 20);
        Self { conversations, admin: AdminServiceClient::new(channel) }
    }

    /// Lists the conversations of a folder. Returns how many are on the first page and how many
    /// control has looked at, and whether there are more.
    async fn list(
        &self,
        folder: &str,
        search: &str,
        status: ConversationStatus,
    ) -> (usize, u32, bool) {
        let request = ListConversationsRequest {
            folder: folder.to_owned(),
            search: search.to_owned(),
            status: status.into(),
            page_size: u32::MAX,
            ..ListConversationsRequest::default()
        };
        let listed = self.conversations.clone().list_conversations(request).await;
        let listed = listed.expect("operators read").into_inner();
        (listed.conversations.len(), listed.looked_at, !listed.next_page_token.is_empty())
    }

    async fn show(&self, conversation: &str, page_token: &str) -> ShowConversationResponse {
        let request = ShowConversationRequest {
            conversation_id: public_id::conversation(conversation),
            page_size: u32::MAX,
            page_token: page_token.to_owned(),
        };
        let shown = self.conversations.clone().show_conversation(request).await;
        shown.expect("operators read").into_inner()
    }

    /// Returns how many bytes of a turn's message there are in an answer.
    async fn show_turn(&self, turn: &str) -> usize {
        let request = ShowTurnRequest { turn_id: public_id::turn(turn) };
        let shown = self.conversations.clone().show_turn(request).await;
        let turn = shown.expect("operators read").into_inner().turn.expect("it is there");
        turn.messages[0].content.len()
    }

    /// Returns how many entries an answer has, and whether there are more.
    async fn audit(&self, folder: &str) -> (usize, bool) {
        let (folder, limit) = (folder.to_owned(), u32::MAX);
        let request = ListAuditRequest { folder, limit, page_token: String::new() };
        let listed = self.admin.clone().list_audit(request).await;
        let listed = listed.expect("operators read").into_inner();
        (listed.entries.len(), !listed.next_page_token.is_empty())
    }
}

/// Sends messages into one conversation: first 205 short ones, then long ones of 5 MB in all.
async fn talk(visitor: &Visitor) -> String {
    let conversation = visitor.say("hello").await.conversation;
    for number in 0..290 {
        let bytes = if number < 204 { 5 } else { 60_000 };
        visitor.say_in(&conversation, &"x".repeat(bytes)).await;
    }
    conversation
}

#[apply(embedded)]
async fn of_operators(kind: Kind) {
    let mut scene = Scene::new(kind, &OPEN).await;
    let stack = &scene.stack;
    stack.route(mode("web:acme/flood", RouteMode::Drop)).await;
    let visitor = stack.visit("acme/flood").await.from_address(ATTACKER);
    let talk = talk(&visitor).await;
    post(&visitor, 0..510, 5).await;
    let hook = stack.caller(&stack.issue_hook("acme/flood", "github", "").await, A);
    let long = join_all((0..9).map(|_| hook.post("text/plain", "x".repeat(LONG)))).await;
    let long = long.into_iter().map(Answer::posted).next().expect("there are some");
    let curious = Curious::new(stack).await;
    // Each of these calls is noted in the audit log.
    let notes = (0..1_005).map(|_| curious.list("other", "", ANY));
    stream::iter(notes).buffer_unordered(16).for_each(async |_| ()).await;
    let round = async |curious: &Curious| {
        let (listed, _, has_more) = curious.list("acme/flood", "", ANY).await;
        assert_eq!((listed, has_more), (200, true));
        let failed = ConversationStatus::Failed;
        let (listed, looked_at, has_more) = curious.list("acme/flood", "", failed).await;
        assert!(listed == 0 && has_more, "{listed}");
        assert!((450..=500).contains(&looked_at), "{looked_at}");
        let (listed, looked_at, has_more) = curious.list("acme/flood", "qz", ANY).await;
        // Two letters are too few for the index, so only the newest 8 MiB are searched. Some of these
        // messages are the honest visitor's.
        assert!(listed == 0 && looked_at < 30 && has_more, "{looked_at}");

        let shown = curious.show(&talk, "").await;
        assert_eq!(shown.turns.len(), 200);
        let shown = curious.show(&talk, &shown.next_page_token).await;
        let bytes: u64 = shown.turns.iter().map(|turn| turn.messages[0].bytes).sum();
        assert!(bytes < 5_000_000 && !shown.next_page_token.is_empty(), "{bytes} bytes");
        let shown = curious.show(&long.conversation, "").await;
        assert_eq!(shown.turns[0].messages[0].content.len(), 64 << 10);
        assert_eq!(curious.show_turn(&long.turn).await, 1 << 20);
        assert_eq!(curious.audit("other").await, (1_000, true));
    };
    let wave = async |_: &Scene| {
        join_all((0..2).map(|_| round(&curious))).await;
        true
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn of_visitors(kind: Kind) {
    let mut scene = Scene::new(kind, &OPEN).await;
    let stack = &scene.stack;
    let visitor = stack.visit("acme/flood").await.from_address(ATTACKER);
    let mut agent = stack.attach("acme/flood", A).await;
    let turn = visitor.say("hello").await.turn;
    let mut held = agent.turn().await;
    for _ in 0..21 {
        agent.push(&mut held, vec![delta("m1", "x"); 100]).await;
    }
    agent.stored(&held).await;
    agent.finish(&held).await;
    stack.route(mode("web:acme/flood", RouteMode::Drop)).await;
    let talk = talk(&visitor).await;
    let round = async || {
        let frames = visitor.json(&format!("{turn}?after=0")).await;
        assert_eq!(frames["frames"].as_array().map(Vec::len), Some(2_000));
        let frames = visitor.json(&format!("{turn}?after=2000")).await;
        assert_eq!(frames["frames"].as_array().map(Vec::len), Some(101));
        let page = visitor.json(&format!("c/{talk}?limit=4000000000")).await;
        assert_eq!(page["turns"].as_array().map(Vec::len), Some(200));
        let page = visitor.get(&format!("c/{talk}?limit=4000000000&after={}", page["next"])).await;
        assert!(page.body.len() < 5_000_000, "{} bytes", page.body.len());
        assert!(page.json()["next"].is_u64(), "there is more");
    };
    let wave = async |_: &Scene| {
        // There are more readers than may have pages of logs in memory at a time.
        join_all((0..8).map(|_| round())).await;
        true
    };
    scene.withstands(wave).await;
}

/// Lists tokens as an agent that reads nothing of the answer but its head.
async fn list_without_reading(
    control: Channel,
    request: ListTokensRequest,
) -> Result<Streaming<ListTokensResponse>, Status> {
    let mut client = Grpc::new(control);
    client.ready().await.expect("control is there");
    let path = PathAndQuery::from_static("/arizuko.v1.TokenService/ListTokens");
    let listed = client.server_streaming(Request::new(request), path, ProstCodec::default());
    listed.await.map(Response::into_inner)
}

#[apply(embedded)]
async fn that_nobody_reads(kind: Kind) {
    const CALLS: usize = 80;
    let mut scene =
        Scene::new(kind, &[&OPEN[..], &[("ARIZUKO_CALL_DEADLINE", "3s")]].concat()).await;
    let stack = &scene.stack;
    let long = LinkOptions { context: "\u{1f642}".repeat(16_000), ..LinkOptions::default() };
    for _ in 0..60 {
        stack.issue_with("acme/flood", "", long.clone()).await;
    }
    let key = stack.agent_key("acme/flood").await;
    let agent = with_little_room(stack, &key).await;
    let mut operator = TokenServiceClient::new(stack.operator(A).await);
    let request =
        ListTokensRequest { folder: "acme/flood".to_owned(), full: true, ..Default::default() };
    let mut unread = Vec::new();
    let wave = async |_: &Scene| {
        let calls = (0..CALLS).map(|_| list_without_reading(agent.clone(), request.clone()));
        let begun = Instant::now();
        let (calls, listed) = tokio::join!(join_all(calls), operator.list_tokens(request.clone()));
        assert!(begun.elapsed() > Duration::from_secs(2), "calls wait until their deadline");
        listed.expect("an operator does not wait for them");
        let refused = calls.iter().filter_map(|call| call.as_ref().err()).map(reason);
        let refused = refused.filter(|why| *why == ErrorReason::OutcomeUnknown).count();
        unread.extend(calls.into_iter().filter_map(Result::ok));
        unread.len() == 4 && refused >= CALLS - 4
    };
    scene.withstands(wave).await;
}

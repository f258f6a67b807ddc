//! Connections and calls to control are bounded, and have deadlines.

use arizuko_proto::v1::{
    GetStatusRequest, IssueChatLinkRequest, PostMessageRequest, PostMessageResponse, TailRequest,
    admin_service_client::AdminServiceClient, token_service_client::TokenServiceClient,
};
use arizuko_tests::{
    prelude::*,
    tools::{closed, dial},
};
use http::uri::PathAndQuery;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_stream::Stream;
use tonic::{Code, Request, Status, client::Grpc};
use tonic_prost::ProstCodec;

/// The first bytes of an HTTP/2 client: the preface, and empty SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Calls PostMessage with a request that comes from a stream, so that it may come late.
pub(crate) async fn post(
    channel: Channel,
    message: impl Stream<Item = PostMessageRequest> + Send + 'static,
) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.expect("the connection is open");
    let codec = ProstCodec::<PostMessageRequest, PostMessageResponse>::default();
    let path = PathAndQuery::from_static("/arizuko.v1.GatewayService/PostMessage");
    let posted = grpc.client_streaming(Request::new(message), path, codec);
    within("the answer to a post", posted).await.map(drop)
}

/// Whether control answers the preface.
async fn is_served(stream: &mut TcpStream) -> bool {
    let _ = stream.write_all(PREFACE).await;
    matches!(within("an answer, or the end", stream.read(&mut [0; 9])).await, Ok(9))
}

#[apply(embedded)]
async fn a_call_without_a_key_is_refused_before_its_body(mut stack: Stack) {
    let control = stack.control(A);
    let channel = connect(&control, None).await;
    let refused = post(channel, tokio_stream::pending()).await.unwrap_err();
    assert_eq!(reason(&refused), ErrorReason::KeyInvalid);

    let before = stack.process(Control(A)).peak_memory();
    let channel = connect(&control, Some("azk_none")).await;
    let message = PostMessageRequest { content: vec![b'x'; 15 << 20].into(), ..Default::default() };
    let posts = (0..8).map(|_| post(channel.clone(), tokio_stream::once(message.clone())));
    for refused in futures_util::future::join_all(posts).await {
        assert_eq!(reason(&refused.unwrap_err()), ErrorReason::KeyInvalid);
    }
    // The kernel measures peaks only roughly, so a later peak may read lower.
    let more = stack.process(Control(A)).peak_memory().saturating_sub(before);
    assert!(more < 40 << 20, "8 bodies of 15 MiB that nobody may send took {more} bytes");
}

#[apply(embedded)]
async fn a_request_has_the_size_that_its_call_needs(stack: Stack) {
    let folder = "acme".to_owned();
    for (bytes, code) in [(200 << 10, Code::InvalidArgument), (300 << 10, Code::OutOfRange)] {
        let options = Some(LinkOptions { context: "x".repeat(bytes), ..Default::default() });
        let request =
            IssueChatLinkRequest { folder: folder.clone(), options, ..Default::default() };
        let mut tokens = TokenServiceClient::new(stack.operator(A).await);
        let refused = tokens.issue_chat_link(request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused:?}");
    }
}

#[apply(embedded)]
async fn a_call_ends_at_its_deadline(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_CALL_DEADLINE", "500ms")]).await;
    let overdue = post(stack.operator(A).await, tokio_stream::pending()).await.unwrap_err();
    assert_eq!(overdue.code(), Code::DeadlineExceeded, "{overdue:?}");
    assert_eq!(reason(&overdue), ErrorReason::OutcomeUnknown);
    // An open stream isn't a late call: it goes on.
    let mut agent = stack.attach("acme", A).await;
    let visitor = stack.visit("acme").await;
    sleep(Duration::from_secs(1)).await;
    agent.credit(1).await;
    visitor.say("hello").await;
    agent.turn().await;
}

#[apply(embedded)]
async fn the_calls_of_a_connection_are_bounded(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_CONNECTION_CALLS", "3")]).await;
    let channel = stack.operator(A).await;
    let mut admin = AdminServiceClient::new(channel);
    let mut tails = Vec::new();
    for _ in 0..3 {
        tails.push(admin.tail(TailRequest::default()).await.expect("there is room"));
    }
    let waiting = admin.get_status(GetStatusRequest {});
    tokio::pin!(waiting);
    assert!(timeout(Duration::from_millis(300), &mut waiting).await.is_err(), "a fourth call");
    drop(tails.pop());
    within("the fourth call", waiting).await.expect("there is room again");
}

#[apply(embedded)]
async fn a_client_that_says_nothing_is_closed(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_CONTROL_IDLE", "500ms")]).await;
    let mut agent = stack.attach("acme", A).await;
    let silent = dial(&stack.control(A), "127.0.0.1").await;
    let mut polite = dial(&stack.control(A), "127.0.0.1").await;
    assert!(is_served(&mut polite).await);
    closed(silent).await;
    closed(polite).await;
    // A client that was closed while idle connects again for its next call. An open stream keeps
    // its connection.
    let operator = stack.operator(A).await;
    for _ in 0..2 {
        let mut admin = AdminServiceClient::new(operator.clone());
        admin.get_status(GetStatusRequest {}).await.expect("it connects again");
        sleep(Duration::from_millis(700)).await;
    }
    agent.credit(1).await;
    stack.visit("acme").await.say("hello").await;
    agent.turn().await;
}

#[apply(one_redis)]
async fn a_client_with_a_certificate_that_says_nothing_is_closed(kind: Kind) {
    let stack = Stack::with_tls(kind, &[("ARIZUKO_CONTROL_IDLE", "500ms")]).await;
    // Control closes a connection that is silent before the TLS handshake, and one that is silent
    // after it.
    closed(dial(&stack.control(A), "127.0.0.1").await).await;
    let tls = stack.tls();
    let mut openssl = command(found("openssl"));
    openssl.args(["s_client", "-ign_eof", "-alpn", "h2", "-connect"]);
    openssl.arg(stack.control(A).replace("https://", "")).arg("-CAfile").arg(tls.authority.file());
    openssl.arg("-cert").arg(&tls.client.cert).arg("-key").arg(&tls.client.key);
    let mut client = Process::start("openssl", openssl, &stack.logs());
    client.line_with("ALPN protocol: h2").await;
    client.exit().await;
}

#[apply(embedded)]
async fn an_address_has_a_share_of_the_connections(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_CONTROL_ADDRESS_CONNECTIONS", "12")]).await;
    let mut open = Vec::new();
    for _ in 0..24 {
        let mut stream = dial(&stack.control(A), "127.0.0.7").await;
        if is_served(&mut stream).await {
            open.push(stream);
        }
    }
    assert_eq!(open.len(), 12, "of one address");
    assert!(is_served(&mut dial(&stack.control(A), "127.0.0.8").await).await, "another address");
    drop(open);
    until("room for a connection again", async || {
        is_served(&mut dial(&stack.control(A), "127.0.0.7").await).await
    })
    .await;
}

#[apply(embedded)]
async fn the_connection_that_is_idle_for_longest_makes_room(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_CONTROL_CONNECTIONS", "12")]).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let mut flood = Vec::new();
    for _ in 0..40 {
        let mut stream = dial(&stack.control(A), "127.0.0.7").await;
        assert!(is_served(&mut stream).await, "an idle one makes room");
        flood.push(stream);
    }
    closed(flood.remove(0)).await;
    // Connections in use stay open: the gateway's and the agent's.
    agent.credit(1).await;
    visitor.say("hello").await;
    agent.turn().await;
    let mut admin = AdminServiceClient::new(stack.operator(A).await);
    admin.get_status(GetStatusRequest {}).await.expect("an operator gets in");
}

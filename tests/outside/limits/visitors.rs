//! What a stranger can make a gateway hold is bounded, and has a deadline.

use arizuko_tests::{
    prelude::*,
    tools::{closed, dial},
};
use futures_util::future::select_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// An address that sends too much.
const ATTACKER: &str = "127.0.0.7";
/// Lets the tests name their visitors' addresses in X-Forwarded-For.
const PROXY: (&str, &str) = ("ARIZUKO_TRUSTED_PROXY", "127.0.0.1/32");

/// Whether the gateway answers a request on the connection.
async fn is_served(stream: &mut TcpStream) -> bool {
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut answer = [0; 12];
    let read = within("an answer, or the end", stream.read_exact(&mut answer)).await;
    read.is_ok() && &answer == b"HTTP/1.1 200"
}

/// Begins posts of 1 MiB to a webhook from an address, and sends only `bytes` of each.
async fn unfinished(
    stack: &Stack,
    token: &str,
    address: &str,
    count: usize,
    bytes: usize,
) -> Vec<TcpStream> {
    let head = format!("POST /hook/{token} HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n");
    let mut open = Vec::new();
    for _ in 0..count {
        let mut stream = dial(&stack.gateway(A), address).await;
        stream.write_all(head.as_bytes()).await.expect("the gateway reads heads");
        // The gateway may close the connection of a refused post before the test has sent all.
        let _ = timeout(Duration::from_secs(1), stream.write_all(&vec![b'x'; bytes])).await;
        open.push(stream);
    }
    open
}

async fn first_line(stream: &mut TcpStream) -> String {
    let mut answer = vec![0; 12];
    within("an answer", stream.read_exact(&mut answer)).await.expect("an answer comes");
    String::from_utf8_lossy(&answer).into_owned()
}

#[apply(embedded)]
async fn a_body_is_not_read_before_its_token_is_known(kind: Kind) {
    let mut stack = Stack::with(kind, &[]).await;
    let wrong = random_id().repeat(2);
    for token in ["bogus", &wrong] {
        let mut one = unfinished(&stack, token, ATTACKER, 1, 0).await;
        assert_eq!(first_line(&mut one[0]).await, "HTTP/1.1 401", "nothing of the body came");
    }
    let before = stack.process(Gateway(A)).peak_memory();
    let _open = unfinished(&stack, &wrong[..46], ATTACKER, 150, 1_000_000).await;
    let more = stack.process(Gateway(A)).peak_memory() - before;
    assert!(more < 50 << 20, "150 bodies that nobody may send took {} MiB", more >> 20);
}

#[apply(embedded)]
async fn the_bodies_of_an_address_are_bounded(kind: Kind) {
    let settings = [("ARIZUKO_ADDRESS_BODY_BYTES", "8000000")];
    let mut stack = Stack::with(kind, &settings).await;
    let hook = stack.issue_hook("acme", "github", "").await;
    let before = stack.process(Gateway(A)).peak_memory();
    let mut open = unfinished(&stack, &hook.token, ATTACKER, 150, 1_000_000).await;
    let more = stack.process(Gateway(A)).peak_memory() - before;
    assert!(more < 60 << 20, "150 unfinished bodies took {} MiB", more >> 20);
    // Which posts are refused depends on whose bytes came first.
    let answers = open.iter_mut().map(|stream| Box::pin(first_line(stream)));
    assert_eq!(select_all(answers).await.0, "HTTP/1.1 429");
    stack.caller(&hook, A).post("text/plain", "from another address").await.posted();
    drop(open);
    let head =
        format!("POST /hook/{} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nagain", hook.token);
    until("the bodies of closed connections to be forgotten", async || {
        let mut stream = dial(&stack.gateway(A), "127.0.0.7").await;
        stream.write_all(head.as_bytes()).await.expect("the gateway reads");
        first_line(&mut stream).await == "HTTP/1.1 202"
    })
    .await;
}

#[apply(embedded)]
async fn bodies_of_many_addresses_leave_room_for_another(kind: Kind) {
    let settings = [("ARIZUKO_BODY_BYTES", "4000000"), ("ARIZUKO_ADDRESS_BODY_BYTES", "1500000")];
    let stack = Stack::with(kind, &settings).await;
    let hook = stack.issue_hook("acme", "github", "").await;
    let mut open = Vec::new();
    for address in ["127.0.0.7", "127.0.0.8", "127.0.0.9", "127.0.0.10"] {
        open.extend(unfinished(&stack, &hook.token, address, 24, 60_000).await);
    }
    let answers = open.iter_mut().map(|stream| Box::pin(first_line(stream)));
    assert_eq!(select_all(answers).await.0, "HTTP/1.1 503");
    let visitor = stack.visit("acme").await;
    for _ in 0..5 {
        visitor.post("text/plain", "x".repeat(50_000)).await.posted();
    }
}

#[apply(embedded)]
async fn a_client_that_says_nothing_is_closed(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_GATEWAY_IDLE", "500ms")]).await;
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let mut events = visitor.open(&format!("{}/sse", posted.turn), Cursor::Start).await.ok();
    let silent = dial(&stack.gateway(A), "127.0.0.1").await;
    let mut slow = dial(&stack.gateway(A), "127.0.0.1").await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHo").await.expect("the gateway reads");
    let mut polite = dial(&stack.gateway(A), "127.0.0.1").await;
    assert!(is_served(&mut polite).await);
    closed(silent).await;
    closed(slow).await;
    closed(polite).await;
    // A connection with an open stream is not idle.
    let mut agent = stack.attach("acme", A).await;
    agent.answer_next("still here").await;
    assert_eq!(names(&events.rest().await), ["message", "turn_done"]);
}

#[apply(one_redis)]
async fn a_client_of_tls_that_says_nothing_is_closed(kind: Kind) {
    let stack = Stack::with_tls(kind, &[("ARIZUKO_GATEWAY_IDLE", "500ms")]).await;
    // The gateway closes a connection that is silent before the TLS handshake, and connections of
    // both protocols that are silent after it.
    closed(dial(&stack.gateway(A), "127.0.0.1").await).await;
    for protocol in ["h2", "http/1.1"] {
        let mut openssl = command(found("openssl"));
        openssl.args(["s_client", "-ign_eof", "-alpn", protocol, "-connect"]);
        openssl.arg(stack.gateway(A).replace("https://", ""));
        openssl.arg("-CAfile").arg(stack.tls().authority.file());
        let mut client = Process::start("openssl", openssl, &stack.logs());
        client.line_with(&format!("ALPN protocol: {protocol}")).await;
        client.exit().await;
    }
}

#[apply(embedded)]
async fn an_address_has_a_share_of_the_connections(kind: Kind) {
    let settings = [("ARIZUKO_GATEWAY_ADDRESS_CONNECTIONS", "12"), PROXY];
    let stack = Stack::with(kind, &settings).await;
    let mut open = Vec::new();
    for _ in 0..24 {
        let mut stream = dial(&stack.gateway(A), "127.0.0.7").await;
        if is_served(&mut stream).await {
            open.push(stream);
        }
    }
    assert_eq!(open.len(), 12, "of one address");
    assert!(is_served(&mut dial(&stack.gateway(A), "127.0.0.8").await).await, "another address");
    let mut proxys = Vec::new();
    for _ in 0..24 {
        let mut stream = dial(&stack.gateway(A), "127.0.0.1").await;
        assert!(is_served(&mut stream).await, "a trusted proxy has no limit of its own");
        proxys.push(stream);
    }
    drop(open);
    until("room for a connection again", async || {
        is_served(&mut dial(&stack.gateway(A), "127.0.0.7").await).await
    })
    .await;
}

#[apply(embedded)]
async fn silent_connections_keep_no_visitor_out(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_GATEWAY_CONNECTIONS", "12")]).await;
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let mut events = visitor.open(&format!("{}/sse", posted.turn), Cursor::Start).await.ok();
    events.greeting().await;
    let mut flood = Vec::new();
    for _ in 0..40 {
        flood.push(dial(&stack.gateway(A), "127.0.0.7").await);
        assert!(
            is_served(&mut dial(&stack.gateway(A), "127.0.0.8").await).await,
            "an idle one makes room"
        );
    }
    closed(flood.remove(0)).await;
    // The connection of the open stream stays open.
    let mut agent = stack.attach("acme", A).await;
    agent.answer_next("still here").await;
    assert_eq!(names(&events.rest().await), ["message", "turn_done"]);
}

#[apply(embedded)]
async fn silent_connections_keep_no_visitor_out_of_a_process_with_few_files() {
    let folder = Folder::new();
    let built = program("arizuko", folder.path());
    let built = built.as_std().get_args().last().expect("the program");
    let mut up = command(found("prlimit"));
    up.arg("--nofile=128:128").arg(built).args(["up", "--json", "--no-demo"]);
    up.args(["--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--data-dir"]);
    up.arg(folder.path().join("data"));
    let mut up = Process::start("up", up, &folder.logs());
    let ready: Value = serde_json::from_str(&up.line().await).expect("`up --json` prints JSON");
    let url = |part: &str| ready[part].as_str().expect("a URL").trim_end_matches('/').to_owned();
    let mut flood = Vec::new();
    for _ in 0..150 {
        flood.push(dial(&url("control"), ATTACKER).await);
        flood.push(dial(&url("gateway"), ATTACKER).await);
        assert!(is_served(&mut dial(&url("gateway"), "127.0.0.8").await).await);
    }
}

#[apply(embedded)]
async fn an_address_that_tries_wrong_tokens_must_wait(kind: Kind) {
    let stack = Stack::with(kind, &[PROXY]).await;
    let visitor = stack.visit("acme").await;
    let wrong = stack.at(A, &format!("/chat/{}/", &random_id().repeat(3)[..46]));
    let from = |visitor: &Visitor, address: &str| {
        visitor.request(Method::GET, "config").header("x-forwarded-for", address.to_owned())
    };
    let mut refused = 0;
    for _ in 0..2_000 {
        let answer = send(from(&wrong, "192.0.2.7")).await;
        if answer.status == 429 {
            assert!(answer.refused(429, "RATE_LIMITED").retry_after() >= 1);
            refused += 1;
            break;
        }
        answer.refused(401, "TOKEN_INVALID");
    }
    assert_eq!(refused, 1, "2,000 wrong tokens met no limit");
    send(from(&visitor, "192.0.2.7")).await.refused(429, "RATE_LIMITED");
    send(from(&visitor, "192.0.2.8")).await.expect(200);
}

#[apply(embedded)]
async fn an_address_that_tries_forged_visitors_must_wait(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_ADDRESS_REQUESTS", "100")]).await;
    let visitor = stack.visit("acme").await;
    let forged = || send(visitor.request(Method::GET, "c").header("arizuko-visitor", "a.b.c"));
    // Each forged request counts as thirty of the fifty requests that may come at once.
    for _ in 0..2 {
        forged().await.refused(403, "IDENTITY_INVALID");
    }
    forged().await.refused(429, "RATE_LIMITED");
}

#[apply(embedded)]
async fn an_address_has_a_bounded_rate_of_requests(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_ADDRESS_REQUESTS", "60")]).await;
    let visitor = stack.visit("acme").await;
    let begun = Instant::now();
    let mut taken = 0;
    let refused = loop {
        let answer = visitor.get("config").await;
        if answer.status == 429 {
            break answer.refused(429, "RATE_LIMITED");
        }
        let answer = answer.expect(200);
        if taken == 0 {
            assert_eq!(answer.header("ratelimit-policy"), "\"requests\";q=30;w=30");
            assert_eq!(answer.header("ratelimit"), "\"requests\";r=29;t=1");
        }
        taken += 1;
    };
    let left = format!("\"requests\";r=0;t={}", refused.retry_after());
    assert_eq!(refused.header("ratelimit"), left);
    let most = 30 + begun.elapsed().as_secs() + 1;
    assert!((30..=most).contains(&taken), "{taken} were taken");
    sleep(Duration::from_secs(refused.retry_after())).await;
    visitor.get("config").await.expect(200);
}

#[apply(embedded)]
async fn waiting_requests_count_as_streams(kind: Kind) {
    let settings = [SERVED, ("ARIZUKO_STREAMS_PER_ADDRESS", "3")];
    let stack = Stack::with(kind, &settings).await;
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let path = format!("{}/status?wait=20", posted.turn);
    let mut polls = Vec::new();
    for _ in 0..3 {
        let poll = send(visitor.request(Method::GET, &path));
        polls.push(tokio::spawn(poll));
    }
    stack.metric_becomes("arizuko_gateway_open_streams", &[], 3.0).await;
    let refused = visitor.get(&format!("{}/status?wait=1", posted.turn)).await;
    refused.refused(429, "TOO_MANY_STREAMS");
    let waits = visitor.request(Method::POST, "?wait=1").json(&json!({"content": "x"}));
    send(waits).await.refused(429, "TOO_MANY_STREAMS");
    visitor.get(&format!("{}/status", posted.turn)).await.expect(200);
    let mut agent = stack.attach("acme", A).await;
    agent.answer_next("done").await;
    for poll in polls {
        assert_eq!(poll.await.expect("it doesn't panic").expect(200).json()["status"], "done");
    }
    visitor.get(&path).await.expect(200);
}

#[apply(embedded_and_pair)]
async fn repeats_of_a_message_cost_more_than_other_requests(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_ADDRESS_REQUESTS", "60")]).await;
    let visitor = stack.visit("acme").await;
    let message = json!({"content": "hello"});
    let key = "0123456789abcdefghijkl";
    let first = visitor.say_once(key, &message).await.posted();
    let begun = Instant::now();
    let mut taken = 0;
    loop {
        let again = visitor.say_once(key, &message).await;
        if again.status == 429 {
            again.refused(429, "RATE_LIMITED");
            break;
        }
        assert_eq!(again.posted(), first);
        taken += 1;
    }
    // 30 requests are allowed at once, and each repeat counts as 10.
    let most = 3 + begun.elapsed().as_secs() / 10 + 1;
    assert!((2..=most).contains(&taken), "{taken} were taken");
}

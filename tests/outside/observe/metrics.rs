//! The content of `/metrics`.

use arizuko_tests::prelude::*;
use futures_util::future::join_all;

#[apply(every_stack)]
async fn metrics_count_messages_agents_and_streams(kind: Kind) {
    let stack = Stack::with(kind, &[SERVED]).await;
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let taken = ["method=\"POST\"", "route=\"/chat/{token}/\"", "status=\"202\""];
    assert_eq!(stack.metric("arizuko_gateway_requests_total", &taken).await, 1.0);
    let times = "arizuko_gateway_request_duration_seconds_count";
    assert_eq!(stack.metric(times, &taken[..2]).await, 1.0);
    let call = ["method=\"GatewayService/PostMessage\"", "code=\"Ok\""];
    assert_eq!(stack.metric("arizuko_control_calls_total", &call).await, 1.0);
    let times = "arizuko_control_call_duration_seconds_count";
    assert_eq!(stack.metric(times, &call[..1]).await, 1.0);
    let commits = ["operation=\"commit\""];
    let trips = "arizuko_control_store_round_trip_seconds_count";
    assert!(stack.metric(trips, &commits).await >= 1.0);
    // Each control measures the whole queue.
    let controls = if kind == Kind::Pair { 2.0 } else { 1.0 };
    let waiting = "arizuko_control_waiting_turns";
    stack.metric_becomes(waiting, &[], controls).await;
    let folder = ["tenant=\"acme\"", "folder=\"acme\""];
    let of_folder = "arizuko_control_folder_waiting_turns";
    assert_eq!(stack.metric(of_folder, &folder).await, controls);

    let channel = stack.operator(A).await;
    let mut agent = Session::open(channel, hello("acme", 3)).await;
    let mut held = agent.turn().await;
    let tenant = &folder[..1];
    stack.metric_becomes("arizuko_control_agents", tenant, 1.0).await;
    stack.metric_becomes("arizuko_control_agent_credit", tenant, 2.0).await;
    stack.metric_becomes("arizuko_control_running_turns", tenant, 1.0).await;
    stack.metric_becomes(waiting, &[], 0.0).await;
    assert!(!stack.metrics_pages().await.contains("folder=\"acme\""), "its series are gone");
    let mut events = visitor.listen(&posted.turn).await;
    events.greeting().await;
    stack.metric_becomes("arizuko_gateway_open_streams", &[], 1.0).await;
    stack.metric_becomes("arizuko_control_subscriptions", &[], 1.0).await;
    stack.metric_becomes("arizuko_control_watch_streams", &[], 1.0).await;

    let first_frames = "arizuko_control_first_frame_seconds_count";
    assert_eq!(stack.metric(first_frames, &[]).await, 0.0);
    agent.append(&mut held, delta("m1", "one ")).await;
    agent.append(&mut held, delta("m1", "two")).await;
    agent.finish(&held).await;
    stack.metric_becomes("arizuko_control_running_turns", tenant, 0.0).await;
    assert_eq!(stack.metric(first_frames, &[]).await, 1.0);
    let waited = stack.metric("arizuko_control_first_frame_seconds_sum", &[]).await;
    assert!(waited > 0.0 && waited < 60.0, "{waited}");
    events.rest().await;
    agent.leave().await;
    stack.metric_becomes("arizuko_gateway_open_streams", &[], 0.0).await;
    stack.metric_becomes("arizuko_control_subscriptions", &[], 0.0).await;
    stack.metric_becomes("arizuko_control_agents", tenant, 0.0).await;
    stack.metric_becomes("arizuko_control_agent_credit", tenant, 0.0).await;

    let stranger = stack.at(A, "/chat/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/");
    stranger.get("config").await.expect(401);
    let refused = ["reason=\"TOKEN_INVALID\""];
    for part in ["gateway", "control"] {
        let refusals = format!("arizuko_{part}_refusals_total");
        assert_eq!(stack.metric(&refusals, &refused).await, 1.0, "{part}");
    }
}

#[apply(every_stack)]
async fn conflicting_commits_are_counted(kind: Kind) {
    let stack = Stack::with(kind, &[SERVED, ("ARIZUKO_CONVERSATION_TURNS", "50")]).await;
    let link = stack.issue("acme").await;
    let gateways = stack.visitors(&link);
    let posted = gateways[0].say("hello").await;
    let said = gateways.iter().cycle().take(16);
    join_all(said.map(|visitor| visitor.say_in(&posted.conversation, "again"))).await;
    assert!(stack.metric("arizuko_control_store_conflicts_total", &[]).await > 0.0);
}

#[apply(every_stack)]
async fn no_label_has_a_value_that_a_visitor_chooses(kind: Kind) {
    let stack = Stack::with(kind, &[SERVED]).await;
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let posted = visitor.say("hello").await;
    visitor.get(&posted.turn).await.expect(200);
    visitor.get("nothing/here/at/all").await.expect(404);
    let made_up = Method::from_bytes(b"ARIZUKO").expect("a token of HTTP's");
    send(visitor.request(made_up, "config")).await.expect(405);
    let pages = stack.metrics_pages().await;
    for secret in [&link.token, &link.jid, &posted.turn, &posted.conversation] {
        assert!(!pages.contains(secret.as_str()), "{secret} is in {pages}");
    }
    for made_up in ["here/at", "ARIZUKO"] {
        assert!(!pages.contains(made_up), "{made_up} is in {pages}");
    }
}

#[apply(embedded)]
async fn metrics_are_served_only_at_their_own_address(stack: Stack) {
    assert!(stack.metrics().is_empty());
    stack.at(A, "/metrics").get("").await.expect(404);

    let stack = Stack::with(stack.kind(), &[SERVED]).await;
    let listener = stack.metrics().remove(0);
    stack.at(A, "/metrics").get("").await.expect(404);
    let web = reqwest::Client::new();
    let root = listener.trim_end_matches("metrics");
    assert_eq!(web.get(root).send().await.expect("it serves").status(), 404);
    let posted = web.post(&listener).send().await.expect("it serves");
    assert_eq!(posted.status(), 405);
}

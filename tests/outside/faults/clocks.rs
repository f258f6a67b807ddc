//! Clocks that disagree, and clocks that are set. Control uses the store's clock and evens out its
//! jumps, so nobody notices.

use super::Readers;
use arizuko_proto::v1::{ListTokensRequest, token_service_client::TokenServiceClient};
use arizuko_tests::prelude::*;

const LEASE: Duration = Duration::from_secs(2);

async fn with_wrong_clocks(kind: Kind) -> Stack {
    let settings = [("ARIZUKO_LEASE", "2s"), ("ARIZUKO_AGENT_HEARTBEAT", "500ms")];
    let clocks = [(Control(B), "+300s"), (Gateway(B), "-300s")];
    Stack::with_clocks(kind, &settings, &clocks).await
}

#[apply(pair)]
async fn nothing_happens_early_with_clocks_five_minutes_apart(kind: Kind) {
    let stack = with_wrong_clocks(kind).await;
    let two_minutes = Duration::from_secs(120);
    let options = LinkOptions { lifetime: two_minutes.try_into().ok(), ..LinkOptions::default() };
    let link = stack.issue_with("acme", "", options).await;
    let late = escalation("web:acme", two_minutes, "acme/people", "It takes long.");
    stack.route(late).await;
    let mut agent = stack.agent("acme", &["--concurrency", "6"]).await;
    let mut turns = Vec::new();
    // Enough turns for each control to get some of the requests.
    for number in 0..6 {
        let posted = stack.visitor(&link, BOTH[number % 2]).say("hello").await;
        let readers = Readers::begin(&stack, &link, &posted, 2);
        turns.push((readers, agent.turn().await));
    }
    // Long enough for every lease to be renewed, or to end if control used a wrong clock.
    sleep(LEASE * 2).await;
    for (readers, program) in turns {
        program.reply("in time").await;
        let seen = readers.agree("in time").await;
        assert!(!names(&seen).contains(&"restart"), "{:?}", names(&seen));
    }
    for gateway in BOTH {
        stack.visitor(&link, gateway).say("still valid").await;
    }
}

#[apply(pair)]
async fn nothing_happens_late_with_clocks_five_minutes_apart(kind: Kind) {
    let stack = with_wrong_clocks(kind).await;
    let options =
        LinkOptions { lifetime: Duration::from_secs(3).try_into().ok(), ..LinkOptions::default() };
    let short = stack.issue_with("acme", "short", options).await;
    let link = stack.issue("acme").await;
    for control in [B, A] {
        let posted = stack.visitor(&link, control).say("hello").await;
        let readers = Readers::begin(&stack, &link, &posted, 2);
        let mut first = stack.attach("acme", control).await;
        assert_eq!(first.turn().await.turn.turn_id, posted.turn);
        first.vanish();
        // The turn is requeued as soon as the lease ends.
        let mut second = stack.agent("acme", &[]).await;
        let program = second.turn().await;
        program.reply("from the second").await;
        readers.agree("from the second").await;
    }
    for gateway in BOTH {
        let visitor = stack.visitor(&short, gateway);
        until("the link to expire", async || visitor.get("config").await.status == 401).await;
    }
}

const SETTINGS: [(&str, &str); 4] = [
    ("ARIZUKO_LEASE", "10s"),
    ("ARIZUKO_AGENT_HEARTBEAT", "500ms"),
    ("ARIZUKO_TURN_DEADLINE", "30m"),
    ("ARIZUKO_ADDRESS_RATE", "60"),
];

/// A link that expires in half an hour, and a turn under way.
struct Scene {
    link: Link,
    _agent: Agent,
    program: arizuko_tests::agent::Program,
    readers: Readers,
}

impl Scene {
    async fn begin(stack: &Stack) -> Self {
        let half_an_hour = Duration::from_secs(1_800).try_into().ok();
        let options = LinkOptions { lifetime: half_an_hour, ..LinkOptions::default() };
        let link = stack.issue_with("acme", "", options).await;
        let mut agent = stack.agent("acme", &["--concurrency", "1"]).await;
        let posted = stack.visitor(&link, A).say("hello").await;
        let readers = Readers::begin(stack, &link, &posted, 2);
        let program = agent.turn().await;
        Self { link, _agent: agent, program, readers }
    }

    /// Asserts that the link still takes messages, now and after a while.
    async fn goes_on(&self, stack: &Stack) {
        for gateway in BOTH {
            stack.visitor(&self.link, gateway).say("hello").await;
        }
        // Long enough for control to renew leases. If it used a wrong clock, it would end a lease
        // or the link by then.
        sleep(Duration::from_secs(2)).await;
        for gateway in BOTH {
            stack.visitor(&self.link, gateway).say("and again").await;
        }
    }

    async fn end(self) {
        self.program.reply("in time").await;
        let seen = self.readers.agree("in time").await;
        assert!(!names(&seen).contains(&"restart"), "{:?}", names(&seen));
    }
}

#[apply(embedded_and_pair)]
async fn a_step_of_the_machines_clock_ends_nothing(kind: Kind) {
    let stack = Stack::with_loose_clocks(kind, &SETTINGS).await;
    let scene = Scene::begin(&stack).await;
    for step in ["+3600s", "-120s", "-3600s"] {
        stack.set_clocks(step);
        scene.goes_on(&stack).await;
    }
    scene.end().await;
}

#[apply(pair)]
async fn a_step_of_rediss_clock_ends_nothing(kind: Kind) {
    let mut stack = Stack::with_proxies(kind, &SETTINGS).await;
    let scene = Scene::begin(&stack).await;
    for (count, step) in [(1, -120), (2, 3_600), (3, -3_600), (4, 0)] {
        BOTH.iter().for_each(|control| stack.to_redis(*control).shift_clock(step));
        for log in ["control-a.log", "control-b.log"] {
            let log = stack.logs().join(log);
            until("control to notice", async || {
                fs::read_to_string(&log)
                    .is_ok_and(|text| text.matches("has jumped").count() == count)
            })
            .await;
        }
        scene.goes_on(&stack).await;
        // A control that starts now agrees with the running control on the time.
        stack.restart(Control(B)).await;
        let mut tokens = TokenServiceClient::new(stack.operator(B).await);
        let listed = tokens.list_tokens(ListTokensRequest::default()).await;
        assert_eq!(listed.expect("operators list").into_inner().tokens.len(), 1);
        scene.goes_on(&stack).await;
    }
    scene.end().await;
}

#[apply(embedded_and_one_redis)]
async fn a_clock_that_is_set_back_while_control_is_down_keeps_nobody_waiting(kind: Kind) {
    let mut stack = Stack::with_proxies_and_loose_clocks(kind, &[]).await;
    let link = stack.issue("acme").await;
    stack.visitor(&link, A).say("before").await;
    stack.kill(Control(A));
    match kind {
        Kind::Embedded => stack.set_clocks("-3600s"),
        _ => stack.to_redis(A).shift_clock(-3_600),
    }
    stack.restart(Control(A)).await;
    // The record of what the visitor has used of their rate is now an hour in the future.
    stack.visitor(&link, A).say("after").await;
}

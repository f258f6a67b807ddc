//! What messages and turns cost: round trips to the store, and how often the programs allocate
//! memory. A change that raises a cost fails here, on any machine. `tests/bench` measures the time.

use arizuko_proto::v1::{
    Accept, GetStatusRequest, Heartbeat, admin_service_client::AdminServiceClient,
    attach_request::Message as Said,
};
use arizuko_tests::prelude::*;
use std::time::{Instant, SystemTime};

const TURNS: u32 = 100;
/// One visitor may send the messages of all these turns, and leave all turns open.
const SETTINGS: [(&str, &str); 3] =
    [SERVED, ("ARIZUKO_ADDRESS_BURST", "1000"), ("ARIZUKO_ADDRESS_TURNS", "1000")];
/// How many round trips controls make in the background during a test, at most.
const OWN: f64 = 30.0;

/// How often controls have committed to the store and loaded from it.
struct Trips {
    commits: f64,
    loads: f64,
}

impl Trips {
    async fn of(stack: &Stack) -> Self {
        let count = async |operation: &str| {
            let name = "arizuko_control_store_round_trip_seconds_count";
            stack.metric(name, &[&format!("operation=\"{operation}\"")]).await
        };
        let trips = Self { commits: count("commit").await, loads: count("load").await };
        assert!(trips.commits > 0.0, "control serves its metrics, and has committed its keys");
        trips
    }

    /// Asserts how many trips each turn has taken at most since `self` was measured.
    async fn expect(self, stack: &Stack, commits: u32, loads: u32) {
        let now = Self::of(stack).await;
        let took = [now.commits - self.commits, now.loads - self.loads];
        let most = [commits, loads].map(|each| f64::from(each * TURNS) + OWN);
        assert!(took[0] <= most[0] && took[1] <= most[1], "commits and loads: {took:?}");
    }
}

#[apply(embedded_and_one_redis)]
async fn a_message_is_one_commit(kind: Kind) {
    let stack = Stack::with(kind, &SETTINGS).await;
    let visitor = stack.visit("acme").await;
    visitor.say("hello").await;
    let before = Trips::of(&stack).await;
    for _ in 0..TURNS {
        visitor.say("hello").await;
    }
    // The two loads are the gateway's key and the list of attached agents.
    before.expect(&stack, 1, 2).await;
}

#[apply(embedded_and_one_redis)]
async fn a_turn_that_is_answered_at_once_is_three_commits(kind: Kind) {
    let stack = Stack::with(kind, &SETTINGS).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let before = Trips::of(&stack).await;
    for _ in 0..TURNS {
        let posted = visitor.say("hello").await;
        let mut held = Held { turn: agent.offered().await, seq: 1 };
        let (turn_id, attempt) = (held.turn.turn_id.clone(), held.turn.attempt);
        agent.say(Said::Accept(Accept { turn_id, attempt })).await;
        for text in ["one ", "two ", "three"] {
            agent.push(&mut held, vec![delta("m1", text)]).await;
        }
        agent.finish(&held).await;
        agent.credit(1).await;
        assert_eq!(visitor.json(&posted.turn).await["assistant"][0]["content"], "one two three");
    }
    // The three commits: the message, its delivery, and all that the agent said.
    before.expect(&stack, 3, 10).await;
}

#[apply(embedded_and_one_redis)]
async fn the_leases_of_many_agents_are_renewed_in_few_commits(kind: Kind) {
    let stack = Stack::with(kind, &[SERVED, ("ARIZUKO_LEASE", "8s")]).await;
    let mut agents = Vec::new();
    for _ in 0..TURNS {
        agents.push(stack.session(A, hello("acme", 1)).await);
    }
    let attached = SystemTime::now();
    let before = Trips::of(&stack).await;
    let renewed = async || {
        for agent in &mut agents {
            agent.say(Said::Heartbeat(Heartbeat {})).await;
        }
        first_end(&stack).await > attached + Duration::from_secs(8)
    };
    until("all leases to be renewed", renewed).await;
    let commits = Trips::of(&stack).await.commits - before.commits;
    assert!(commits <= OWN, "{commits} commits");
}

/// How often control and the gateway together allocate for a message, and for a frame on its way from
/// the agent to one reader. The test allows a tenth more. If a change lowers a number, lower it here.
const ALLOCATIONS: [u64; 2] = [546, 156];

#[apply(one_redis)]
async fn messages_and_frames_allocate_little(kind: Kind) {
    // Without the lines that only tests log.
    let settings = [&SETTINGS[..], &[("RUST_LOG", "warn,arizuko=info")]].concat();
    let stack = Stack::with(kind, &settings).await;
    let visitor = stack.visit("acme").await;
    let messages = async || {
        for _ in 0..TURNS {
            visitor.say("hello").await;
        }
    };
    let mut agent = stack.attach("other", A).await;
    let other = stack.visit("other").await;
    let posted = other.say("hello").await;
    let (mut held, mut events) = (agent.turn().await, other.listen(&posted.turn).await);
    let mut frames = async || {
        for _ in 0..TURNS {
            agent.append(&mut held, delta("m1", "word ")).await;
        }
    };
    // What is allocated once is allocated now.
    messages().await;
    frames().await;
    let each = [allocated(&stack, messages()).await, allocated(&stack, frames()).await];
    agent.finish(&held).await;
    events.rest().await;
    let each = each.map(|all| all / u64::from(TURNS));
    let most = ALLOCATIONS.map(|usual| usual * 11 / 10);
    assert!(each[0] <= most[0] && each[1] <= most[1], "a message and a frame: {each:?}");
}

/// Returns how often the programs allocate for some work. What they allocate in the background in the
/// same time doesn't count.
async fn allocated(stack: &Stack, work: impl Future<Output = ()>) -> u64 {
    let (begun, before) = (Instant::now(), stack.allocations().await);
    work.await;
    let (took, after) = (begun.elapsed(), stack.allocations().await);
    sleep(took).await;
    let background = stack.allocations().await - after;
    (after - before).saturating_sub(background)
}

/// Returns when the first of the attached agents' leases ends.
async fn first_end(stack: &Stack) -> SystemTime {
    let mut admin = AdminServiceClient::new(stack.operator(A).await);
    let status = admin.get_status(GetStatusRequest {}).await.expect("operators ask").into_inner();
    assert_eq!(status.sessions.len(), TURNS as usize);
    let ends = status.sessions.into_iter().map(|session| {
        SystemTime::try_from(session.expires_at.expect("a time")).expect("it is after 1970")
    });
    ends.min().expect("agents are attached")
}

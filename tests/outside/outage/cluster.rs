//! Redis fails over: Sentinels name another primary, a Cluster promotes a replica or moves a slot.

use arizuko_proto::v1::{ListTokensRequest, token_service_client::TokenServiceClient};
use arizuko_tests::prelude::*;

const COVERED: [(&str, &str); 1] = [("ARIZUKO_DURABILITY", "replica")];

#[apply(sentinel_and_cluster)]
async fn a_lost_primary_loses_nothing_that_was_acknowledged(kind: Kind) {
    let mut stack = Stack::with(kind, &COVERED).await;
    let [here, there] = stack.visit_both("acme").await;
    let posted = here.say("count").await;
    let mut agent = stack.agent("acme", &[]).await;
    let mut program = agent.turn().await;
    let readers = [&here, &there].map(|reader| reader.read_meanwhile(&posted.turn));
    let mut expected = String::new();
    let key = format!("log:{}", posted.conversation);
    let primary = stack.fleet().primary_of(&key).await;
    for number in 0..60 {
        if number == 20 {
            stack.fleet().kill(primary);
        }
        let word = format!("{number} ");
        program.print(&word).await;
        expected += &word;
        sleep(Duration::from_millis(50)).await;
    }
    program.exit(0).await;
    // Without a replica nothing would be acknowledged, so the lost primary comes back as a replica.
    stack.fleet().restart(primary).await;
    let mut seen = Vec::new();
    for reader in readers {
        seen.push(reader.await.expect("it does not panic"));
    }
    assert_eq!(seen[0], seen[1], "both readers got the same events");
    let text: String = transcript(&seen[0]).into_iter().map(|(_, text)| text).collect();
    assert_eq!(text, expected);
    assert!(!names(&seen[0]).contains(&"reset"), "{:?}", names(&seen[0]));
    assert_eq!(here.end_of(&posted.turn).await["status"], "done");
}

#[apply(sentinel_and_cluster)]
async fn service_resumes_at_the_new_primary(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, B);
    let posted = visitor.say("before").await;
    let key = format!("log:{}", posted.conversation);
    let primary = stack.fleet().primary_of(&key).await;
    // Without `--durability replica`, a failover may lose what only the primary has.
    stack.fleet().replicated(primary).await;
    stack.fleet().kill(primary);
    let begun = Instant::now();
    // Until there is a new primary, the answer is 503 or 504 and says when to come back.
    let message = json!({"content": "after", "conversation": posted.conversation});
    let after = visitor.say_until_taken("the-same-key-each-time", &message).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(15), "it took {took:?}");
    let again = visitor.say_once("the-same-key-each-time", &message).await;
    assert_eq!(again.posted(), after);
    let mut agent = stack.attach("acme", A).await;
    for expected in ["before", "after"] {
        let held = agent.turn().await;
        assert_eq!(&held.turn.content[..], expected.as_bytes());
        agent.answer(held, "ok").await;
    }
    // Wake-ups come from the new primary too.
    let mut live = visitor.follow(&posted.conversation).await;
    live.take(6).await;
    visitor.say_in(&posted.conversation, "once more").await;
    let held = agent.turn().await;
    let begun = Instant::now();
    agent.answer(held, "at once").await;
    live.take(3).await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "a wake-up, not a recheck, brought the reply"
    );
}

#[apply(sentinel)]
async fn a_primary_that_became_a_replica_is_read_no_more(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let primary = stack.fleet().primary_of(":layout").await;
    stack.fleet().replicated(primary).await;
    let mut tokens = TokenServiceClient::new(stack.operator(A).await);
    stack.fleet().demote(primary).await;
    // Control B writes, and so finds the new primary. Control A only reads.
    stack.revoke(&link.token_id).await;
    let listed = within("a list", tokens.list_tokens(ListTokensRequest::default())).await;
    let listed = listed.expect("operators list").into_inner().tokens;
    assert!(listed.is_empty(), "{listed:?}");
}

/// How many turns grow at the same time.
const GROWING: usize = 40;
/// How many frames each growing turn gets.
const FRAMES: usize = 10;

#[apply(sentinel)]
async fn one_wait_for_a_replica_covers_the_frames_of_many_turns(kind: Kind) {
    let mut stack = Stack::with(kind, &[COVERED[0], ("ARIZUKO_ADDRESS_RATE", "1000")]).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let (mut turns, mut readers) = (Vec::new(), Vec::new());
    for _ in 0..GROWING {
        let posted = visitor.say("go").await;
        readers.push(visitor.read_meanwhile(&posted.turn));
        turns.push(agent.turn().await);
    }
    let primary = stack.fleet().primary_of(":layout").await;
    let before = stack.fleet().calls(primary, "wait").await;
    for number in 0..FRAMES {
        for held in &mut turns {
            agent.push(held, vec![delta("m1", &format!("{number} "))]).await;
        }
        for held in &turns {
            agent.stored(held).await;
        }
    }
    for held in &turns {
        agent.finish(held).await;
    }
    for reader in readers {
        let seen = reader.await.expect("it does not panic");
        assert_eq!(transcript(&seen)[0].1, "0 1 2 3 4 5 6 7 8 9 ");
    }
    let waits = stack.fleet().calls(primary, "wait").await - before;
    // Each control is woken for each frame.
    let wakes = (BOTH.len() * GROWING * FRAMES) as u64;
    assert!(waits < wakes, "{waits} waits for {wakes} wake-ups");
}

#[apply(sentinel_and_cluster)]
async fn a_message_without_a_replica_is_not_acknowledged(kind: Kind) {
    let mut stack = Stack::with(kind, &COVERED).await;
    // Each call reads the gateway's key. In a Cluster, looks for a tenant whose state is on another
    // primary than that key.
    let with_key = stack.fleet().primary_of("{0}:layout").await;
    let mut tenants = ["acme", "beta", "gamma", "delta", "omega"].iter();
    let (tenant, visitor, posted, primary) = loop {
        let tenant = tenants.next().expect("one of them is elsewhere");
        let visitor = stack.visit(tenant).await;
        let posted = visitor.say("covered").await;
        let key = format!("log:{}", posted.conversation);
        let primary = stack.fleet().primary_of(&key).await;
        if primary != with_key || kind == Kind::Sentinel {
            break (tenant, visitor, posted, primary);
        }
    };
    let replicas = stack.fleet().replicas_of(primary).await;
    let message = json!({"content": "not covered", "conversation": posted.conversation});
    stack.fleet().signal(&replicas, Signal::SIGSTOP);
    let answer = visitor.say_once("the-same-key-each-time", &message).await;
    answer.refused(504, "OUTCOME_UNKNOWN");
    stack.fleet().kill(primary);
    stack.fleet().signal(&replicas, Signal::SIGCONT);
    stack.fleet().restart(primary).await;
    // It is unknown whether the message was taken. A repeat leaves one message.
    let after = visitor.say_until_taken("the-same-key-each-time", &message).await;
    let mut agent = stack.attach(tenant, B).await;
    for turn in [&posted.turn, &after.turn] {
        let held = agent.turn().await;
        assert_eq!(&held.turn.turn_id, turn);
        agent.answer(held, "ok").await;
    }
}

#[apply(cluster)]
async fn tenants_are_spread_over_all_primaries(mut stack: Stack) {
    let mut homes = std::collections::HashSet::new();
    for tenant in ["acme", "beta", "gamma", "delta", "omega", "sigma", "kappa", "theta"] {
        let link = stack.issue(tenant).await;
        let mut agent = stack.attach(tenant, B).await;
        let visitor = stack.visitor(&link, A);
        let posted = visitor.say("hello").await;
        let mut live = visitor.listen(&posted.turn).await;
        let mut held = agent.turn().await;
        agent.append(&mut held, delta("m1", "hi")).await;
        agent.finish(&held).await;
        assert_eq!(names(&live.rest().await), ["delta", "turn_done"]);
        let key = format!("log:{}", posted.conversation);
        homes.insert(stack.fleet().primary_of(&key).await);
    }
    assert_eq!(homes.len(), 3, "each of the three primaries has tenants");
}

#[apply(cluster)]
async fn a_moving_slot_loses_nothing(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let posted = visitor.say("count").await;
    let mut agent = stack.agent("acme", &[]).await;
    let mut program = agent.turn().await;
    let reader = stack.visitor(&link, B).read_meanwhile(&posted.turn);
    let key = format!("log:{}", posted.conversation);
    let before = stack.fleet().primary_of(&key).await;
    let mut expected = String::new();
    let writing = async {
        for number in 0..60 {
            let word = format!("{number} ");
            program.print(&word).await;
            expected += &word;
            sleep(Duration::from_millis(50)).await;
        }
        program.exit(0).await;
    };
    tokio::join!(writing, stack.fleet().migrate(&key));
    let seen = reader.await.expect("it does not panic");
    let text = text(&seen);
    assert_eq!(text, expected);
    assert!(!names(&seen).contains(&"reset"), "{:?}", names(&seen));
    assert_ne!(stack.fleet().primary_of(&key).await, before, "the slot has moved");
    // The next turn is delivered and answered on the slot's new primary.
    let posted = visitor.say_in(&posted.conversation, "and on").await;
    let program = agent.turn().await;
    program.reply("on").await;
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");
}

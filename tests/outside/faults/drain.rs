//! SIGTERM to gateways and controls with many open streams.

use super::Readers;
use arizuko_tests::metrics;
use arizuko_tests::prelude::*;

#[apply(pair)]
async fn a_rolling_restart_of_every_control_shows_no_reader_a_restart(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.agent("acme", &["--concurrency", "3"]).await;
    let (mut turns, mut programs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let posted = stack.visitor(&link, A).say("count").await;
        turns.push(Readers::begin(&stack, &link, &posted, 2));
        programs.push(agent.turn().await);
    }
    let mut text = String::new();
    for (round, instance) in BOTH.into_iter().enumerate() {
        for program in &mut programs {
            program.print(&format!("before {round} ")).await;
        }
        text += &format!("before {round} ");
        let control = stack.process(Control(instance));
        control.signal(Signal::SIGTERM);
        assert_eq!(control.exit().await.code(), Some(0), "the process exits cleanly");
        for program in &mut programs {
            program.print(&format!("without {round} ")).await;
        }
        text += &format!("without {round} ");
        stack.restart(Control(instance)).await;
    }
    for program in programs {
        program.exit(0).await;
    }
    for readers in turns {
        let seen = readers.agree(&text).await;
        assert!(!names(&seen).contains(&"restart"), "{:?}", names(&seen));
    }
}

#[apply(pair)]
async fn a_gateway_with_many_readers_stops_within_its_grace_period_and_loses_nothing(kind: Kind) {
    // Half of the readers are at each gateway.
    const READERS: usize = 2_000;
    const AGENTS: usize = 100;
    let settings = [
        metrics::SERVED,
        ("ARIZUKO_STREAMS_PER_ADDRESS", "10000"),
        ("ARIZUKO_GATEWAY_ADDRESS_CONNECTIONS", "10000"),
        ("ARIZUKO_ADDRESS_REQUESTS", "1000000"),
        ("ARIZUKO_LINK_RATE", "100000"),
        ("ARIZUKO_ADDRESS_RATE", "100000"),
    ];
    let mut stack = Stack::with(kind, &settings).await;
    let link = stack.issue("acme").await;
    let mut held: Vec<(Session, Held)> = Vec::new();
    let mut begun = Vec::new();
    for number in 0..AGENTS {
        let posted = stack.visitor(&link, BOTH[number % 2]).say("count").await;
        let channel = stack.operator(BOTH[number % 2]).await;
        let mut agent = Session::open(channel, hello("acme", 1)).await;
        let turn = agent.turn().await;
        held.push((agent, turn));
        begun.push(posted);
    }
    let readers = |posted| Readers::begin(&stack, &link, posted, READERS / AGENTS);
    let turns: Vec<_> = begun.iter().map(readers).collect();
    let speak = async |held: &mut Vec<(Session, Held)>, word: &str| {
        for (agent, turn) in held {
            agent.append(turn, delta("m1", word)).await;
        }
    };
    speak(&mut held, "one ").await;
    stack.metric_becomes("arizuko_gateway_open_streams", &[], READERS as f64).await;
    let gateway = stack.process(Gateway(A));
    gateway.signal(Signal::SIGTERM);
    let told = Instant::now();
    assert_eq!(gateway.exit().await.code(), Some(0), "the process exits cleanly");
    let took = told.elapsed();
    assert!(took < Duration::from_secs(20), "it took {took:?}");
    speak(&mut held, "two ").await;
    stack.restart(Gateway(A)).await;
    speak(&mut held, "three").await;
    for (agent, turn) in &mut held {
        agent.finish(turn).await;
    }
    for readers in turns {
        let seen = readers.agree("one two three").await;
        assert_eq!(names(&seen), ["delta", "delta", "delta", "turn_done"]);
    }
}

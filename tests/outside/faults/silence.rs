//! Connections that stay open but carry nothing any more, and networks that drop packets.

use arizuko_tests::prelude::*;

/// How soon messages must be taken again. docs/guarantees.md promises 2 s; the rest allows for a
/// busy machine.
const SOON: Duration = Duration::from_secs(10);

/// Starts a stack with proxies. Returns it with a visitor at each gateway, and a conversation that
/// both have used.
async fn talk(kind: Kind) -> (Stack, [Visitor; 2], Posted) {
    let limits = [("ARIZUKO_ADDRESS_RATE", "1000"), ("ARIZUKO_CONVERSATION_TURNS", "1000")];
    let stack = Stack::with_proxies(kind, &limits).await;
    let visitors = stack.visit_both("acme").await;
    let posted = visitors[0].say("before").await;
    visitors[1].say_in(&posted.conversation, "before").await;
    (stack, visitors, posted)
}

/// At each gateway, posts a message in a new conversation and one in this conversation, each until
/// it is taken.
async fn are_taken(visitors: &[Visitor; 2], posted: &Posted) {
    for visitor in visitors {
        for message in [
            json!({"content": "after"}),
            json!({"content": "after", "conversation": posted.conversation}),
        ] {
            visitor.say_until_taken(&random_id(), &message).await;
        }
    }
}

/// Asserts that messages are taken soon.
async fn are_taken_soon(visitors: &[Visitor; 2], posted: &Posted, after: &str) {
    let begun = Instant::now();
    are_taken(visitors, posted).await;
    let took = begun.elapsed();
    assert!(took < SOON, "{after}: it took {took:?}");
}

#[apply(pair)]
async fn silent_connections_to_redis_are_replaced(kind: Kind) {
    let (stack, visitors, posted) = talk(kind).await;
    for silent in [&[A][..], &[B], &BOTH] {
        for control in silent {
            stack.to_redis(*control).silence();
        }
        are_taken_soon(&visitors, &posted, &format!("Redis silent for {silent:?}")).await;
    }
}

#[apply(pair)]
async fn silent_connections_to_control_are_replaced(kind: Kind) {
    let (stack, visitors, posted) = talk(kind).await;
    for silent in [&[A][..], &[B], &BOTH] {
        for control in silent {
            stack.to_control(*control).silence();
        }
        are_taken_soon(&visitors, &posted, &format!("controls silent: {silent:?}")).await;
    }
}

#[apply(pair)]
async fn after_dropped_packets_messages_are_taken_again(kind: Kind) {
    let (stack, visitors, posted) = talk(kind).await;
    for dropped in [BOTH.map(|it| stack.to_redis(it)), BOTH.map(|it| stack.to_control(it))] {
        dropped.iter().for_each(|proxy| proxy.drop_packets());
        let (waiting, first) = (visitors.clone(), posted.clone());
        let taken = tokio::spawn(async move { are_taken(&waiting, &first).await });
        // Longer than a silent connection is kept while no second one can be opened.
        sleep(Duration::from_secs(8)).await;
        assert!(!taken.is_finished(), "nothing passes");
        dropped.iter().for_each(|proxy| proxy.resume());
        let begun = Instant::now();
        taken.await.expect("the messages are taken");
        let took = begun.elapsed();
        assert!(took < SOON, "it took {took:?}");
        are_taken_soon(&visitors, &posted, "packets pass").await;
    }
}

#[apply(pair)]
async fn an_agent_on_a_silent_connection_takes_turns_again(kind: Kind) {
    let (stack, visitors, posted) = talk(kind).await;
    let mut agent = stack.agent("acme", &[]).await;
    for _ in 0..2 {
        agent.turn().await.reply("before").await;
    }
    for silent in [&[A][..], &[B], &BOTH] {
        for control in silent {
            stack.to_control(*control).silence();
        }
        let begun = Instant::now();
        let message = json!({"content": "after", "conversation": posted.conversation});
        let after = visitors[0].say_until_taken(&random_id(), &message).await;
        agent.turn().await.reply("after").await;
        assert_eq!(visitors[1].end_of(&after.turn).await["status"], "done");
        let took = begun.elapsed();
        assert!(took < SOON, "controls silent: {silent:?}, it took {took:?}");
    }
}

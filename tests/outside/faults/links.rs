//! Dead connections, and killed gateways.

use super::Readers;
use arizuko_tests::prelude::*;

#[apply(on_redis)]
async fn a_wake_up_connection_that_goes_silent_is_replaced(kind: Kind) {
    // Without rechecks, only the connection's own heartbeat can notice it.
    let stack = Stack::behind_a_proxy(kind, &[("ARIZUKO_RECHECK", "300s")]).await;
    let link = stack.issue("acme").await;
    let posted = stack.visitor(&link, A).say("count").await;
    let readers = Readers::begin(&stack, &link, &posted, 4);
    let mut agent = stack.attach("acme", B).await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "one ")).await;
    stack.proxy().kill_subscribers();
    let begun = Instant::now();
    agent.append(&mut held, delta("m1", "two")).await;
    agent.finish(&held).await;
    readers.agree("one two").await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(15), "it took {took:?}");
}

#[apply(pair)]
async fn readers_of_a_killed_gateway_lose_nothing(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let posted = stack.visitor(&link, A).say("count").await;
    let readers = Readers::begin(&stack, &link, &posted, 6);
    let mut agent = stack.attach("acme", B).await;
    let mut held = agent.turn().await;
    let mut text = String::new();
    for (number, gateway) in [A, B, A].map(Gateway).into_iter().enumerate() {
        let word = format!("{number} ");
        agent.append(&mut held, delta("m1", &word)).await;
        stack.process(gateway).kill();
        agent.append(&mut held, delta("m1", &word)).await;
        text += &word.repeat(2);
        stack.restart(gateway).await;
    }
    agent.finish(&held).await;
    readers.agree(&text).await;
}

//! Dead connections, and killed gateways.

use super::Readers;
use arizuko_tests::prelude::*;
use futures_util::future::join_all;

#[apply(on_redis)]
async fn a_wake_up_connection_that_goes_silent_is_replaced(kind: Kind) {
    // Without rechecks, only the connection's own heartbeat can notice the silence.
    let stack = Stack::with_proxies(kind, &[("ARIZUKO_RECHECK", "300s")]).await;
    let link = stack.issue("acme").await;
    let posted = stack.visitor(&link, A).say("count").await;
    let readers = Readers::begin(&stack, &link, &posted, 4);
    let mut agent = stack.attach("acme", B).await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "one ")).await;
    for control in BOTH {
        stack.to_redis(control).silence_subscribers();
    }
    let begun = Instant::now();
    agent.append(&mut held, delta("m1", "two")).await;
    agent.finish(&held).await;
    readers.agree("one two").await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(15), "it took {took:?}");
}

#[apply(one_redis)]
async fn many_channels_are_subscribed_to_again_in_a_few_round_trips(kind: Kind) {
    const TENANTS: usize = 16;
    const STREAMS: usize = 12;
    let limits =
        ["ADDRESS_RATE", "ADDRESS_BURST", "LINK_RATE", "LINK_BURST", "STREAMS_PER_ADDRESS"];
    let limits = limits.map(|name| (format!("ARIZUKO_{name}"), "1000"));
    let mut settings = vec![("ARIZUKO_RECHECK", "300s")];
    settings.extend(limits.iter().map(|(name, limit)| (name.as_str(), *limit)));
    let stack = Stack::with_proxies(kind, &settings).await;
    let mut streams = Vec::new();
    for tenant in 0..TENANTS {
        let visitor = stack.visit(&format!("tenant-{tenant}")).await;
        for _ in 0..STREAMS {
            let posted = visitor.say("before").await;
            let mut stream = visitor.follow(&posted.conversation).await;
            stream.take(1).await;
            streams.push((visitor.clone(), posted, stream));
        }
    }
    let (visitor, posted, _) = &streams[0];
    let proxy = stack.to_redis(A);
    proxy.delay(Duration::from_millis(50));
    let before = proxy.round_trips_of_subscribers();
    proxy.silence_subscribers();
    // Meanwhile the subscriptions are made again. A new stream doesn't wait for them.
    let mut new = visitor.follow(&posted.conversation).await;
    new.take(1).await;
    let posting =
        streams.iter().map(|(visitor, posted, _)| visitor.say_in(&posted.conversation, "after"));
    join_all(posting).await;
    new.take(1).await;
    for (.., stream) in &mut streams {
        assert_eq!(names(&stream.take(1).await), ["user"]);
    }
    let took = proxy.round_trips_of_subscribers() - before;
    // Two of these round trips a second are heartbeats. Subscribing to one channel at a time would
    // take more than 100 round trips.
    assert!(took < 50, "{took} round trips");
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

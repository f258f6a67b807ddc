//! Clocks that disagree. Control uses the store's clock, so nobody notices.

use super::Readers;
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
    // Long enough for every lease to be renewed, or to end by a wrong clock.
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

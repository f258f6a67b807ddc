//! Receivers that fail, are away, are gone, or hang.

use super::{SETTINGS, Target, exchange};
use arizuko_tests::prelude::*;

#[apply(embedded_and_pair)]
async fn what_a_receiver_missed_comes_in_order_when_it_is_back(kind: Kind) {
    let stack = Stack::with(kind, &SETTINGS).await;
    let target = Target::subscribe(&stack, "acme", &[]).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let first = exchange(&visitor, &mut agent, None).await;
    target.fails(&stack, "the connection failed").await;
    let second = exchange(&visitor, &mut agent, Some(&first.conversation)).await;
    let third = exchange(&visitor, &mut agent, Some(&first.conversation)).await;
    let waiting = target.events(&stack, &[]).await;
    let attempts: Vec<_> = waiting.iter().map(|event| &event["attempts"]).collect();
    assert_eq!(attempts, [1, 0, 0], "only the first is tried");

    let mut receiver = target.listen(&stack, &["500"]).await;
    let mut seen = Vec::new();
    for expected in [&first, &first, &second, &third] {
        let event = receiver.next("turn.done").await;
        assert_eq!(event["data"]["turn_id"], public_id::turn(&expected.turn));
        seen.push(event["id"].clone());
    }
    assert_eq!(seen[0], seen[1], "a retry has the same id");
    until("nothing to wait", async || target.events(&stack, &[]).await.is_empty()).await;
}

#[apply(embedded_and_pair)]
async fn an_event_outlives_the_controls_that_wrote_it(kind: Kind) {
    let mut stack = Stack::with(kind, &SETTINGS).await;
    let target = Target::subscribe(&stack, "acme", &[]).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let tried = exchange(&visitor, &mut agent, None).await;
    target.fails(&stack, "the connection failed").await;
    let untried = exchange(&visitor, &mut agent, None).await;
    for control in BOTH {
        stack.kill(Control(control));
    }
    drop(agent);
    let mut receiver = target.listen(&stack, &[]).await;
    for control in BOTH {
        stack.restart(Control(control)).await;
    }
    let mut expected = [tried, untried].map(|posted| public_id::turn(&posted.turn));
    let mut seen = Vec::new();
    for _ in &expected {
        seen.push(receiver.next("turn.done").await["data"]["turn_id"].clone());
    }
    expected.sort();
    seen.sort_by_key(Value::to_string);
    assert_eq!(seen, expected);
}

#[apply(embedded)]
async fn what_cannot_be_delivered_is_parked_and_replayed(kind: Kind) {
    let settings = [&SETTINGS[..], &[("ARIZUKO_EVENT_RETRY_FOR", "1s")]].concat();
    let stack = Stack::with(kind, &settings).await;
    let target = Target::subscribe(&stack, "acme", &["--events", "turn.done"]).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let first = exchange(&visitor, &mut agent, None).await;
    let second = exchange(&visitor, &mut agent, Some(&first.conversation)).await;
    let parked = async || target.events(&stack, &["--parked"]).await;
    until("both to be parked", async || parked().await.len() == 2).await;
    assert!(target.events(&stack, &[]).await.is_empty());
    let ids: Vec<_> = parked().await.iter().map(|event| event["event_id"].clone()).collect();

    let mut receiver = target.listen(&stack, &[]).await;
    let id = ids[1].as_str().expect("an id");
    let told = stack.arizuko(&["event", "replay", &target.id, id]).await.expect(0).out;
    assert!(told.starts_with("1 event "), "{told}");
    let event = receiver.next("turn.done").await;
    assert_eq!(
        (&event["id"], &event["data"]["turn_id"]),
        (&ids[1], &json!(public_id::turn(&second.turn)))
    );
    let told = stack.arizuko(&["event", "replay", &target.id]).await.expect(0).out;
    assert!(told.starts_with("1 event "), "the other one is delivered: {told}");
    assert_eq!(receiver.next("turn.done").await["id"], ids[0]);
    until("nothing to be parked", async || parked().await.is_empty()).await;
    let audit = stack.arizuko(&["audit", "acme", "--json"]).await.expect(0).out;
    assert!(audit.contains("event.replay"), "{audit}");
}

#[apply(embedded)]
async fn a_receiver_that_is_gone_gets_nothing_until_it_is_resumed(kind: Kind) {
    let stack = Stack::with(kind, &SETTINGS).await;
    let target = Target::subscribe(&stack, "acme", &["--events", "turn.done"]).await;
    let mut receiver = target.listen(&stack, &["410"]).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    exchange(&visitor, &mut agent, None).await;
    let refused = receiver.next("turn.done").await;
    until("it to be parked", async || !target.events(&stack, &["--parked"]).await.is_empty()).await;
    exchange(&visitor, &mut agent, None).await;
    assert!(target.events(&stack, &[]).await.is_empty(), "nothing becomes an event meanwhile");
    let listed = stack.arizuko(&["event", "subscriptions"]).await.expect(0).out;
    assert!(listed.contains("paused"), "{listed}");
    let told = stack.arizuko(&["event", "replay", &target.id]).await.expect(1).err;
    assert!(told.contains("resume it first"), "{told}");

    stack.arizuko(&["event", "resume", &target.id]).await.expect(0);
    stack.arizuko(&["event", "replay", &target.id]).await.expect(0);
    assert_eq!(receiver.next("turn.done").await["id"], refused["id"]);
    let third = exchange(&visitor, &mut agent, None).await;
    let event = receiver.next("turn.done").await;
    assert_eq!(event["data"]["turn_id"], public_id::turn(&third.turn));
}

#[apply(embedded)]
async fn a_subscription_that_is_full_goes_on_once_there_is_room(kind: Kind) {
    let settings = [&SETTINGS[..], &[("ARIZUKO_SUBSCRIPTION_EVENTS", "2")]].concat();
    let stack = Stack::with(kind, &settings).await;
    let target = Target::subscribe(&stack, "acme", &["--events", "turn.done"]).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    for _ in 0..2 {
        exchange(&visitor, &mut agent, None).await;
    }
    let is_full = async || {
        let listed = stack.arizuko(&["event", "subscriptions", "--json"]).await.expect(0).json();
        !listed["subscriptions"][0]["full_since"].is_null()
    };
    until("it to be full", is_full).await;
    exchange(&visitor, &mut agent, None).await;
    assert_eq!(target.events(&stack, &[]).await.len(), 2, "what happens becomes no event");

    let mut receiver = target.listen(&stack, &[]).await;
    for _ in 0..2 {
        receiver.next("turn.done").await;
    }
    until("it to have room", async || !is_full().await).await;
    let posted = exchange(&visitor, &mut agent, None).await;
    let event = receiver.next("turn.done").await;
    assert_eq!(event["data"]["turn_id"], public_id::turn(&posted.turn));
}

#[apply(embedded)]
async fn a_receiver_that_hangs_holds_up_no_other(kind: Kind) {
    let settings = [&SETTINGS[..], &[("ARIZUKO_EVENT_TIMEOUT", "1h")]].concat();
    let stack = Stack::with(kind, &settings).await;
    let hanging = Target::subscribe(&stack, "slow", &["--events", "turn.done"]).await;
    let mut hangs = hanging.listen(&stack, &["hang"; 20]).await;
    let visitor = stack.visit("slow").await;
    let mut agent = stack.attach("slow", B).await;
    for _ in 0..20 {
        exchange(&visitor, &mut agent, None).await;
    }
    let quick = Target::subscribe(&stack, "acme", &["--events", "turn.done"]).await;
    let mut receiver = quick.listen(&stack, &[]).await;
    for _ in 0..4 {
        hangs.next("turn.done").await;
    }
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    for _ in 0..5 {
        exchange(&visitor, &mut agent, None).await;
        receiver.next("turn.done").await;
    }
    assert_eq!(hanging.events(&stack, &[]).await.len(), 20);
}

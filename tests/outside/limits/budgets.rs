//! Budgets of a day: a link never takes more turns, nor uses more model tokens, than its budgets.

use arizuko_proto::v1::{Finish, Usage, attach_request::Message};
use arizuko_tests::prelude::*;
use futures_util::{StreamExt as _, stream};
use std::{collections::HashSet, time::SystemTime};

/// Lets one address post as much as a test wants.
const OPEN: [(&str, &str); 6] = [
    ("ARIZUKO_ADDRESS_RATE", "100000"),
    ("ARIZUKO_LINK_RATE", "100000"),
    ("ARIZUKO_ADDRESS_TURNS", "10000"),
    ("ARIZUKO_LINK_TURNS", "10000"),
    ("ARIZUKO_ADDRESS_REQUESTS", "100000"),
    ("ARIZUKO_TRUSTED_PROXY", "127.0.0.0/8"),
];

/// Returns how many seconds of the UTC day are left. Waits for the next day if they are few, so
/// that no test runs past midnight.
pub(crate) async fn left_of_the_day() -> u64 {
    loop {
        let now =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
        match 86_400 - now.as_secs() % 86_400 {
            few @ ..60 => sleep(Duration::from_secs(few)).await,
            left => return left,
        }
    }
}

/// Issues a chat link, and gives it these limits.
async fn link(stack: &Stack, limits: &[&str]) -> Link {
    let link = stack.issue("acme").await;
    stack.arizuko(&[&["token", "edit", &link.url], limits].concat()).await.expect(0);
    link
}

#[apply(embedded_and_pair)]
async fn a_thousand_messages_at_once_spend_a_budget_of_a_hundred_exactly(kind: Kind) {
    let stack = Stack::with(kind, &OPEN).await;
    let left = left_of_the_day().await;
    let link = link(&stack, &["--max-turns-per-day", "100"]).await;
    let visitors = stack.visitors(&link);
    let message = json!({"content": "x"});
    let posts = (0..1_000).map(|number| visitors[number % 2].post_json(&message));
    let answers: Vec<_> = stream::iter(posts).buffer_unordered(300).collect().await;
    let (taken, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 202);
    assert_eq!((taken.len(), refused.len()), (100, 900));
    for answer in refused {
        let answer = answer.refused(429, "BUDGET_SPENT");
        assert!((left - 60..=left).contains(&answer.retry_after()), "{}", answer.retry_after());
    }
    // The change applies from the next message on.
    stack.arizuko(&["token", "edit", &link.url, "--max-turns-per-day", "101"]).await.expect(0);
    visitors[0].say("one more").await;
    visitors[1].post_json(&json!({"content": "x"})).await.refused(429, "BUDGET_SPENT");
}

/// How many messages are posted around a failover, and how many at the same time.
const POSTS: usize = 400;
const AT_ONCE: usize = 50;

#[apply(cluster)]
async fn a_failover_overshoots_no_budget_and_wastes_none(kind: Kind) {
    let settings = [&OPEN[..], &[("ARIZUKO_DURABILITY", "replica")]].concat();
    let mut stack = Stack::with(kind, &settings).await;
    left_of_the_day().await;
    let link = link(&stack, &["--max-turns-per-day", "100"]).await;
    let visitors = stack.visitors(&link);
    let first = visitors[0].say("x").await;
    let primary = stack.fleet().primary_of(&format!("log:{}", first.conversation)).await;
    let replica = stack.fleet().replicas_of(primary).await[0];
    let (visitors, message) = (&visitors, &json!({"content": "x"}));
    let posts = (0..POSTS).map(|number| async move {
        visitors[number % 2].say_until_answered(&random_id(), message).await
    });
    let mut answers = stream::iter(posts).buffer_unordered(AT_ONCE);
    let mut turns = HashSet::from([first.turn]);
    for answer in answers.by_ref().take(40).collect::<Vec<_>>().await {
        turns.insert(answer.posted().turn);
    }
    // With those under way, at most 91 have been sent: a part of the budget is left.
    stack.fleet().kill(primary);
    let fleet = stack.fleet();
    let recovery = async {
        fleet.promoted(replica).await;
        // Without a replica nothing would be acknowledged, so the lost primary comes back as one.
        fleet.restart(primary).await;
    };
    let (rest, ()) = tokio::join!(answers.collect::<Vec<_>>(), recovery);
    for answer in rest {
        match answer.status.as_u16() {
            202 => assert!(turns.insert(answer.posted().turn), "each message is a turn of its own"),
            _ => drop(answer.refused(429, "BUDGET_SPENT")),
        }
    }
    assert_eq!(turns.len(), 100);
    for turn in turns {
        visitors[1].get(&format!("{turn}/status")).await.expect(200);
    }
}

#[apply(embedded)]
async fn each_visitor_has_a_budget_and_each_day_a_new_one(kind: Kind) {
    left_of_the_day().await;
    let mut stack = Stack::with_loose_clocks(kind, &OPEN).await;
    let link = link(&stack, &["--max-visitor-turns-per-day", "2"]).await;
    for clock in ["+0s", "+86400s"] {
        stack.set_clocks(clock);
        stack.restart(Control(A)).await;
        let visitor = stack.visitor(&link, A);
        let say = async |address: &str| {
            let request = visitor.request(Method::POST, "").header("x-forwarded-for", address);
            send(request.json(&json!({"content": "x"}))).await
        };
        for address in ["192.0.2.1", "192.0.2.2"] {
            for _ in 0..2 {
                say(address).await.posted();
            }
            let told = say(address).await.refused(429, "BUDGET_SPENT").text();
            assert!(told.contains("from one visitor"), "{told}");
        }
    }
}

#[apply(embedded_and_one_redis)]
async fn a_budget_of_tokens_reserves_before_and_settles_after(kind: Kind) {
    let stack = Stack::with(kind, &OPEN).await;
    left_of_the_day().await;
    let link = link(&stack, &["--budget-tokens", "10k/day"]).await;
    let visitor = stack.visitor(&link, A);
    let is_spent = async || {
        visitor.post_json(&json!({"content": "x"})).await.refused(429, "BUDGET_SPENT");
    };
    let mut agent = stack.attach("acme", A).await;
    visitor.say("one").await;
    let held = agent.turn().await;
    let two = visitor.say("two").await;
    // 4,000 tokens are reserved for each of the two turns.
    is_spent().await;
    let usage = Some(Usage { input_tokens: 1_000, output_tokens: 500 });
    let Message::Finish(finish) = held.finish() else { panic!("a Finish") };
    agent.say(Message::Finish(Finish { usage, ..finish })).await;
    visitor.end_of(&held.turn.turn_id).await;
    let unreported = agent.turn().await;
    // Now 1,500 have been used, and 4,000 are reserved.
    let three = visitor.say("three").await;
    is_spent().await;
    agent.finish(&unreported).await;
    visitor.end_of(&two.turn).await;
    // If an agent reports nothing, what was reserved counts as used.
    is_spent().await;
    let held = agent.turn().await;
    let Message::Finish(finish) = held.finish() else { panic!("a Finish") };
    agent.say(Message::Finish(Finish { usage: Some(Usage::default()), ..finish })).await;
    visitor.end_of(&three.turn).await;
    agent.leave().await;
    let four = visitor.say("four").await;
    is_spent().await;
    // No agent has had this turn, so nothing counts once it is cancelled.
    visitor.cancel(&four.turn).await;
    visitor.say("five").await;
}

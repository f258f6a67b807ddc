//! A Redis that is far away.

use arizuko_tests::prelude::*;
use tonic::Code;

/// How soon a message must be answered. docs/guarantees.md promises 2.5 s; the rest allows for a
/// busy machine.
const SOON: Duration = Duration::from_secs(4);

fn delay(stack: &Stack, delay: Duration) {
    BOTH.iter().for_each(|control| stack.to_redis(*control).delay(delay));
}

#[apply(pair)]
async fn a_store_a_second_and_a_half_away_takes_messages(kind: Kind) {
    let stack = Stack::with_proxies(kind, &[]).await;
    let [here, there] = stack.visit_both("acme").await;
    delay(&stack, Duration::from_millis(1_500));
    let posted = here.say("far").await;
    delay(&stack, Duration::ZERO);
    // What is on its way to the store still comes late, so control may ask the agent to come again.
    let mut attached = None;
    until("control to take the agent", async || {
        match Session::try_open(stack.operator(A).await, hello("acme", 100)).await {
            Ok(agent) => attached = Some(agent),
            Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
        }
        attached.is_some()
    })
    .await;
    attached.expect("it is attached").answer_next("away").await;
    assert_eq!(there.end_of(&posted.turn).await["status"], "done");
}

#[apply(pair)]
async fn a_store_too_far_away_is_told_soon(kind: Kind) {
    let limits = [("ARIZUKO_ADDRESS_RATE", "1000"), ("ARIZUKO_CONVERSATION_TURNS", "1000")];
    let stack = Stack::with_proxies(kind, &limits).await;
    let visitors = stack.visit_both("acme").await;
    let posted = visitors[0].say("near").await;
    let message = json!({"content": "far", "conversation": posted.conversation});
    visitors[1].say_in(&posted.conversation, "near").await;
    delay(&stack, Duration::from_millis(2_400));
    for attempt in 0..6 {
        let begun = Instant::now();
        let answer = visitors[attempt % 2].say_once(&random_id(), &message).await;
        let took = begun.elapsed();
        assert!(took < SOON, "it took {took:?}");
        assert!([503, 504].contains(&answer.status.as_u16()), "{}", answer.text());
    }
    delay(&stack, Duration::ZERO);
    visitors[0].say_until_taken(&random_id(), &message).await;
}

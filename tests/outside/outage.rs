//! Redis or control out of reach: nothing is pretended, and when they are back all goes on.

use arizuko_tests::{
    Kind, Stack,
    attach::delta,
    http::{Visitor, send},
    on, on_redis,
    sse::{Cursor, names, read_to_the_end, transcript},
    within,
};
use http::Method;
use serde_json::json;
use std::time::{Duration, Instant};

on_redis![
    without_redis_nothing_is_taken_and_streams_ask_to_come_back,
    a_redis_that_hangs_leaves_nobody_waiting_and_nothing_in_doubt_for_ever,
    a_redis_that_was_away_for_a_moment_costs_a_reply_nothing,
];
on![without_control, OneRedis; without_control_a_gateway_says_so_and_recovers];
on![one_of_two, Pair;
    one_control_of_two_is_enough,
    one_gateway_knows_at_once_what_was_done_at_the_other,
];

const KEY: &str = "a-key-that-nobody-can-guess";

/// Makes sure that a stream says when to come back, and ends.
async fn asks_to_come_back(visitor: &Visitor, path: &str) {
    let mut events = visitor.open(path, Cursor::Start).await.ok();
    assert_eq!(names(&events.rest().await), [""; 0]);
    assert!(
        events
            .retry
            .is_some_and(|retry| (2_000..=10_000).contains(&retry)),
        "{:?}",
        events.retry
    );
}

/// Waits until all is well again.
async fn is_back(visitor: &Visitor) {
    within("the system to recover", async {
        while visitor.get("config").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

async fn without_redis_nothing_is_taken_and_streams_ask_to_come_back(kind: Kind) {
    let mut stack = Stack::start(kind).await;
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, 0);
    let posted = visitor.say("before").await;
    stack.redis().expect("this stack has one").kill();
    for path in [
        "",
        "config",
        &posted.turn,
        &format!("{}/status", posted.turn),
        &format!("c/{}", posted.conversation),
    ] {
        assert!(
            visitor
                .get(path)
                .await
                .refused(503, "UNAVAILABLE")
                .retry_after()
                >= 1,
            "{path}"
        );
    }
    let message = json!({"content": "during"});
    let begun = Instant::now();
    let answer = visitor.say_once(KEY, &message).await;
    assert!(
        [503, 504].contains(&answer.status.as_u16()),
        "{}",
        answer.text()
    );
    assert!(answer.retry_after() >= 1);
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "after {:?}",
        begun.elapsed()
    );
    let page = send(
        visitor
            .request(Method::GET, "")
            .header("accept", "text/html"),
    )
    .await
    .expect(503);
    assert!(page.text().contains("<h1>"), "{}", page.text());
    asks_to_come_back(&visitor, &format!("{}/sse", posted.turn)).await;
    asks_to_come_back(&visitor, &format!("c/{}/sse", posted.conversation)).await;

    stack.redis().expect("this stack has one").restart().await;
    is_back(&visitor).await;
    let after = visitor.say_once(KEY, &message).await.posted();
    assert_eq!(visitor.say_once(KEY, &message).await.posted(), after);
    let mut agent = stack.attach("acme", 1).await;
    for turn in [&posted.turn, &after.turn] {
        let held = agent.turn().await;
        assert_eq!(&held.turn.turn_id, turn);
        agent.answer(held, "hello").await;
    }
}

async fn a_redis_that_hangs_leaves_nobody_waiting_and_nothing_in_doubt_for_ever(kind: Kind) {
    let mut stack = Stack::start(kind).await;
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, 0);
    visitor.get("config").await.expect(200);
    stack.redis().expect("this stack has one").freeze();
    let message = json!({"content": "during"});
    let begun = Instant::now();
    let answer = visitor.say_once(KEY, &message).await;
    assert!(
        [503, 504].contains(&answer.status.as_u16()),
        "{}",
        answer.text()
    );
    if answer.status == 504 {
        answer.clone().refused(504, "OUTCOME_UNKNOWN");
    }
    assert!(answer.retry_after() >= 1);
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "after {:?}",
        begun.elapsed()
    );
    stack.redis().expect("this stack has one").thaw();
    is_back(&visitor).await;
    // Whether it was done or not: repeated with its key it is one turn, and the agent gets it once.
    let turn = within("the repeat to be taken", async {
        loop {
            let answer = visitor.say_once(KEY, &message).await;
            if answer.status == 202 {
                return answer.posted().turn;
            }
        }
    })
    .await;
    let mut agent = stack.attach("acme", 1).await;
    let held = agent.turn().await;
    assert_eq!(held.turn.turn_id, turn);
    agent.answer(held, "once").await;
    let next = visitor.say("next").await;
    assert_eq!(
        agent.offered().await.turn_id,
        next.turn,
        "and not the same message again"
    );
}

async fn a_redis_that_was_away_for_a_moment_costs_a_reply_nothing(kind: Kind) {
    let mut stack = Stack::start(kind).await;
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, 0);
    let mut agent = stack.agent("acme", &[]).await;
    let posted = visitor.say("hello").await;
    let mut program = agent.turn().await;
    program.print("one ").await;
    visitor.listen(&posted.turn).await.take(1).await;
    let reader = stack.visitor(&link, 1);
    let reading = tokio::spawn({
        let turn = posted.turn.clone();
        async move { read_to_the_end(&reader, &turn).await }
    });
    for word in ["two ", "three "] {
        stack.redis().expect("this stack has one").kill();
        program.print(word).await;
        stack.redis().expect("this stack has one").restart().await;
    }
    program.print("end").await;
    program.exit(0).await;
    let seen = reading.await.expect("it does not panic");
    assert_eq!(transcript(&seen)[0].1, "one two three end");
    let names = names(&seen);
    assert_eq!(
        names.iter().filter(|name| **name == "turn_done").count(),
        1,
        "{names:?}"
    );
    assert!(
        !names.contains(&"reset") && !names.contains(&"restart"),
        "{names:?}"
    );
}

async fn without_control_a_gateway_says_so_and_recovers(kind: Kind) {
    let mut stack = Stack::start(kind).await;
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, 0);
    let posted = visitor.say("before").await;
    let mut open = visitor.listen(&posted.turn).await;
    open.greeting().await;
    stack.kill_control(0);
    assert_eq!(
        names(&open.rest().await),
        [""; 0],
        "an open stream ends, to be resumed"
    );
    let answer = visitor
        .post_json(&json!({"content": "during"}))
        .await
        .refused(503, "UNAVAILABLE");
    assert!(answer.retry_after() >= 1);
    asks_to_come_back(&visitor, &format!("{}/sse", posted.turn)).await;
    let gateway = stack.at(0, "");
    gateway.get("/healthz").await.expect(200);
    gateway.get("/readyz").await.expect(503);
    stack.restart_control(0).await;
    is_back(&visitor).await;
    gateway.get("/readyz").await.expect(200);
    let mut agent = stack.attach("acme", 0).await;
    let held = agent.turn().await;
    agent.answer(held, "hello").await;
    assert_eq!(
        names(&visitor.listen(&posted.turn).await.rest().await),
        ["message", "turn_done"]
    );
}

async fn one_control_of_two_is_enough(kind: Kind) {
    let mut stack = Stack::with(
        kind,
        &[
            ("ARIZUKO_ADDRESS_RATE", "1000"),
            ("ARIZUKO_LINK_TURNS", "1000"),
        ],
    )
    .await;
    let link = stack.issue("acme").await;
    let visitors = [stack.visitor(&link, 0), stack.visitor(&link, 1)];
    let before = visitors[0].say("before").await;
    for dead in [0, 1] {
        stack.kill_control(dead);
        for round in 0..10 {
            let visitor = &visitors[round % 2];
            let posted = visitor.say(&format!("{dead} {round}")).await;
            visitor.get(&posted.turn).await.expect(200);
            visitor
                .get(&format!("c/{}", before.conversation))
                .await
                .expect(200);
            let mut events = visitor.follow(&posted.conversation).await;
            assert_eq!(names(&events.take(1).await), ["user"]);
        }
        stack.restart_control(dead).await;
    }
    // The agent's control dies; it goes on at the other.
    let mut agent = stack.agent("acme", &[]).await;
    let mut program = agent.turn().await;
    program.print("one ").await;
    stack.kill_control(1);
    program.print("two").await;
    program.exit(0).await;
    assert_eq!(visitors[0].end_of(&before.turn).await["status"], "done");
    let seen = visitors[1].listen(&before.turn).await.rest().await;
    assert_eq!(transcript(&seen)[0].1, "one two");
}

async fn one_gateway_knows_at_once_what_was_done_at_the_other(kind: Kind) {
    let stack = Stack::with(
        kind,
        &[
            ("ARIZUKO_ADDRESS_RATE", "1000"),
            ("ARIZUKO_LINK_RATE", "1000"),
            ("ARIZUKO_LINK_TURNS", "1000"),
        ],
    )
    .await;
    let link = stack.issue("acme").await;
    let (here, there) = (stack.visitor(&link, 0), stack.visitor(&link, 1));
    let mut agent = stack.attach("acme", 0).await;
    for round in 0..10 {
        let posted = here.say(&round.to_string()).await;
        there.get(&posted.turn).await.expect(200);
        let mut held = agent.turn().await;
        agent.append(&mut held, delta("m1", "x")).await;
        assert_eq!(there.get(&posted.turn).await.expect(200).json()["n"], 1);
        assert_eq!(here.get(&posted.turn).await.expect(200).json()["n"], 1);
        there
            .post_to(&format!("{}/cancel", posted.turn))
            .await
            .expect(200);
        assert_eq!(
            here.get(&posted.turn).await.expect(200).json()["status"],
            "cancelled"
        );
        here.delete(&format!("c/{}", posted.conversation))
            .await
            .expect(204);
        there.get(&posted.turn).await.refused(404, "NOT_FOUND");
    }
}

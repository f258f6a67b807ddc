//! Redis is unreachable, or does not answer.

use super::{asks_to_come_back, is_back};
use arizuko_tests::prelude::*;

const KEY: &str = "a-key-that-nobody-can-guess";

#[apply(on_redis)]
async fn without_redis_messages_are_refused_and_streams_ask_to_come_back(mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("before").await;
    stack.redis().kill();
    for path in [
        "",
        "config",
        &posted.turn,
        &format!("{}/status", posted.turn),
        &format!("c/{}", posted.conversation),
    ] {
        assert!(visitor.get(path).await.refused(503, "UNAVAILABLE").retry_after() >= 1, "{path}");
    }
    let message = json!({"content": "during"});
    let begun = Instant::now();
    let answer = visitor.say_once(KEY, &message).await;
    assert!([503, 504].contains(&answer.status.as_u16()), "{}", answer.text());
    assert!(answer.retry_after() >= 1);
    assert!(begun.elapsed() < Duration::from_secs(12), "after {:?}", begun.elapsed());
    let page =
        send(visitor.request(Method::GET, "").header("accept", "text/html")).await.expect(503);
    assert!(page.text().contains("<h1>"), "{}", page.text());
    asks_to_come_back(&visitor, &format!("{}/sse", posted.turn)).await;
    asks_to_come_back(&visitor, &format!("c/{}/sse", posted.conversation)).await;

    stack.redis().restart().await;
    is_back(&visitor).await;
    let after = visitor.say_once(KEY, &message).await.posted();
    assert_eq!(visitor.say_once(KEY, &message).await.posted(), after);
    let mut agent = stack.agent("acme", &[]).await;
    for turn in [&posted.turn, &after.turn] {
        let program = agent.turn().await;
        assert_eq!(program.environment["ARIZUKO_TURN"], turn.as_str());
        program.exit(0).await;
        assert_eq!(visitor.end_of(turn).await["status"], "done");
    }
}

#[apply(on_redis)]
async fn while_redis_hangs_requests_end_and_a_repeat_settles_the_outcome(mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    visitor.get("config").await.expect(200);
    stack.redis().freeze();
    let message = json!({"content": "during"});
    let begun = Instant::now();
    let answer = visitor.say_once(KEY, &message).await;
    assert!([503, 504].contains(&answer.status.as_u16()), "{}", answer.text());
    if answer.status == 504 {
        answer.clone().refused(504, "OUTCOME_UNKNOWN");
    }
    assert!(answer.retry_after() >= 1);
    assert!(begun.elapsed() < Duration::from_secs(15), "after {:?}", begun.elapsed());
    stack.redis().thaw();
    is_back(&visitor).await;
    // Whether or not the message was taken, a repeat with its key leaves one turn, which the agent
    // gets once.
    let turn = visitor.say_until_taken(KEY, &message).await.turn;
    let mut agent = stack.agent("acme", &[]).await;
    let program = agent.turn().await;
    assert_eq!(program.environment["ARIZUKO_TURN"], turn.as_str());
    program.exit(0).await;
    let next = visitor.say("next").await;
    let program = agent.turn().await;
    let turn = program.environment["ARIZUKO_TURN"].as_str();
    assert_eq!(
        turn,
        Some(next.turn.as_str()),
        "the agent gets the next message, not the same one again"
    );
}

#[apply(on_redis)]
async fn short_outages_of_redis_cost_a_reply_nothing(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let mut agent = stack.agent("acme", &[]).await;
    let posted = visitor.say("hello").await;
    let mut program = agent.turn().await;
    program.print("one ").await;
    visitor.listen(&posted.turn).await.take(1).await;
    let reading = stack.visitor(&link, B).read_meanwhile(&posted.turn);
    for word in ["two ", "three "] {
        stack.redis().kill();
        program.print(word).await;
        stack.redis().restart().await;
    }
    program.reply("end").await;
    let seen = reading.await.expect("it does not panic");
    assert_eq!(transcript(&seen)[0].1, "one two three end");
    let names = names(&seen);
    assert_eq!(names.iter().filter(|name| **name == "turn_done").count(), 1, "{names:?}");
    assert!(!names.contains(&"reset") && !names.contains(&"restart"), "{names:?}");
}

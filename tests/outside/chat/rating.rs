//! What visitors think of replies.

use super::history::history;
use arizuko_tests::{http::Answer, prelude::*};

async fn rate(visitor: &Visitor, turn: &str, document: Value) -> Answer {
    send(visitor.request(Method::PUT, &format!("{turn}/rating")).json(&document)).await
}

/// Makes a conversation with one answered turn.
async fn answered(stack: &Stack) -> ([Visitor; 2], Posted) {
    let visitors = stack.visit_both("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let posted = visitors[0].say("hello").await;
    agent.answer_next("ok").await;
    visitors[0].end_of(&posted.turn).await;
    (visitors, posted)
}

async fn thumbs(stack: &Stack) -> (Value, Value) {
    let stats = stack.arizuko(&["token", "stats", "web:acme", "--json"]).await.expect(0).out;
    let stats: Value = serde_json::from_str(&stats).expect("JSON");
    let today = stats["days"].as_array().expect("days").last().expect("today").clone();
    (today["thumbs_up"].clone(), today["thumbs_down"].clone())
}

#[apply(every_stack)]
async fn a_rating_is_in_the_history_the_stream_and_the_stats(stack: Stack) {
    let ([here, there], posted) = answered(&stack).await;
    let mut stream = there.follow(&posted.conversation).await;
    let rated = rate(&here, &posted.turn, json!({"rating": "down", "comment": "too short"})).await;
    let expected = json!({"turn_id": posted.turn, "rating": "down"});
    assert_eq!(rated.expect(200).json(), expected);
    assert_eq!(stream.through("rated").await.pop().expect("a frame").data, expected);
    let of = async || history(&there, &posted.conversation, "").await["turns"][0]["rating"].clone();
    assert_eq!(of().await, "down");
    assert_eq!(thumbs(&stack).await, (json!(0), json!(1)));
    let shown = stack.arizuko(&["turn", "show", &posted.turn]).await.expect(0).out;
    assert!(shown.contains("thumb down: too short\n"), "{shown}");

    // The rating doesn't show in the turn's own stream.
    assert_eq!(names(&there.read(&posted.turn).await), ["message", "turn_done"]);
    rate(&there, &posted.turn, json!({"rating": "up"})).await.expect(200);
    assert_eq!(of().await, "up");
    assert_eq!(thumbs(&stack).await, (json!(1), json!(0)));
    let shown = stack.arizuko(&["turn", "show", &posted.turn]).await.expect(0).out;
    assert!(shown.contains("thumb up\n"), "{shown}");
    rate(&here, &posted.turn, json!({"rating": null})).await.expect(200);
    assert_eq!(of().await, Value::Null);
    assert_eq!(thumbs(&stack).await, (json!(0), json!(0)));
    let end = stream.through("rated").await.pop().expect("a frame");
    assert_eq!(end.data["rating"], "up");
    assert_eq!(stream.through("rated").await.pop().expect("a frame").data["rating"], Value::Null);

    // A message may replace the rated one.
    let next = json!({
        "content": "again",
        "conversation": posted.conversation,
        "supersedes": posted.turn,
    });
    here.post_json(&next).await.expect(202);
}

#[apply(every_stack)]
async fn a_rating_is_bounded(stack: Stack) {
    let ([here, there], posted) = answered(&stack).await;
    let turn = &posted.turn;
    rate(&here, turn, json!({"rating": "good"})).await.refused(400, "INVALID");
    // Only null takes a rating back.
    rate(&here, turn, json!({"comment": "why"})).await.refused(400, "INVALID");
    rate(&here, turn, json!({"rating": "up", "comment": "x".repeat(1_001)}))
        .await
        .refused(400, "INVALID");
    let long = json!({"rating": "up", "comment": "é".repeat(1_000)});
    rate(&here, turn, long).await.expect(200);
    // A repeat changes nothing.
    rate(&there, turn, json!({"rating": "up"})).await.expect(200);
    for change in 1..20 {
        let thumb = if change % 2 == 0 { "up" } else { "down" };
        rate(&there, turn, json!({"rating": thumb})).await.expect(200);
    }
    rate(&here, turn, json!({"rating": null})).await.refused(429, "LIMIT_REACHED");
    assert_eq!(thumbs(&stack).await, (json!(0), json!(1)));

    rate(&here, &"A".repeat(22), json!({"rating": "up"})).await.refused(404, "NOT_FOUND");
    let other = stack.visit("other").await;
    rate(&other, turn, json!({"rating": "up"})).await.refused(404, "NOT_FOUND");
    let open = here.say("more").await;
    rate(&here, &open.turn, json!({"rating": "up"})).await.refused(400, "INVALID");
}

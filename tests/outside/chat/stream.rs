//! GET `…/sse`: a reply while the agent makes it.

use arizuko_tests::prelude::*;

#[apply(every_stack)]
async fn a_reply_streams_frame_by_frame(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let posted = visitor.say("hello").await;
    let mut events = visitor.listen(&posted.turn).await;
    events.greeting().await;
    assert_eq!(events.retry, Some(2000));
    assert!(!events.comments.is_empty(), "the first bytes have a comment");

    let mut held = agent.turn().await;
    for (n, text) in (1..).zip(["one ", "two ", "three"]) {
        agent.append(&mut held, delta("m1", text)).await;
        let event = events.next().await.expect("the frame that was just stored");
        assert_eq!(event.name, "delta");
        assert_eq!(event.data["n"], n);
        assert_eq!(event.data["text"], text);
        assert_eq!(event.data["turn_id"], posted.turn.as_str());
    }
    agent.append(&mut held, message("m1", "one two three")).await;
    agent.finish(&held).await;
    let last = events.rest().await;
    assert_eq!(names(&last), ["message", "turn_done"]);
    assert_eq!(last[0].data["content"], "one two three");
    assert_eq!(last[0].data["author"], "assistant");
    assert!(last[0].data["created_at"].as_str().is_some_and(|at| at.ends_with('Z')));
    assert_eq!(last[1].data["status"], "done");
    assert_eq!(last[1].data.get("error"), None);
    for event in &last {
        let id = event.id.as_deref().unwrap_or_default();
        let (seq, tag) = id.split_once('-').unwrap_or_default();
        assert!(seq.parse::<u64>().is_ok() && tag.len() == 8, "{id}");
    }
}

#[apply(every_stack)]
async fn the_conversations_stream_has_every_turn(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let first = here.say("one").await;
    let mut events = there.follow(&first.conversation).await;
    agent.answer_next("1").await;
    let second = here.say_in(&first.conversation, "two").await;
    agent.answer_next("2").await;
    let seen = events.take(6).await;
    assert_eq!(names(&seen), ["user", "message", "turn_done", "user", "message", "turn_done"]);
    let turns: Vec<_> = seen.iter().map(|event| event.data["turn_id"].clone()).collect();
    let (one, two) = (json!(first.turn), json!(second.turn));
    assert_eq!(turns, [one.clone(), one.clone(), one, two.clone(), two.clone(), two]);
    assert_fields(&seen[0].data, json!({"content": "one", "author": "user"}));
    assert_eq!((&seen[3].data["content"], &seen[4].data["content"]), (&json!("two"), &json!("2")));
}

#[apply(every_stack)]
async fn a_disconnect_cancels_nothing(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let inline = visitor.stream_of(&json!({"content": "hello"})).await;
    let turn = inline.headers["arizuko-turn"].to_str().map(str::to_owned).unwrap_or_default();
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "one")).await;
    drop(inline);
    let mut events = visitor.listen(&turn).await;
    events.take(1).await;
    drop(events);
    agent.append(&mut held, delta("m1", " two")).await;
    agent.finish(&held).await;
    assert_eq!(visitor.end_of(&turn).await["status"], "done");
    let seen = visitor.read(&turn).await;
    assert_eq!(transcript(&seen)[0].1, "one two");
}

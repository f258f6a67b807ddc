//! GET `/chat/{token}/{turn}`: a turn's snapshot and status.

use arizuko_tests::prelude::*;

#[apply(every_stack)]
async fn a_snapshot_shows_the_reply_so_far(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let posted = here.say("hello").await;
    let snapshot = there.json(&posted.turn).await;
    assert_eq!(snapshot["turn_id"], posted.turn.as_str());
    assert_eq!(snapshot["conversation"], posted.conversation.as_str());
    assert_eq!(snapshot["status"], "queued");
    assert_eq!(snapshot["user"]["content"], "hello");
    assert_fields(&snapshot, json!({"n": 0, "attempt": 0}));
    assert_eq!(snapshot["assistant"], json!([]));
    assert_eq!(snapshot["agent_attached"], false);
    for absent in ["status_text", "error", "ended_at", "frames"] {
        assert_eq!(snapshot.get(absent), None, "{snapshot}");
    }

    let mut agent = stack.attach("acme", B).await;
    let mut held = agent.turn().await;
    agent.append(&mut held, status("Thinking")).await;
    agent.append(&mut held, delta("m1", "Hel")).await;
    agent.append(&mut held, delta("m1", "lo")).await;
    let snapshot = there.json(&posted.turn).await;
    assert_eq!(snapshot["status"], "running");
    assert_fields(&snapshot, json!({"n": 3, "attempt": 1}));
    assert_eq!(snapshot["status_text"], "Thinking");
    assert_eq!(snapshot["assistant"][0]["content"], "Hello");
    assert_eq!(snapshot["agent_attached"], true);

    agent.append(&mut held, message("m1", "Hello!")).await;
    agent.finish(&held).await;
    let snapshot = there.json(&posted.turn).await;
    assert_fields(&snapshot, json!({"status": "done", "n": 5}));
    assert_eq!(snapshot["assistant"][0]["content"], "Hello!");
    assert_eq!(snapshot["assistant"].as_array().map(Vec::len), Some(1));
    assert!(snapshot["ended_at"].is_string());
    assert_eq!(snapshot.get("status_text"), None);
}

#[apply(every_stack)]
async fn a_snapshot_lists_the_frames_after_a_number(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let mut agent = stack.attach("acme", B).await;
    let mut held = agent.turn().await;
    for text in ["a", "b", "c", "d"] {
        agent.append(&mut held, delta("m1", text)).await;
    }
    agent.finish(&held).await;
    let streamed = visitor.read(&posted.turn).await;
    for after in 0..=6_usize {
        let path = format!("{}?after={after}", posted.turn);
        let snapshot = visitor.json(&path).await;
        let frames = snapshot["frames"].as_array().cloned().unwrap_or_default();
        let shown = streamed
            .iter()
            .skip(after)
            .map(|event| json!({"id": event.id, "event": event.name, "data": event.data}));
        assert_eq!(frames, shown.collect::<Vec<_>>(), "after {after}");
    }
    for nonsense in ["x", "-1", "99999999999999999999"] {
        visitor.get(&format!("{}?after={nonsense}", posted.turn)).await.refused(400, "INVALID");
    }
}

#[apply(every_stack)]
async fn a_snapshot_and_its_stream_can_have_html(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let mut agent = stack.attach("acme", B).await;
    let held = agent.turn().await;
    agent.answer(held, "**bold** <img src=x onerror=alert(1)> [x](javascript:alert(1))").await;
    let snapshot = visitor.json(&format!("{}?html=1", posted.turn)).await;
    assert_eq!(snapshot["assistant"][0].get("content"), None, "it is rendered or text");
    let blocks = snapshot["assistant"][0]["html"].as_array().expect("the blocks");
    let html: String = blocks.iter().filter_map(Value::as_str).collect();
    assert!(html.contains("<strong>bold</strong>"), "{html}");
    assert!(!html.contains("<img") && !html.contains("href=\"javascript"), "{html}");
    let plain = visitor.json(&posted.turn).await;
    assert_eq!(plain["assistant"][0].get("html"), None);

    let path = format!("{}/sse?html=1", posted.turn);
    let events = visitor.open(&path, Cursor::Start).await.ok().rest().await;
    let (derived, numbered): (Vec<_>, Vec<_>) = events.into_iter().partition(|e| e.name == "html");
    assert_eq!(numbered, visitor.read(&posted.turn).await);
    assert!(derived.iter().all(|event| event.id.is_none()), "{derived:?}");
    assert_eq!(rendered(&derived)[0].1, html);
}

#[apply(every_stack)]
async fn status_has_the_counts_and_waits_for_the_end(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let posted = here.say("hello").await;
    let path = format!("{}/status", posted.turn);
    let standing = there.json(&path).await;
    let expected = json!({
        "turn_id": posted.turn, "conversation": posted.conversation, "status": "queued",
        "n": 0, "attempt": 0, "agent_attached": false,
    });
    assert_eq!(standing, expected);

    let begun = Instant::now();
    let standing = there.json(&format!("{path}?wait=1")).await;
    assert_eq!(standing["status"], "queued");
    assert!(begun.elapsed() >= Duration::from_millis(900), "it waited {:?}", begun.elapsed());

    let mut agent = stack.attach("acme", A).await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "x")).await;
    let begun = Instant::now();
    let waiting = there.end_of(&posted.turn);
    let ending = async {
        // The turn ends during the wait.
        sleep(Duration::from_millis(300)).await;
        agent.finish(&held).await;
    };
    let (standing, ()) = tokio::join!(waiting, ending);
    assert!(begun.elapsed() < Duration::from_secs(5), "it waited {:?}", begun.elapsed());
    assert_fields(&standing, json!({"status": "done", "n": 2}));
    assert_fields(&standing, json!({"attempt": 1, "agent_attached": true}));
    there.get(&format!("{path}?wait=soon")).await.refused(400, "INVALID");
}

#[apply(every_stack)]
async fn a_failed_turn_shows_the_visitor_a_sentence_and_no_detail(kind: Kind) {
    use arizuko_proto::v1::{Finish, attach_request::Message as Said};
    let stack = Stack::start(kind).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    for (error, told) in [("", "The agent could not answer."), ("I am closed.", "I am closed.")] {
        let posted = visitor.say("one").await;
        let held = agent.turn().await;
        let (turn_id, attempt, seq) = (held.turn.turn_id.clone(), 1, 1);
        let (error, detail) = (error.to_owned(), "secret-detail".to_owned());
        let failed = true;
        agent
            .say(Said::Finish(Finish { turn_id, attempt, seq, failed, error, detail, usage: None }))
            .await;
        let seen = visitor.read(&posted.turn).await;
        assert_eq!(seen[0].data["status"], "failed");
        assert_eq!(seen[0].data["error"], told);
        let snapshot = visitor.get(&posted.turn).await.expect(200);
        assert!(!snapshot.text().contains("secret-detail"), "{}", snapshot.text());
        let snapshot: Value = snapshot.json();
        assert_fields(&snapshot, json!({"status": "failed", "error": told}));
    }
}

/// Returns the CPU time of some requests for a turn's frames.
async fn cost_of_frames(stack: &mut Stack, visitor: &Visitor, turn: &str) -> Duration {
    let before = stack.process(Control(A)).cpu_time();
    for _ in 0..60 {
        let frames = visitor.json(&format!("{turn}?after=0")).await["frames"].clone();
        assert_eq!(frames.as_array().map(Vec::len), Some(2), "{frames}");
    }
    stack.process(Control(A)).cpu_time() - before
}

#[apply(embedded)]
async fn the_frames_of_a_turn_cost_no_more_when_long_turns_follow(mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let first = visitor.say("hello").await;
    agent.answer_next("hello").await;
    let alone = cost_of_frames(&mut stack, &visitor, &first.turn).await;
    let words = "x".repeat(60_000);
    for _ in 0..15 {
        visitor.say_in(&first.conversation, "more").await;
        let mut held = agent.turn().await;
        agent.push(&mut held, vec![delta("m1", &words); 16]).await;
        agent.stored(&held).await;
        agent.finish(&held).await;
    }
    let cost = cost_of_frames(&mut stack, &visitor, &first.turn).await;
    let most = 3 * alone + Duration::from_millis(300);
    assert!(cost < most, "{cost:?} of the processor, and {alone:?} before");
}

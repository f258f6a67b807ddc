//! Agents and controls that die in the middle of a reply. Every reader still gets one whole reply
//! with one end.

use arizuko_tests::prelude::*;

/// Leases short enough to wait for.
const SHORT: [(&str, &str); 2] = [("ARIZUKO_LEASE", "3s"), ("ARIZUKO_AGENT_HEARTBEAT", "500ms")];

#[apply(every_stack)]
async fn another_agent_answers_the_turn_of_a_killed_one(kind: Kind) {
    let stack = Stack::with(kind, &SHORT).await;
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.agent("acme", &[]).await;
    let posted = here.say("hello").await;
    let mut program = agent.turn().await;
    program.print("half an ans").await;
    let mut live = there.listen(&posted.turn).await;
    live.take(1).await;
    let mut conversation = here.follow(&posted.conversation).await;
    conversation.take(2).await;
    agent.process.kill();

    let mut next = stack.agent("acme", &[]).await;
    let mut program = next.turn().await;
    assert_eq!(program.environment["ARIZUKO_TURN"], posted.turn.as_str());
    program.print("a whole answer").await;
    let mut seen = live.through("delta").await;
    program.exit(0).await;

    let expected = ["restart", "delta", "message", "turn_done"];
    seen.extend(live.rest().await);
    assert_eq!(names(&seen), expected);
    assert_fields(&seen[0].data, json!({"attempt": 2, "keep": false}));
    assert_eq!(names(&conversation.take(4).await), expected);
    let replayed = here.read(&posted.turn).await;
    assert_eq!(replayed[1..], seen[..]);
    let texts: Vec<_> = transcript(&replayed).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["a whole answer"]);
    let standing = there.json(&format!("{}/status", posted.turn)).await;
    assert_fields(&standing, json!({"status": "done", "attempt": 2}));
}

#[apply(every_stack)]
async fn a_turn_fails_after_its_last_attempt(kind: Kind) {
    let settings = [&SHORT[..], &[("ARIZUKO_ATTEMPTS", "2")]].concat();
    let stack = Stack::with(kind, &settings).await;
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    for attempt in 1..=2 {
        let mut agent = stack.session(B, hello("acme", 1)).await;
        let held = agent.turn().await;
        assert_eq!(held.turn.attempt, attempt);
        // The agent sends nothing more, not even the end of the stream.
        agent.hang();
        within("the turn of a silent agent to be requeued", async {
            let path = format!("{}/status", posted.turn);
            while visitor.json(&path).await["status"] == "running" {
                sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(names(&seen), ["restart", "turn_done"]);
    assert_eq!(seen[1].data["status"], "failed");
    assert_eq!(seen[1].data["error"], "The agent could not answer.");
}

#[apply(every_stack)]
async fn a_turn_past_its_deadline_expires(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_TURN_DEADLINE", "1s")]).await;
    let visitor = stack.visit("acme").await;
    let waiting = visitor.say("nobody is there").await;
    let seen = visitor.read(&waiting.turn).await;
    assert_eq!(names(&seen), ["turn_done"]);
    assert_eq!(seen[0].data["status"], "expired");
    assert!(seen[0].data["error"].as_str().is_some_and(|error| !error.is_empty()));
    let mut agent = stack.attach("acme", B).await;
    let running = visitor.say("somebody is slow").await;
    agent.turn().await;
    let seen = visitor.read(&running.turn).await;
    assert_eq!(seen.last().map(|event| event.data["status"].clone()), Some("expired".into()));
}

/// Joins the deltas, and leaves out the word `end`, which comes as a delta or only in the finished
/// message.
fn deltas(events: &[Event]) -> String {
    let deltas = events.iter().filter(|event| event.name == "delta");
    let text: String = deltas.filter_map(|event| event.data["text"].as_str()).collect();
    text.trim_end_matches("end").to_owned()
}

#[apply(every_stack)]
async fn killing_and_restarting_controls_loses_nothing_of_a_reply(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let mut agent = stack.agent("acme", &[]).await;
    let posted = visitor.say("hello").await;
    let mut program = agent.turn().await;
    program.print("one ").await;
    visitor.listen(&posted.turn).await.take(1).await;

    let reading = stack.visitor(&link, B).read_meanwhile(&posted.turn);
    for word in ["two ", "three ", "four "] {
        for control in BOTH {
            stack.kill(Control(control));
            program.print(word).await;
            stack.restart(Control(control)).await;
        }
    }
    program.reply("end").await;
    let seen = reading.await.expect("it does not panic");
    let expected = "one two two three three four four end";
    let text = text(&seen);
    assert_eq!(text, expected);
    assert_eq!(names(&seen).iter().filter(|name| **name == "turn_done").count(), 1);
    assert!(!names(&seen).contains(&"reset") && !names(&seen).contains(&"restart"), "{seen:?}");
    // The finished message holds the output that had not been sent when the program ended.
    let sent = deltas(&seen);
    assert!(expected.starts_with(&sent), "doubled or torn: {sent}");
    let numbers: Vec<_> = seen.iter().filter_map(|event| event.data["n"].as_u64()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!(visitor.read(&posted.turn).await, seen);
}

#[apply(every_stack)]
async fn stopping_control_loses_no_frame(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let mut agent = stack.agent("acme", &[]).await;
    let posted = visitor.say("hello").await;
    let mut program = agent.turn().await;
    let reading = stack.visitor(&link, B).read_meanwhile(&posted.turn);
    for round in 0..2 {
        program.print(&format!("{round} ")).await;
        let process = stack.process(Control(A));
        process.signal(Signal::SIGTERM);
        let status = process.exit().await;
        assert_eq!(status.code(), Some(0), "a clean end");
        stack.restart(Control(A)).await;
        // Waits for this piece, so that it doesn't share a frame with the next piece.
        visitor.listen(&posted.turn).await.take(round + 1).await;
    }
    program.reply("end").await;
    let seen = reading.await.expect("it does not panic");
    assert_eq!(deltas(&seen), "0 1 ");
    assert_eq!(transcript(&seen)[0].1, "0 1 end");
    assert_eq!(names(&seen).last(), Some(&"turn_done"));
    assert!(!names(&seen).contains(&"restart"), "the session goes on: {seen:?}");
}

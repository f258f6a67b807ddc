//! Sessions that resume, and turns that go to another session.

use super::protocol::{held, lost};
use arizuko_proto::v1::{
    Accept, AttachRequest, Heartbeat, HeldTurn, agent_service_client::AgentServiceClient,
};
use arizuko_tests::prelude::*;
use futures_util::stream;
use std::iter;

#[apply(every_stack)]
async fn a_session_resumes_on_a_new_stream_with_its_turns(stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let channel = stack.operator(B).await;
    let mut agent = Session::open(channel, hello("acme", 100)).await;
    let posted = visitor.say("hello").await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "one ")).await;

    // The stream breaks. The last Append may or may not have arrived.
    let session_id = agent.welcome.session_id.clone();
    agent.say(held.append(2, vec![delta("m1", "two ")])).await;
    let mine = HeldTurn { turn_id: posted.turn.clone(), attempt: 1, next_seq: 3 };
    let foreign = HeldTurn { turn_id: "A".repeat(22), attempt: 1, next_seq: 9 };
    let back =
        Hello { session_id: session_id.clone(), held: vec![mine, foreign], ..hello("acme", 100) };
    let mut again = stack.session(A, back).await;
    assert_eq!(again.welcome.session_id, session_id);
    let known = &again.welcome.held;
    assert_eq!(known.len(), 1, "the foreign turn is lost: {known:?}");
    assert_eq!((known[0].turn_id.as_str(), known[0].attempt), (posted.turn.as_str(), 1));
    let next = known[0].next_seq;
    assert!(next == 2 || next == 3, "{next}");
    // The older stream ends.
    assert!(agent.ended().await.is_some());

    again.say(held.append(2, vec![delta("m1", "two "), delta("m1", "three")])).await;
    held.seq = 4;
    again.stored(&held).await;
    again.finish(&held).await;
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(transcript(&seen)[0].1, "one two three");
    assert_eq!(names(&seen), ["delta", "delta", "delta", "turn_done"], "no restart");
}

#[apply(every_stack)]
async fn a_turn_that_did_not_reach_the_agent_is_delivered_again(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.session(B, hello("acme", 1)).await;
    let posted = visitor.say("hello").await;
    // The turn was delivered, but the agent does not name it when it resumes.
    let offered = agent.offered().await;
    let session_id = agent.welcome.session_id.clone();
    let back = Hello { session_id, ..hello("acme", 1) };
    let mut again = stack.session(A, back).await;
    assert_eq!(again.welcome.held, []);
    let redelivered = again.turn().await;
    assert_eq!(redelivered.turn, offered, "the same attempt, once more");
    again.answer(redelivered, "hello").await;
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(names(&seen), ["message", "turn_done"]);
}

#[apply(every_stack)]
async fn a_turn_that_its_agent_has_forgotten_restarts(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let mut agent = stack.session(B, hello("acme", 1)).await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "two replies")).await;
    agent.append(&mut held, delta("m1", " in one")).await;
    // This is as after a failover that lost the end of a turn: the store says that the turn still
    // runs, but for the agent the turn has ended.
    let back = Hello { session_id: agent.welcome.session_id.clone(), ..hello("acme", 1) };
    let mut again = stack.session(A, back).await;
    assert_eq!(again.welcome.held, []);
    let redelivered = again.turn().await;
    assert_eq!((&redelivered.turn.turn_id, redelivered.turn.attempt), (&posted.turn, 2));
    again.answer(redelivered, "one reply").await;
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(names(&seen), ["delta", "delta", "restart", "message", "turn_done"]);
    assert_eq!(transcript(&seen)[0].1, "one reply");
}

#[apply(every_stack)]
async fn a_turn_not_accepted_in_time_goes_to_another_session(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_ACCEPT_TIMEOUT", "500ms")]).await;
    let visitor = stack.visit("acme").await;
    let mut deaf = stack.session(B, hello("acme", 1)).await;
    let posted = visitor.say("hello").await;
    let offered = deaf.offered().await;
    assert_eq!((offered.turn_id.as_str(), offered.attempt), (posted.turn.as_str(), 1));
    let mut other = stack.session(A, hello("acme", 1)).await;
    lost(&mut deaf, &posted.turn).await;
    let held = other.turn().await;
    assert_eq!((held.turn.turn_id.as_str(), held.turn.attempt), (posted.turn.as_str(), 2));
    deaf.say(Said::Accept(Accept { turn_id: offered.turn_id, attempt: 1 })).await;
    lost(&mut deaf, &posted.turn).await;
    other.answer(held, "here I am").await;
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(names(&seen), ["restart", "message", "turn_done"]);
    assert_eq!(seen[0].data["attempt"], 2);
}

#[apply(every_stack)]
async fn a_rejected_turn_comes_again_after_its_retry_after(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let posted = visitor.say("hello").await;
    let turn = agent.offered().await;
    let begun = Instant::now();
    agent.reject(&turn, Duration::from_millis(1500)).await;
    lost(&mut agent, &posted.turn).await;
    let standing = visitor.json(&format!("{}/status", posted.turn)).await;
    assert_eq!(standing["status"], "queued");
    let held = agent.turn().await;
    let waited = begun.elapsed();
    assert_eq!(held.turn.turn_id, posted.turn);
    assert!(waited >= Duration::from_millis(1400), "it came after {waited:?}");
    agent.answer(held, "now").await;
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");
}

#[apply(every_stack)]
async fn the_turns_of_an_agent_that_leaves_are_requeued_at_once(stack: Stack) {
    let (visitor, agent, mut held) = held(&stack).await;
    let mut next = stack.attach("acme", A).await;
    let mut agent = agent;
    agent.append(&mut held, delta("m1", "half an ans")).await;
    agent.leave().await;
    let begun = Instant::now();
    let taken = next.turn().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "after {:?}", begun.elapsed());
    assert_eq!((taken.turn.turn_id.as_str(), taken.turn.attempt), (held.turn.turn_id.as_str(), 2));
    next.answer(taken, "a whole answer").await;
    let seen = visitor.read(&held.turn.turn_id).await;
    assert_eq!(names(&seen), ["delta", "restart", "message", "turn_done"]);
    assert_eq!(seen[1].data["keep"], false);
    assert_eq!(
        transcript(&seen),
        [(seen[2].data["id"].as_str().unwrap_or_default().to_owned(), "a whole answer".to_owned())]
    );
    let snapshot = visitor.json(&held.turn.turn_id).await;
    assert_eq!(snapshot["assistant"].as_array().map(Vec::len), Some(1), "{snapshot}");
}

/// The answers fill what the connection and control keep, so that control waits for the agent.
#[apply(embedded)]
async fn an_agent_that_reads_no_answers_keeps_no_stream(kind: Kind) {
    let stack = Stack::with(kind, &[SERVED, ("ARIZUKO_LEASE", "2s")]).await;
    let request = |message| AttachRequest { message: Some(message) };
    let of_no_turn = Said::Accept(Accept { turn_id: "x".repeat(64), attempt: 1 });
    let rest = [of_no_turn, Said::Heartbeat(Heartbeat {})].map(request).into_iter().cycle();
    let said = iter::once(request(Said::Hello(hello("acme", 1)))).chain(rest);
    let mut agent = AgentServiceClient::new(stack.operator(A).await);
    let unread = agent.attach(stream::iter(said)).await.expect("control takes the agent");
    let of_acme = ["tenant=\"acme\""];
    stack.metric_becomes("arizuko_control_agents", &of_acme, 1.0).await;
    stack.metric_becomes("arizuko_control_agents", &of_acme, 0.0).await;
    drop(unread);
}

//! Escalation, and giving up: what happens if nobody answers in time.

use arizuko_proto::v1::{Escalation, EscalationStep};
use arizuko_tests::prelude::*;

const SOON: Duration = Duration::from_secs(1);
const SAY: &str = "Nobody has looked yet: I'm fetching a colleague.";

#[apply(every_stack)]
async fn a_turn_that_nobody_takes_goes_to_the_folder_of_the_step(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    stack.route(escalation("web:acme", SOON, "acme/people", SAY)).await;
    let mut people = stack.attach("acme/people", B).await;
    let posted = here.say("help").await;
    let mut live = there.listen(&posted.turn).await;
    let seen = live.through("message").await;
    assert_eq!(seen[0].data["content"], SAY);
    let held = people.turn().await;
    assert_eq!(held.turn.turn_id, posted.turn);
    assert_eq!((&*held.turn.folder, held.turn.attempt), ("acme/people", 1));
    let handed = held.turn.handed.clone().expect("it comes from another");
    assert_eq!((&*handed.folder, handed.escalated), ("acme", true));
    assert_eq!(held.turn.said[0].content, SAY);
    people.answer(held, "a colleague is here").await;
    let expected = ["restart", "message", "turn_done"];
    let rest = live.rest().await;
    assert_eq!(names(&rest), expected);
    assert_eq!(rest[0].data["keep"], true);
    let replayed = here.read(&posted.turn).await;
    let texts: Vec<_> = transcript(&replayed).into_iter().map(|(_, t)| t).collect();
    assert_eq!(texts, [SAY, "a colleague is here"]);
    let snapshot = here.json(&posted.turn).await;
    let texts: Vec<_> = (0..2).map(|i| snapshot["assistant"][i]["content"].clone()).collect();
    assert_eq!(texts, [SAY, "a colleague is here"]);

    // The next message goes to the route's target again.
    here.say_in(&posted.conversation, "thanks").await;
    let mut agent = stack.attach("acme", A).await;
    assert_eq!(&agent.turn().await.turn.content[..], b"thanks");
}

#[apply(every_stack)]
async fn a_silent_agent_loses_its_turn(stack: Stack) {
    let visitor = stack.visit("acme").await;
    stack.route(escalation("web:acme", SOON, "acme/people", "")).await;
    let mut agent = stack.attach("acme", A).await;
    let mut people = stack.attach("acme/people", B).await;
    let posted = visitor.say("help").await;
    let mut slow = agent.turn().await;
    agent.lost(&posted.turn).await;
    agent.push(&mut slow, vec![delta("m1", "too late")]).await;
    agent.lost(&posted.turn).await;
    let held = people.turn().await;
    assert_eq!(held.turn.attempt, 2);
    assert!(held.turn.said.is_empty());
    people.answer(held, "in time").await;
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(names(&seen), ["restart", "message", "turn_done"]);
}

#[apply(every_stack)]
async fn a_first_frame_stops_the_escalation_unless_the_step_waits_for_the_end(stack: Stack) {
    let link = stack.issue("acme").await;
    let other = stack.issue_with("acme", "patient", Default::default()).await;
    let unfinished = EscalationStep {
        unfinished_after: Duration::from_secs(2).try_into().ok(),
        to: "acme/people".to_owned(),
        say: SAY.to_owned(),
        ..EscalationStep::default()
    };
    stack
        .route(Route {
            escalation: Some(Escalation { steps: vec![unfinished] }),
            ..route("web:acme")
        })
        .await;
    stack.route(escalation("web:acme/patient", SOON, "acme/people", SAY)).await;
    let mut agent = stack.attach("acme", A).await;
    let mut people = stack.attach("acme/people", B).await;
    let patient = stack.visitor(&other, A).say("begin").await;
    let mut begun = agent.turn().await;
    agent.append(&mut begun, delta("m1", "half ")).await;
    let hurried = stack.visitor(&link, A).say("end").await;
    let mut unfinished = agent.turn().await;
    agent.append(&mut unfinished, delta("m1", "half ")).await;

    // The agent loses the second turn, although it has begun to answer it, and keeps the first
    // turn, which is older.
    agent.lost(&hurried.turn).await;
    let held = people.turn().await;
    assert_eq!(held.turn.turn_id, hurried.turn);
    let said: Vec<_> = held.turn.said.iter().map(|m| &*m.content).collect();
    assert_eq!(said, ["half ", SAY]);
    agent.append(&mut begun, delta("m1", "and half")).await;
    agent.finish(&begun).await;
    let seen = stack.visitor(&other, B).read(&patient.turn).await;
    assert_eq!(names(&seen), ["delta", "delta", "turn_done"]);
}

#[apply(every_stack)]
async fn steps_are_taken_in_order(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let step = |seconds: u64, to: &str, say: &str| EscalationStep {
        after: Duration::from_secs(seconds).try_into().ok(),
        to: to.to_owned(),
        say: say.to_owned(),
        ..EscalationStep::default()
    };
    let steps = vec![step(1, "acme/people", "one"), step(2, "acme/boss", "two")];
    stack.route(Route { escalation: Some(Escalation { steps }), ..route("web:acme") }).await;
    let mut boss = stack.attach("acme/boss", B).await;
    let posted = visitor.say("help").await;
    let held = boss.turn().await;
    let said: Vec<_> = held.turn.said.iter().map(|m| &*m.content).collect();
    assert_eq!(said, ["one", "two"]);
    assert_eq!(held.turn.handed.clone().expect("it comes from another").folder, "acme/people");
    boss.answer(held, "three").await;
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(names(&seen), ["message", "message", "restart", "message", "turn_done"]);
}

#[apply(every_stack)]
async fn a_turn_that_nobody_answers_expires_with_the_routes_sentence(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let sentence = "We are closed. Write to us@acme.example.";
    stack.route(give_up("web:acme", SOON, sentence)).await;
    let posted = visitor.say("anybody?").await;
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(names(&seen), ["turn_done"]);
    assert_eq!(seen[0].data["status"], "expired");
    assert_eq!(seen[0].data["error"], sentence);
}

#[apply(every_stack)]
async fn an_open_turn_keeps_the_escalation_that_it_began_with(stack: Stack) {
    let visitor = stack.visit("acme").await;
    stack.route(escalation("web:acme", SOON, "acme/people", "as it was")).await;
    let posted = visitor.say("help").await;
    stack.route(escalation("web:acme", SOON, "acme/others", "as it is")).await;
    let mut people = stack.attach("acme/people", B).await;
    assert_eq!(people.turn().await.turn.said[0].content, "as it was");
    assert_eq!(visitor.get(&posted.turn).await.json()["assistant"][0]["content"], "as it was");
}

#[apply(every_stack)]
async fn messages_before_an_escalation_survive_a_lost_agent_after_it(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_LEASE", "3s")]).await;
    let visitor = stack.visit("acme").await;
    stack.route(escalation("web:acme", SOON, "acme/people", SAY)).await;
    let posted = visitor.say("help").await;
    let mut people = stack.attach("acme/people", B).await;
    let mut held = people.turn().await;
    people.append(&mut held, delta("m1", "never mi")).await;
    // The first agent's lease ends. Another agent, whose lease has just begun, answers from the
    // start.
    drop(people);
    sleep(Duration::from_secs(3)).await;
    let mut people = stack.attach("acme/people", B).await;
    let mut held = people.turn().await;
    let said: Vec<_> = held.turn.said.iter().map(|m| &*m.content).collect();
    assert_eq!(said, [SAY]);
    people.append(&mut held, message("m1", "here")).await;
    people.finish(&held).await;
    let seen = visitor.read(&posted.turn).await;
    let expected = ["message", "restart", "delta", "restart", "message", "turn_done"];
    assert_eq!(names(&seen), expected);
    assert_eq!((&seen[1].data["keep"], &seen[3].data["keep"]), (&true.into(), &false.into()));
    let snapshot = visitor.get(&posted.turn).await.json();
    let texts: Vec<_> = (0..3).map(|i| snapshot["assistant"][i]["content"].clone()).collect();
    assert_eq!(texts, [SAY.into(), "here".into(), serde_json::Value::Null]);
}

#[apply(every_stack)]
async fn after_a_requeue_the_folder_has_the_whole_time_again(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let after = Duration::from_secs(2);
    stack.route(escalation("web:acme", after, "acme/people", SAY)).await;
    let mut agent = stack.attach("acme", A).await;
    let posted = visitor.say("help").await;
    let taken = Instant::now();
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "half")).await;
    sleep(after.saturating_sub(taken.elapsed())).await;
    agent.leave().await;
    let mut next = stack.attach("acme", B).await;
    let held = next.turn().await;
    // Longer than control's pause between two sweeps of due items.
    sleep(SOON).await;
    next.answer(held, "whole").await;
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(names(&seen), ["delta", "restart", "message", "turn_done"]);
}

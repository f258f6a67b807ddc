//! Escalation during an outage: it happens late, and once.

use arizuko_tests::prelude::*;

const SOON: Duration = Duration::from_secs(1);
const SAY: &str = "I'm fetching a colleague.";

#[apply(on_redis)]
async fn a_restart_of_redis_delays_an_escalation_and_does_not_repeat_it(mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    stack.route(escalation("web:acme", SOON, "acme/people", SAY)).await;
    let posted = visitor.say("help").await;
    let redis = stack.redis();
    redis.kill();
    sleep(SOON).await;
    redis.restart().await;
    let mut people = stack.agent("acme/people", &[]).await;
    let program = people.turn().await;
    program.reply("here").await;
    let seen = read_to_the_end(&visitor, &posted.turn).await;
    let said = seen.iter().filter(|event| event.data["content"] == SAY);
    assert_eq!(said.count(), 1, "{seen:?}");
}

#[apply(pair)]
async fn the_other_control_escalates_when_one_is_killed(mut stack: Stack) {
    let link = stack.issue("acme").await;
    stack.route(escalation("web:acme", SOON, "acme/people", SAY)).await;
    let visitor = stack.visitor(&link, A);
    let posted = visitor.say("help").await;
    stack.kill(Control(A));
    let mut people = stack.attach("acme/people", B).await;
    let held = people.turn().await;
    assert_eq!(held.turn.said.len(), 1);
    stack.restart(Control(A)).await;
    people.answer(held, "here").await;
    let seen = read_to_the_end(&visitor, &posted.turn).await;
    assert_eq!(names(&seen), ["message", "restart", "message", "turn_done"]);
}

#[apply(embedded)]
async fn a_power_cut_delays_an_escalation_and_does_not_repeat_it(mut stack: Stack) {
    let link = stack.issue("acme").await;
    stack.route(escalation("web:acme", SOON, "acme/people", SAY)).await;
    let posted = stack.visitor(&link, A).say("help").await;
    stack.power_cycle().await;
    let mut people = stack.attach("acme/people", B).await;
    let held = people.turn().await;
    assert_eq!(held.turn.said.len(), 1);
    people.answer(held, "here").await;
    let visitor = stack.visitor(&link, A);
    let seen = read_to_the_end(&visitor, &posted.turn).await;
    assert_eq!(names(&seen), ["message", "restart", "message", "turn_done"]);
}

//! Control is unreachable.

use super::{asks_to_come_back, is_back};
use arizuko_tests::prelude::*;

#[apply(one_redis)]
async fn without_control_a_gateway_refuses_requests_and_recovers_later(mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("before").await;
    let mut open = visitor.listen(&posted.turn).await;
    open.greeting().await;
    stack.kill(Control(A));
    assert_eq!(names(&open.rest().await), [""; 0], "the open stream ends, to be resumed");
    let answer = visitor.post_json(&json!({"content": "during"})).await.refused(503, "UNAVAILABLE");
    assert!(answer.retry_after() >= 1);
    asks_to_come_back(&visitor, &format!("{}/sse", posted.turn)).await;
    let gateway = stack.at(A, "");
    gateway.get("/healthz").await.expect(200);
    gateway.get("/readyz").await.expect(503);
    stack.restart(Control(A)).await;
    is_back(&visitor).await;
    gateway.get("/readyz").await.expect(200);
    let mut agent = stack.attach("acme", A).await;
    agent.answer_next("hello").await;
    assert_eq!(names(&visitor.read(&posted.turn).await), ["message", "turn_done"]);
}

#[apply(pair)]
async fn one_control_of_two_is_enough(kind: Kind) {
    let mut stack = Stack::with(kind, &[("ARIZUKO_ADDRESS_RATE", "1000")]).await;
    let visitors = stack.visit_both("acme").await;
    let before = visitors[0].say("before").await;
    for dead in BOTH {
        stack.kill(Control(dead));
        for round in 0..10 {
            let visitor = &visitors[round % 2];
            let posted = visitor.say(&format!("{dead:?} {round}")).await;
            visitor.get(&posted.turn).await.expect(200);
            visitor.get(&format!("c/{}", before.conversation)).await.expect(200);
            let mut events = visitor.follow(&posted.conversation).await;
            assert_eq!(names(&events.take(1).await), ["user"]);
        }
        stack.restart(Control(dead)).await;
    }
    // The agent's control is killed; the agent continues at the other control.
    let mut agent = stack.agent("acme", &[]).await;
    let mut program = agent.turn().await;
    program.print("one ").await;
    stack.kill(Control(B));
    program.reply("two").await;
    assert_eq!(visitors[0].end_of(&before.turn).await["status"], "done");
    let seen = visitors[1].read(&before.turn).await;
    assert_eq!(transcript(&seen)[0].1, "one two");
}

#[apply(pair)]
async fn commands_and_agents_leave_a_control_that_hangs(mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agents = vec![stack.agent("acme", &[]).await];
    for language in [Language::Python, Language::TypeScript] {
        agents.push(language.agent(&stack, "1", &[]).await);
    }
    let posted = [visitor.say("one").await, visitor.say("two").await, visitor.say("three").await];
    let mut programs = Vec::new();
    for agent in &mut agents {
        programs.push(agent.turn().await);
    }
    // Control B, to which the agents are attached, still accepts connections, but answers nothing.
    stack.process(Control(B)).signal(Signal::SIGSTOP);
    for program in programs {
        program.reply("there").await;
    }
    for posted in posted {
        assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");
    }
    let controls = format!("{},{}", stack.control(B), stack.control(A));
    let run_with = async |arguments: &[&str]| {
        let mut command = stack.operators_command();
        command.env("ARIZUKO_CONTROL", &controls).env("RUST_LOG", "warn").args(arguments);
        let outcome = run(&mut command, "").await.expect(0);
        // The control that answers was asked after a moment, before the other one was given up.
        assert_eq!(outcome.err.matches("asking the next control").count(), 1, "{outcome:?}");
        assert!(outcome.err.contains(&stack.control(B)), "{outcome:?}");
        outcome.out
    };
    run_with(&["token", "issue", "acme", "chat", "--suffix", "late"]).await;
    let listed = run_with(&["token", "list", "acme"]).await;
    assert_eq!(listed.matches("web:acme/late").count(), 1, "{listed}");
    run_with(&["token", "revoke", "web:acme/late"]).await;
    run_with(&["status"]).await;
    stack.process(Control(B)).signal(Signal::SIGCONT);
}

#[apply(pair)]
async fn a_change_at_one_gateway_shows_at_once_at_the_other(kind: Kind) {
    let stack =
        Stack::with(kind, &[("ARIZUKO_ADDRESS_RATE", "1000"), ("ARIZUKO_LINK_RATE", "1000")]).await;
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.attach("acme", A).await;
    for round in 0..10 {
        let posted = here.say(&round.to_string()).await;
        there.get(&posted.turn).await.expect(200);
        let mut held = agent.turn().await;
        agent.append(&mut held, delta("m1", "x")).await;
        assert_eq!(there.json(&posted.turn).await["n"], 1);
        assert_eq!(here.json(&posted.turn).await["n"], 1);
        there.cancel(&posted.turn).await;
        assert_eq!(here.json(&posted.turn).await["status"], "cancelled");
        here.delete(&format!("c/{}", posted.conversation)).await.expect(204);
        there.get(&posted.turn).await.refused(404, "NOT_FOUND");
    }
}

#[apply(one_redis)]
async fn a_gateway_cut_off_from_control_ends_its_streams(mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let mut events = visitor.listen(&posted.turn).await;
    events.greeting().await;
    // The connection stays open, but nothing answers.
    stack.process(Control(A)).signal(Signal::SIGSTOP);
    let begun = Instant::now();
    assert_eq!(names(&events.rest().await), [""; 0]);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(17), "it ended after {took:?}");
    stack.process(Control(A)).signal(Signal::SIGCONT);
    is_back(&visitor).await;
}

#[apply(pair)]
async fn a_stopping_gateway_sends_its_readers_to_another(mut stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let posted = here.say("hello").await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "one ")).await;
    let mut events = here.listen(&posted.turn).await;
    let mut seen = events.take(1).await;
    let gateway = stack.process(Gateway(A));
    gateway.signal(Signal::SIGTERM);
    seen.extend(events.rest().await);
    assert!(events.retry.is_some_and(|retry| retry >= 2_000));
    assert_eq!(gateway.exit().await.code(), Some(0), "the gateway exits cleanly");
    agent.append(&mut held, delta("m1", "two")).await;
    agent.finish(&held).await;
    let last = seen[0].id.clone().expect("it is numbered");
    let path = format!("{}/sse", posted.turn);
    let mut events = there.open(&path, Cursor::After(&last)).await.ok();
    seen.extend(events.rest().await);
    assert_eq!(seen, there.read(&posted.turn).await);
    assert_eq!(transcript(&seen)[0].1, "one two");
}

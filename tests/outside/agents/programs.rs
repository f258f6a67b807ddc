//! `arizuko agent exec`: how programs start, end and fail.

use arizuko_tests::prelude::*;
use nix::unistd::Pid;
use std::os::unix::fs::PermissionsExt as _;

#[apply(embedded)]
async fn a_nonzero_exit_code_fails_the_turn(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut tail = stack.tail("other", &[]).await;
    let mut agent = stack.agent("acme", &[]).await;
    let posted = visitor.say("hello").await;
    let mut program = agent.turn().await;
    program.print("half").await;
    program.complain("first line").await;
    program.complain("it broke in line 7").await;
    program.exit(3).await;
    let standing = visitor.end_of(&posted.turn).await;
    assert_eq!(standing["status"], "failed");
    assert_eq!(standing["error"], "The agent could not answer.");
    let seen = visitor.read(&posted.turn).await;
    assert!(!seen.iter().any(|event| event.raw.contains("line")), "{seen:?}");
    let told: Value = serde_json::from_str(&tail.line_with("\"failed\"").await).expect("JSON");
    let detail = told["detail"].as_str().unwrap_or_default();
    assert!(detail.contains('3') && detail.contains("it broke in line 7"), "{told}");

    let posted = visitor.say("again").await;
    let program = agent.turn().await;
    nix::sys::signal::kill(Pid::from_raw(program.pid), Signal::SIGKILL).expect("it runs");
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "failed");
}

#[apply(embedded)]
async fn a_script_that_nothing_can_run_is_refused_at_start(stack: Stack) {
    let script = stack.folder().join("agent.sh");
    let path = script.to_str().expect("the test's folder is UTF-8");
    for (text, told) in [
        ("#!/bin/sh\r\ncat\r\n", "line ends of Windows (CRLF): sed -i"),
        ("echo hello\n", "begin it with a line such as #!/bin/sh"),
        ("", "begin it with a line such as #!/bin/sh"),
        ("#!\n", "begin it with a line such as #!/bin/sh"),
        ("#! /no/such -u\n", "is run by /no/such, which doesn't exist here"),
        ("#!/usr/bin/env no_such\n", "is run by no_such, which is not in PATH"),
    ] {
        fs::write(&script, text).expect("a file of our own");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let refused = stack.arizuko(&["agent", "exec", "--folder", "acme", "--", path]).await;
        assert!(refused.expect(1).err.contains(told), "{text:?}");
    }
}

#[apply(embedded)]
async fn a_program_may_read_nothing_or_print_nothing(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let key = stack.agent_key("acme").await;
    let mut agent = Agent::start(&stack, &key, "acme", &[], &["--deaf"]).await;
    // More than a pipe holds, and this program reads none of it.
    let hook = stack.caller(&stack.issue_hook("acme", "ci", "").await, A);
    hook.post("text/plain", "x".repeat(1 << 20)).await.posted();
    let program = agent.turn().await;
    program.exit(0).await;
    drop(agent);
    let mut silent = stack.agent("acme", &[]).await;
    let posted = visitor.say("hello").await;
    silent.turn().await.exit(0).await;
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");
    assert_eq!(names(&visitor.read(&posted.turn).await), ["turn_done"]);
}

#[apply(embedded)]
async fn a_process_that_a_program_leaves_running_keeps_no_turn_open(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.agent("acme", &[]).await;
    let posted = visitor.say("hello").await;
    let mut program = agent.turn().await;
    program.step(json!({"leave": "while :; do echo .; sleep 0.3; done"})).await;
    program.exit(0).await;
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");
}

#[apply(embedded)]
async fn cancelling_a_turn_terminates_its_program_and_then_kills_it(stack: Stack) {
    let visitor = stack.visitor(&stack.issue("acme").await, B);
    let mut agent = stack.agent("acme", &[]).await;
    let posted = visitor.say("hello").await;
    let mut program = agent.turn().await;
    let begun = Instant::now();
    visitor.cancel(&posted.turn).await;
    program.killed().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "TERM ended it after {:?}", begun.elapsed());

    let posted = visitor.say("hello").await;
    let mut program = agent.turn().await;
    program.ignore_term().await;
    visitor.cancel(&posted.turn).await;
    program.killed().await;
    // The agent takes the next turn.
    let posted = visitor.say("hello").await;
    let program = agent.turn().await;
    program.reply("here").await;
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");
}

#[apply(embedded)]
async fn concurrency_bounds_the_turns_that_run_at_a_time(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.agent("acme", &["--concurrency", "2"]).await;
    let (first, second) = (visitor.say("a").await, visitor.say("b").await);
    let third = visitor.say("c").await;
    let (one, mut two) = (agent.turn().await, agent.turn().await);
    let standing = visitor.json(&format!("{}/status?wait=1", third.turn)).await;
    assert_eq!(standing["status"], "queued");
    one.exit(0).await;
    let three = agent.turn().await;
    two.print("still here").await;
    two.exit(0).await;
    three.exit(0).await;
    for posted in [first, second, third] {
        assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");
    }
}

#[apply(embedded)]
async fn stopping_the_agent_requeues_its_turns(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.agent("acme", &[]).await;
    let posted = visitor.say("hello").await;
    let mut program = agent.turn().await;
    program.print("half").await;
    agent.process.signal(Signal::SIGINT);
    program.killed().await;
    assert_eq!(agent.process.exit().await.code(), Some(0));
    let mut next = stack.attach("acme", B).await;
    let held = next.turn().await;
    assert_eq!((held.turn.turn_id.as_str(), held.turn.attempt), (posted.turn.as_str(), 2));
}

#[apply(embedded)]
async fn wrong_arguments_are_refused_at_the_start(stack: Stack) {
    for (arguments, told) in [
        (&["--folder", "acme", "--", "./no-such-program"][..], "no-such-program"),
        (&["--folder", "acme", "--", "no-such-program"], "no-such-program"),
        (&["--folder", "a b", "--", "cat"], "folder"),
        (&["--", "cat"], "folder"),
    ] {
        let outcome = stack.arizuko(&[&["agent", "exec"], arguments].concat()).await.expect(1);
        assert!(outcome.err.contains(told), "{outcome:?}");
        assert_eq!(outcome.out, "");
    }
    stack.arizuko(&["agent", "exec", "--folder", "acme"]).await.expect(2);
    let mut wrong = stack.operators_command();
    wrong.env("ARIZUKO_KEY", stack.agent_key("other").await);
    let outcome =
        run(wrong.args(["agent", "exec", "--folder", "acme", "--", "cat"]), "").await.expect(1);
    assert!(outcome.err.contains("does not reach acme"), "{outcome:?}");
}

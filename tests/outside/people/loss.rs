//! Nothing is lost if an inbox or a control is killed.

use super::SEATS;
use arizuko_tests::prelude::*;

/// Leases short enough to wait for.
const SHORT: [(&str, &str); 2] = [("ARIZUKO_LEASE", "2s"), ("ARIZUKO_AGENT_HEARTBEAT", "500ms")];

#[apply(every_stack)]
async fn a_new_inbox_finds_the_conversations_of_a_killed_one(kind: Kind) {
    let stack = Stack::with(kind, &SHORT).await;
    let visitor = stack.visit("acme/people").await;
    for seat in SEATS {
        let mut ann = stack.person(seat, "acme/people", "Ann", B).await;
        let first = visitor.say("one").await;
        ann.opens("one").await;
        ann.asks("1", "Sent.").await;
        let second = visitor.say_in(&first.conversation, "two").await;
        ann.sees("two").await;
        ann.press("half an ans");
        ann.signal(Signal::SIGKILL);
        ann.gone().await;

        let mut ann = stack.person(seat, "acme/people", "Ann", A).await;
        ann.sees("1 ").await;
        ann.enter("/list");
        // The turn is free once the lease of the killed inbox ends.
        let shown = ann.opens(": two").await;
        assert!(shown.contains(": one") && shown.contains("Ann, "), "{shown}");
        ann.asks("2", "Sent.").await;
        assert_eq!(visitor.end_of(&second.turn).await["status"], "done");

        // The conversation stays open in the inbox even without an open turn.
        ann.signal(Signal::SIGKILL);
        ann.gone().await;
        let mut ann = stack.person(seat, "acme/people", "Ann", B).await;
        ann.sees("1 open, web:acme/people, since ").await;
        let shown = ann.asks("/open 1", ": 2").await;
        assert!(shown.contains(": one"), "{shown}");
        ann.asks("still here", "Sent, as a message of its own.").await;
        ann.asks("/close", "closed").await;
    }
}

#[apply(every_stack)]
async fn the_next_agent_reads_what_a_person_said_before_they_left(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let mut ann = stack.session(A, person("acme", "Ann")).await;
    ann.claim(&posted.turn, false).await;
    let mut held = ann.turn().await;
    ann.push(&mut held, vec![message("m1", "One moment, please.")]).await;
    ann.leave().await;
    let held = stack.attach("acme", B).await.turn().await;
    let said: Vec<_> = held.turn.said.iter().map(|message| &*message.content).collect();
    assert_eq!(said, ["One moment, please."]);
}

#[apply(every_stack)]
async fn a_restart_of_control_costs_a_person_nothing(mut stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    let mut ann = stack.person(Seat::Terminal, "acme/people", "Ann", A).await;
    let first = visitor.say("one").await;
    ann.opens("one").await;
    stack.kill(Control(A));
    if stack.kind() == Kind::Pair {
        // The inbox tries the other control first, and may print nothing.
        stack.restart(Control(A)).await;
    } else {
        ann.sees("trying until it answers").await;
        stack.restart(Control(A)).await;
        ann.sees("control answers again").await;
    }
    ann.asks("1", "Sent.").await;
    let seen = read_to_the_end(&visitor, &first.turn).await;
    let names: Vec<_> = seen.iter().map(|event| event.name.as_str()).collect();
    assert!(!names.contains(&"restart"), "{names:?}");
    assert_eq!(names.last(), Some(&"turn_done"));
    let answers = seen.iter().filter(|event| event.name == "message");
    assert_eq!(answers.count(), 1);

    // An answer typed while control is down arrives when control is back.
    visitor.say_in(&first.conversation, "two").await;
    ann.sees(": two").await;
    stack.kill(Control(A));
    ann.enter("2");
    stack.restart(Control(A)).await;
    ann.sees("Sent.").await;
    let messages = stack.read("acme/people", &first.conversation).await;
    let contents: Vec<_> = messages.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(contents, ["one", "1", "two", "2"]);
}

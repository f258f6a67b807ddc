//! A person's session: Inbox shows the queued turns, and Claim takes one of them.

use arizuko_tests::prelude::*;

async fn attach(stack: &Stack, name: &str, control: Instance) -> Session {
    Session::open(stack.operator(control).await, person("acme/people", name)).await
}

#[apply(every_stack)]
async fn a_person_sees_the_queue_and_claims_a_turn_of_their_choice(stack: Stack) {
    let [here, there] = stack.visit_both("acme/people").await;
    let first = here.say("first").await;
    let mut ana = attach(&stack, "Ana", A).await;
    let inbox = ana.inbox("what waits", |inbox| inbox.waiting.len() == 1).await;
    let waiting = &inbox.waiting[0];
    assert_eq!((&*waiting.preview, &*waiting.jid), ("first", "web:acme/people"));
    assert_eq!(waiting.conversation, first.conversation);
    let second = there.say(&format!("second {}", "x".repeat(5_000))).await;
    let inbox = ana.inbox("the second", |inbox| inbox.waiting.len() == 2).await;
    assert_eq!(inbox.waiting[1].turn_id, second.turn);
    assert_eq!(inbox.waiting[1].preview.chars().count(), 200);

    ana.claim(&second.turn, true).await;
    let held = ana.turn().await;
    assert_eq!(held.turn.turn_id, second.turn);
    let inbox = ana.inbox("the open one", |inbox| !inbox.open.is_empty()).await;
    assert_eq!(inbox.open[0].conversation, second.conversation);
    assert_eq!(inbox.waiting.len(), 1);
    ana.answer(held, "hello").await;
    // A person gets only turns that they claim.
    there.say_in(&second.conversation, "more").await;
    ana.inbox("the next message", |inbox| inbox.waiting.len() == 2).await;
    assert_eq!(there.delete(&format!("c/{}", second.conversation)).await.status, 204);
    ana.inbox("that it is gone", |inbox| inbox.open.is_empty() && inbox.waiting.len() == 1).await;
}

#[apply(every_stack)]
async fn only_one_of_two_people_gets_a_claimed_turn(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    let mut people = [attach(&stack, "Ana", A).await, attach(&stack, "Ben", B).await];
    for person in &mut people {
        person.inbox("an empty queue", |inbox| inbox.waiting.is_empty()).await;
    }
    let posted = visitor.say("hello").await;
    // Both see the turn before either claims it, since a turn that is claimed at once may never be
    // shown.
    for person in &mut people {
        person.inbox("the message", |inbox| inbox.waiting.len() == 1).await;
    }
    for person in &mut people {
        person.claim(&posted.turn, false).await;
    }
    let mut got = Vec::new();
    for person in &mut people {
        let answer = |heard: &Heard| match heard {
            Heard::Turn(turn) => Some(turn.turn_id == posted.turn),
            Heard::Lost(lost) => Some(lost.attempt != 0),
            _ => None,
        };
        got.push(person.hear_of("an answer to the claim", answer).await);
        person.inbox("that nothing waits", |inbox| inbox.waiting.is_empty()).await;
    }
    assert_eq!(got.iter().filter(|got| **got).count(), 1, "{got:?}");
}

#[apply(every_stack)]
async fn only_turns_that_are_queued_in_the_folder_can_be_claimed(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    let elsewhere = stack.visit("acme").await;
    let other = elsewhere.say("not theirs").await;
    let first = visitor.say("one").await;
    let behind = visitor.say_in(&first.conversation, "two").await;
    let mut ana = attach(&stack, "Ana", B).await;
    for turn in [&other.turn, &behind.turn, "no-turn-at-all"] {
        ana.claim(turn, true).await;
        assert_eq!(ana.lost(turn).await.attempt, 0);
    }
    // The other folder still has its conversation.
    let mut agent = stack.attach("acme", A).await;
    agent.answer_next("ok").await;
    elsewhere.say_in(&other.conversation, "more").await;
    assert_eq!(&agent.turn().await.turn.content[..], b"more");
}

#[apply(every_stack)]
async fn a_persons_messages_carry_their_name(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    let posted = visitor.say("hello").await;
    let mut ana = attach(&stack, "Ana", B).await;
    ana.claim(&posted.turn, false).await;
    let mut held = ana.turn().await;
    ana.append(&mut held, status("Ana is typing…")).await;
    let typing = visitor.get(&posted.turn).await.json();
    assert_eq!(typing["status_text"], "Ana is typing…");
    ana.append(&mut held, status("")).await;
    let still = visitor.get(&posted.turn).await.json();
    assert_eq!(still["status_text"], serde_json::Value::Null);
    ana.append(&mut held, delta("m1", "He")).await;
    ana.append(&mut held, message("m1", "Hello.")).await;
    ana.finish(&held).await;
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(names(&seen), ["status", "status", "delta", "message", "turn_done"]);
    let shown = visitor.get(&posted.turn).await.json();
    for message in [&seen[3].data, &shown["assistant"][0]] {
        assert_fields(message, json!({"author": "person", "name": "Ana"}));
    }
}

#[apply(every_stack)]
async fn a_person_without_a_name_is_refused(stack: Stack) {
    for name in ["", "  ", &"x".repeat(101)] {
        let refused = Session::try_open(stack.operator(A).await, person("acme/people", name)).await;
        let status = refused.err().expect("a person has a name");
        assert_eq!(reason(&status), ErrorReason::Invalid);
    }
}

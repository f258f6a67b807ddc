//! Attach, frame by frame: repeats, holes, what is refused, and sessions that come back.

use arizuko_proto::v1::{
    Accept, AttachRequest, HeldTurn, Hello, agent_service_client::AgentServiceClient,
    attach_request::Message as Said, attach_response::Message as Heard,
};
use arizuko_tests::{
    Kind, Stack,
    attach::{Held, Session, delta, hello, message, status},
    on_every_stack,
    operator::reason,
    sse::{names, transcript},
};
use std::time::Duration;

on_every_stack![
    a_repeat_is_acknowledged_and_stored_once,
    a_hole_is_not_stored_and_the_answer_names_what_is_expected,
    finish_waits_for_the_frames_before_it_and_may_be_repeated,
    another_attempt_or_another_session_is_told_that_the_turn_is_lost,
    a_stream_that_breaks_comes_back_and_goes_on_with_its_turns,
    a_turn_that_never_reached_the_agent_is_handed_out_again,
    a_turn_that_is_not_accepted_in_time_goes_to_another_session,
    a_rejected_turn_comes_again_when_it_was_said_to,
    an_agent_that_leaves_hands_its_turns_back_at_once,
    frames_that_break_the_contract_end_the_stream,
    a_reply_past_its_limit_ends_as_failed,
    the_first_message_is_hello_and_comes_once,
];

/// A stack with one visitor's message in the hands of an agent.
async fn held(stack: &Stack) -> (arizuko_tests::http::Visitor, Session, Held) {
    let visitor = stack.visitor(&stack.issue("acme").await, 0);
    let mut agent = stack.attach("acme", 1).await;
    visitor.say("hello").await;
    let held = agent.turn().await;
    (visitor, agent, held)
}

async fn lost(agent: &mut Session, turn: &str) {
    let lost =
        |heard: &Heard| matches!(heard, Heard::Lost(lost) if lost.turn_id == turn).then_some(());
    agent.hear_of("Lost", lost).await;
}

async fn a_repeat_is_acknowledged_and_stored_once(kind: Kind) {
    let stack = Stack::start(kind).await;
    let (visitor, mut agent, mut held) = held(&stack).await;
    let three = || vec![delta("m1", "a"), delta("m1", "b"), delta("m1", "c")];
    for _ in 0..3 {
        assert_eq!(agent.append_at(&held, 1, three()).await.next_seq, 4);
    }
    // A repeat that overlaps brings only what is new.
    let overlap = vec![delta("m1", "c"), delta("m1", "d")];
    assert_eq!(agent.append_at(&held, 3, overlap).await.next_seq, 5);
    assert_eq!(
        agent
            .append_at(&held, 2, vec![delta("m1", "b")])
            .await
            .next_seq,
        5
    );
    held.seq = 5;
    agent.finish(&held).await;
    let seen = visitor.listen(&held.turn.turn_id).await.rest().await;
    assert_eq!(transcript(&seen)[0].1, "abcd");
    assert_eq!(
        names(&seen),
        ["delta", "delta", "delta", "delta", "turn_done"]
    );
}

async fn a_hole_is_not_stored_and_the_answer_names_what_is_expected(kind: Kind) {
    let stack = Stack::start(kind).await;
    let (visitor, mut agent, mut held) = held(&stack).await;
    assert_eq!(
        agent
            .append_at(&held, 2, vec![delta("m1", "b")])
            .await
            .next_seq,
        1
    );
    assert_eq!(
        agent
            .append_at(&held, 1, vec![delta("m1", "a")])
            .await
            .next_seq,
        2
    );
    assert_eq!(
        agent
            .append_at(&held, u64::MAX, vec![delta("m1", "z")])
            .await
            .next_seq,
        2
    );
    held.seq = 2;
    agent.finish(&held).await;
    let seen = visitor.listen(&held.turn.turn_id).await.rest().await;
    assert_eq!(transcript(&seen)[0].1, "a");
}

async fn finish_waits_for_the_frames_before_it_and_may_be_repeated(kind: Kind) {
    let stack = Stack::start(kind).await;
    let (visitor, mut agent, mut held) = held(&stack).await;
    held.seq = 3;
    agent.say(held.finish()).await;
    let early = agent.appended(&held).await;
    assert_eq!((early.next_seq, early.finished), (1, false));
    let both = vec![delta("m1", "a"), delta("m1", "b")];
    assert_eq!(agent.append_at(&held, 1, both).await.next_seq, 3);
    for _ in 0..3 {
        agent.finish(&held).await;
    }
    let seen = visitor.listen(&held.turn.turn_id).await.rest().await;
    assert_eq!(names(&seen), ["delta", "delta", "turn_done"]);
}

async fn another_attempt_or_another_session_is_told_that_the_turn_is_lost(kind: Kind) {
    let stack = Stack::start(kind).await;
    let (visitor, mut agent, held) = held(&stack).await;
    let turn = held.turn.turn_id.clone();
    let mut other = stack.attach("acme", 0).await;
    other
        .say(held.append(1, vec![delta("m1", "not mine")]))
        .await;
    lost(&mut other, &turn).await;
    other.say(held.finish()).await;
    lost(&mut other, &turn).await;
    for attempt in [0, 2, u32::MAX] {
        let mut wrong = Held {
            turn: held.turn.clone(),
            seq: 1,
        };
        wrong.turn.attempt = attempt;
        agent
            .say(wrong.append(1, vec![delta("m1", "not this attempt")]))
            .await;
        lost(&mut agent, &turn).await;
    }
    agent.answer(held, "mine").await;
    let seen = visitor.listen(&turn).await.rest().await;
    assert_eq!(names(&seen), ["message", "turn_done"]);
    assert_eq!(transcript(&seen)[0].1, "mine");
}

async fn a_stream_that_breaks_comes_back_and_goes_on_with_its_turns(kind: Kind) {
    let stack = Stack::start(kind).await;
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, 0);
    let channel = stack.operator(1).await;
    let mut agent = Session::open(channel, hello("acme", 100)).await;
    let posted = visitor.say("hello").await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "one ")).await;

    // The link breaks without a goodbye; what was sent last may or may not have arrived.
    let session_id = agent.welcome.session_id.clone();
    agent.say(held.append(2, vec![delta("m1", "two ")])).await;
    let mine = HeldTurn {
        turn_id: posted.turn.clone(),
        attempt: 1,
        next_seq: 3,
    };
    let foreign = HeldTurn {
        turn_id: "A".repeat(22),
        attempt: 1,
        next_seq: 9,
    };
    let back = Hello {
        session_id: session_id.clone(),
        held: vec![mine, foreign],
        ..hello("acme", 100)
    };
    let mut again = Session::open(stack.operator(0).await, back).await;
    assert_eq!(again.welcome.session_id, session_id);
    let known = &again.welcome.held;
    assert_eq!(known.len(), 1, "the foreign turn is lost: {known:?}");
    assert_eq!(
        (known[0].turn_id.as_str(), known[0].attempt),
        (posted.turn.as_str(), 1)
    );
    let next = known[0].next_seq;
    assert!(next == 2 || next == 3, "{next}");
    // The older stream speaks for nobody any more.
    assert!(agent.ended().await.is_some());

    again
        .say(held.append(2, vec![delta("m1", "two "), delta("m1", "three")]))
        .await;
    held.seq = 4;
    again.stored(&held).await;
    again.finish(&held).await;
    let seen = visitor.listen(&posted.turn).await.rest().await;
    assert_eq!(transcript(&seen)[0].1, "one two three");
    assert_eq!(
        names(&seen),
        ["delta", "delta", "delta", "turn_done"],
        "no restart"
    );
}

async fn a_turn_that_never_reached_the_agent_is_handed_out_again(kind: Kind) {
    let stack = Stack::start(kind).await;
    let visitor = stack.visitor(&stack.issue("acme").await, 0);
    let mut agent = Session::open(stack.operator(1).await, hello("acme", 1)).await;
    let posted = visitor.say("hello").await;
    // It was handed out, but the agent does not know of it when it comes back.
    let offered = agent.offered().await;
    let session_id = agent.welcome.session_id.clone();
    let back = Hello {
        session_id,
        ..hello("acme", 1)
    };
    let mut again = Session::open(stack.operator(0).await, back).await;
    assert_eq!(again.welcome.held, []);
    let redelivered = again.turn().await;
    assert_eq!(redelivered.turn, offered, "the same attempt, once more");
    again.answer(redelivered, "hello").await;
    let seen = visitor.listen(&posted.turn).await.rest().await;
    assert_eq!(names(&seen), ["message", "turn_done"]);
}

async fn a_turn_that_is_not_accepted_in_time_goes_to_another_session(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_ACCEPT_TIMEOUT", "500ms")]).await;
    let visitor = stack.visitor(&stack.issue("acme").await, 0);
    let mut deaf = Session::open(stack.operator(1).await, hello("acme", 1)).await;
    let posted = visitor.say("hello").await;
    let offered = deaf.offered().await;
    assert_eq!(
        (offered.turn_id.as_str(), offered.attempt),
        (posted.turn.as_str(), 1)
    );
    let mut other = Session::open(stack.operator(0).await, hello("acme", 1)).await;
    lost(&mut deaf, &posted.turn).await;
    let held = other.turn().await;
    assert_eq!(
        (held.turn.turn_id.as_str(), held.turn.attempt),
        (posted.turn.as_str(), 2)
    );
    deaf.say(Said::Accept(Accept {
        turn_id: offered.turn_id,
        attempt: 1,
    }))
    .await;
    lost(&mut deaf, &posted.turn).await;
    other.answer(held, "here I am").await;
    let seen = visitor.listen(&posted.turn).await.rest().await;
    assert_eq!(names(&seen), ["restart", "message", "turn_done"]);
    assert_eq!(seen[0].data["attempt"], 2);
}

async fn a_rejected_turn_comes_again_when_it_was_said_to(kind: Kind) {
    let stack = Stack::start(kind).await;
    let visitor = stack.visitor(&stack.issue("acme").await, 0);
    let mut agent = stack.attach("acme", 1).await;
    let posted = visitor.say("hello").await;
    let turn = agent.offered().await;
    let begun = std::time::Instant::now();
    agent.reject(&turn, Duration::from_millis(1500)).await;
    lost(&mut agent, &posted.turn).await;
    let standing = visitor
        .get(&format!("{}/status", posted.turn))
        .await
        .expect(200)
        .json();
    assert_eq!(standing["status"], "queued");
    let held = agent.turn().await;
    let waited = begun.elapsed();
    assert_eq!(held.turn.turn_id, posted.turn);
    assert!(
        waited >= Duration::from_millis(1400),
        "it came after {waited:?}"
    );
    agent.answer(held, "now").await;
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");
}

async fn an_agent_that_leaves_hands_its_turns_back_at_once(kind: Kind) {
    let stack = Stack::start(kind).await;
    let (visitor, agent, mut held) = held(&stack).await;
    let mut next = stack.attach("acme", 0).await;
    let mut agent = agent;
    agent.append(&mut held, delta("m1", "half an ans")).await;
    agent.leave().await;
    let begun = std::time::Instant::now();
    let taken = next.turn().await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "after {:?}",
        begun.elapsed()
    );
    assert_eq!(
        (taken.turn.turn_id.as_str(), taken.turn.attempt),
        (held.turn.turn_id.as_str(), 2)
    );
    next.answer(taken, "a whole answer").await;
    let seen = visitor.listen(&held.turn.turn_id).await.rest().await;
    assert_eq!(names(&seen), ["delta", "restart", "message", "turn_done"]);
    assert_eq!(seen[1].data["keep"], false);
    assert_eq!(
        transcript(&seen),
        [(
            seen[2].data["id"].as_str().unwrap_or_default().to_owned(),
            "a whole answer".to_owned()
        )]
    );
    let snapshot = visitor.get(&held.turn.turn_id).await.expect(200).json();
    assert_eq!(
        snapshot["assistant"].as_array().map(Vec::len),
        Some(1),
        "{snapshot}"
    );
}

async fn frames_that_break_the_contract_end_the_stream(kind: Kind) {
    let stack = Stack::start(kind).await;
    let long = "x".repeat((64 << 10) + 1);
    for (frame, expected) in [
        (delta("", "x"), "INVALID"),
        (delta(&"i".repeat(65), "x"), "INVALID"),
        (delta("m1", &long), "TOO_LARGE"),
        (message("m1", &long), "TOO_LARGE"),
        (status(&long), "TOO_LARGE"),
        (arizuko_proto::v1::AgentFrame { body: None }, "INVALID"),
    ] {
        let (visitor, mut agent, held) = held(&stack).await;
        agent.say(held.append(1, vec![frame])).await;
        let ended = agent.ended().await.expect("a reason");
        assert_eq!(reason(&ended), expected);
        visitor
            .post_to(&format!("{}/cancel", held.turn.turn_id))
            .await
            .expect(200);
    }
    let (_, mut agent, held) = held(&stack).await;
    agent.say(held.append(0, vec![delta("m1", "x")])).await;
    assert_eq!(reason(&agent.ended().await.expect("a reason")), "INVALID");
}

async fn a_reply_past_its_limit_ends_as_failed(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_TURN_BYTES", "1000")]).await;
    let (visitor, mut agent, mut held) = held(&stack).await;
    agent.append(&mut held, delta("m1", &"x".repeat(900))).await;
    agent
        .say(held.append(2, vec![delta("m1", &"y".repeat(200))]))
        .await;
    let turn = held.turn.turn_id.clone();
    let cancelled =
        |heard: &Heard| matches!(heard, Heard::Cancel(c) if c.turn_id == turn).then_some(());
    agent.hear_of("Cancel", cancelled).await;
    let seen = visitor.listen(&held.turn.turn_id).await.rest().await;
    assert_eq!(names(&seen), ["delta", "turn_done"]);
    assert_eq!(
        (&seen[1].data["status"], &seen[1].data["error"]),
        (&"failed".into(), &"The reply was too long.".into())
    );
}

async fn the_first_message_is_hello_and_comes_once(kind: Kind) {
    let stack = Stack::start(kind).await;
    for first in [Some(Said::Accept(Accept::default())), None] {
        let mut agent = AgentServiceClient::new(stack.operator(0).await);
        let stream = agent
            .attach(tokio_stream::iter([AttachRequest { message: first }]))
            .await;
        let status = match stream {
            Ok(stream) => stream.into_inner().message().await.err(),
            Err(status) => Some(status),
        };
        assert_eq!(reason(&status.expect("a refusal")), "INVALID");
    }
    let mut agent = stack.attach("acme", 0).await;
    agent.say(Said::Hello(hello("acme", 1))).await;
    assert_eq!(reason(&agent.ended().await.expect("a reason")), "INVALID");
    for wrong in [
        hello("a b", 1),
        Hello {
            name: "n".repeat(101),
            ..hello("acme", 1)
        },
    ] {
        let refused = Session::try_open(stack.operator(1).await, wrong)
            .await
            .err()
            .expect("a refusal");
        assert_eq!(reason(&refused), "INVALID");
    }
}

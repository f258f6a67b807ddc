//! Handoffs: turns and conversations go from one folder to another, and back.

use arizuko_tests::prelude::*;

const NOTE: &str = "The customer is angry, be kind.";

async fn with_history(stack: &Stack, folder: &str) -> Session {
    let hello = Hello { history: 50, ..hello(folder, 100) };
    stack.session(B, hello).await
}

#[apply(every_stack)]
async fn a_turn_is_handed_off_with_a_note_that_the_visitor_never_sees(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let (mut bot, mut people) =
        (stack.attach("acme", A).await, with_history(&stack, "acme/people").await);
    let posted = here.say("a human, please").await;
    let mut live = there.follow(&posted.conversation).await;
    let mut held = bot.turn().await;
    bot.append(&mut held, delta("m1", "I'll fetch somebody.")).await;
    bot.push(&mut held, vec![handoff("acme/people", NOTE, false)]).await;
    assert_eq!(bot.lost(&posted.turn).await.detail, "it was handed off");

    let held = people.turn().await;
    let handed = held.turn.handed.clone().expect("it comes from the bot");
    assert_eq!((&*handed.folder, &*handed.note, handed.escalated), ("acme", NOTE, false));
    assert_eq!(held.turn.said[0].content, "I'll fetch somebody.");
    people.answer(held, "Here I am.").await;
    let seen = live.take(5).await;
    assert_eq!(names(&seen), ["user", "delta", "restart", "message", "turn_done"]);
    assert_eq!(seen[2].data["keep"], true);
    let texts: Vec<_> = transcript(&seen).into_iter().map(|(_, t)| t).collect();
    assert!(texts.contains(&"I'll fetch somebody.".to_owned()), "{texts:?}");
    let conversation = format!("c/{}", posted.conversation);
    for path in [&posted.turn, &conversation] {
        assert!(!here.get(path).await.expect(200).text().contains(NOTE), "{path}");
    }
    assert!(!arizuko_tests::sse::raw(&seen).contains(NOTE));

    // Only the turn was handed off: the bot gets the next message.
    here.say_in(&posted.conversation, "thanks").await;
    assert_eq!(&bot.turn().await.turn.content[..], b"thanks");
}

#[apply(every_stack)]
async fn a_conversation_stays_with_the_folder_it_was_assigned_to_until_it_is_handed_back(
    stack: Stack,
) {
    let visitor = stack.visit("acme").await;
    let mut bot = with_history(&stack, "acme").await;
    let mut people = with_history(&stack, "acme/people").await;
    let posted = visitor.say("a human, please").await;
    let mut held = bot.turn().await;
    bot.push(&mut held, vec![handoff("acme/people", NOTE, true)]).await;
    bot.lost(&posted.turn).await;
    people.answer_next("Here I am.").await;
    visitor.say_in(&posted.conversation, "more").await;
    let mut held = people.turn().await;
    assert_eq!(&held.turn.content[..], b"more");
    people.append(&mut held, message("m1", "The bot knows that.")).await;
    people.push(&mut held, vec![handoff("", "over to you", true)]).await;
    people.lost(&held.turn.turn_id).await;
    let held = bot.turn().await;
    let handed = held.turn.handed.clone().expect("it comes from people");
    assert_eq!((&*handed.folder, &*handed.note), ("acme/people", "over to you"));
    let history: Vec<_> = held.turn.history.iter().map(|m| &*m.content).collect();
    assert_eq!(history, ["a human, please", "Here I am."]);
    assert_eq!(held.turn.said[0].content, "The bot knows that.");
    bot.answer(held, "Indeed.").await;
    visitor.say_in(&posted.conversation, "last").await;
    assert_eq!(&bot.turn().await.turn.content[..], b"last");
}

#[apply(every_stack)]
async fn an_assignment_overrides_the_route_from_the_next_message_on(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let target = Some("acme/sales".to_owned());
    stack.route(Route { target, ..route("web:acme") }).await;
    let mut sales = stack.attach("acme/sales", A).await;
    let mut people = stack.attach("acme/people", B).await;
    let posted = visitor.say("hello").await;
    let held = sales.turn().await;
    stack.assign("acme/sales", &posted.conversation, "acme/people", NOTE).await;
    // A running turn stays with its agent.
    sales.answer(held, "hi").await;
    visitor.say_in(&posted.conversation, "more").await;
    let held = people.turn().await;
    assert_eq!(held.turn.handed.clone().expect("it was assigned").note, NOTE);
    people.answer(held, "hi too").await;
    visitor.say_in(&posted.conversation, "still").await;
    let held = people.turn().await;
    assert_eq!(held.turn.handed, None, "only the first turn carries the note");
    people.answer(held, "yes").await;
    stack.assign("acme/people", &posted.conversation, "", "").await;
    visitor.say_in(&posted.conversation, "back").await;
    assert_eq!(&sales.turn().await.turn.content[..], b"back");
}

#[apply(every_stack)]
async fn a_turn_cannot_be_handed_off_to_another_root_folder(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut bot = stack.attach("acme", A).await;
    let posted = visitor.say("hello").await;
    let mut held = bot.turn().await;
    bot.push(&mut held, vec![handoff("other/people", "", false)]).await;
    let status = bot.ended().await.expect("the stream ends with an error");
    assert_eq!(reason(&status), ErrorReason::Invalid);
    assert!(status.message().contains("other/people"), "{status:?}");
    // The agent attaches again and still holds the turn.
    let hello = Hello { session_id: bot.welcome.session_id.clone(), ..hello("acme", 100) };
    let mut bot = stack.session(B, hello).await;
    bot.answer_next("then I do it").await;
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");
}

#[apply(every_stack)]
async fn a_handoff_is_safe_to_repeat(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut bot = stack.attach("acme", A).await;
    let mut people = stack.attach("acme/people", B).await;
    let posted = visitor.say("hello").await;
    let held = bot.turn().await;
    // A handoff is refused if frames before it are missing. The answer names the expected seq.
    let frames = || vec![handoff("acme/people", "", false)];
    assert_eq!(bot.append_at(&held, 3, frames()).await.next_seq, 1);
    for _ in 0..3 {
        bot.say(held.append(1, frames())).await;
        bot.lost(&posted.turn).await;
    }
    let again = people.turn().await;
    assert_eq!(again.turn.attempt, 2);
    people.answer(again, "once").await;
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(names(&seen), ["restart", "message", "turn_done"]);
}

#[apply(every_stack)]
async fn a_queued_turn_moves_with_its_conversation(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut bot = stack.attach("acme", A).await;
    let mut people = stack.attach("acme/people", B).await;
    let posted = visitor.say("one").await;
    let mut held = bot.turn().await;
    visitor.say_in(&posted.conversation, "two").await;
    bot.push(&mut held, vec![handoff("acme/people", "", true)]).await;
    for expected in ["one", "two"] {
        let held = people.turn().await;
        assert_eq!(&held.turn.content[..], expected.as_bytes());
        people.answer(held, "ok").await;
    }
}

#[apply(every_stack)]
async fn a_turn_that_agents_hand_back_and_forth_fails_in_the_end(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut one = stack.attach("acme", A).await;
    let mut other = stack.attach("acme/other", B).await;
    let posted = visitor.say("whose is this?").await;
    for number in 0..21 {
        let (agent, to) = match number % 2 {
            0 => (&mut one, "acme/other"),
            _ => (&mut other, "acme"),
        };
        let mut held = agent.turn().await;
        agent.push(&mut held, vec![handoff(to, "", false)]).await;
    }
    let end = visitor.end_of(&posted.turn).await;
    assert_eq!(end["status"], "failed");
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(names(&seen).iter().filter(|name| **name == "restart").count(), 20);
}

#[apply(every_stack)]
async fn a_long_reply_is_handed_off_in_part(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut bot = stack.attach("acme", A).await;
    let mut people = stack.attach("acme/people", B).await;
    visitor.say("tell me all").await;
    let mut held = bot.turn().await;
    let piece = "x".repeat(60_000);
    for _ in 0..60 {
        bot.push(&mut held, vec![delta("m1", &piece)]).await;
    }
    bot.append(&mut held, delta("m1", "the end")).await;
    bot.push(&mut held, vec![handoff("acme/people", "", false)]).await;
    let held = people.turn().await;
    let said = &held.turn.said[0].content;
    assert!(said.ends_with("xthe end"));
    // Together with a message of 1 MiB and its context, this must fit into 4 MiB, the default
    // limit for a message in gRPC.
    assert!((500_000..1_000_000).contains(&said.len()), "{}", said.len());
}

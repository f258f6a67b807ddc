//! Handoffs between agents and people, `/back`, `/to` and `/close`.

use super::SEATS;
use arizuko_proto::v1::{Author, Turn};
use arizuko_tests::prelude::*;

async fn bot(stack: &Stack) -> Session {
    let hello = Hello { history: 50, ..hello("acme", 100) };
    stack.session(A, hello).await
}

fn said(turn: &Turn) -> Vec<(Author, &str)> {
    let history = turn.history.iter();
    history.map(|message| (message.author(), message.content.as_str())).collect()
}

#[apply(every_stack)]
async fn a_bot_hands_off_a_person_answers_and_the_bot_continues_with_the_history(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut bot = bot(&stack).await;
    for seat in SEATS {
        let mut ann = stack.person(seat, "acme/people", "Ann", B).await;
        let first = here.say("a human, please").await;
        let mut live = there.follow(&first.conversation).await;
        let mut held = bot.turn().await;
        let say = delta("m1", "One moment.");
        bot.push(&mut held, vec![say, handoff("acme/people", "angry", true)]).await;
        bot.lost(&first.turn).await;
        ann.opens("note from acme: angry").await;
        ann.asks("How can I help?", "Sent.").await;
        let mut seen = live.through("turn_done").await;
        seen.retain(|event| event.name != "status");
        assert_eq!(names(&seen), ["user", "delta", "restart", "message", "turn_done"]);
        assert_eq!(seen[2].data["keep"], true);
        assert_eq!(seen[3].data["name"], "Ann");

        here.say_in(&first.conversation, "it's about my bill").await;
        ann.sees("about my bill").await;
        ann.asks("Paid.", "Sent.").await;
        ann.asks("/back she wanted a receipt", "1 is with the agent now.").await;
        let third = here.say_in(&first.conversation, "thanks!").await;
        let held = bot.turn().await;
        assert_eq!(held.turn.turn_id, third.turn);
        let handed = held.turn.handed.clone().expect("it comes from a person");
        assert_eq!((&*handed.folder, &*handed.note), ("acme/people", "she wanted a receipt"));
        let (user, assistant, person) = (Author::User, Author::Assistant, Author::Person);
        let expected = [
            (user, "a human, please"),
            (assistant, "One moment."),
            (person, "How can I help?"),
            (user, "it's about my bill"),
            (person, "Paid."),
        ];
        assert_eq!(said(&held.turn), expected);
        assert_eq!(held.turn.history[2].name, "Ann");
        bot.answer(held, "You're welcome.").await;
        ann.asks("/list", "Nothing waits, and nothing is open.").await;
    }
}

#[apply(every_stack)]
async fn the_bot_answers_a_turn_that_a_person_hands_back(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut bot = bot(&stack).await;
    for seat in SEATS {
        let mut ann = stack.person(seat, "acme/people", "Ann", B).await;
        let posted = visitor.say("a human, please").await;
        let mut held = bot.turn().await;
        bot.push(&mut held, vec![handoff("acme/people", "", true)]).await;
        bot.lost(&posted.turn).await;
        ann.opens("handed off by acme").await;
        ann.asks("/back you know that", "1 is with the agent now.").await;
        let held = bot.turn().await;
        assert_eq!(held.turn.turn_id, posted.turn);
        let handed = held.turn.handed.clone().expect("it comes from a person");
        assert_eq!((&*handed.folder, &*handed.note), ("acme/people", "you know that"));
        bot.answer(held, "Indeed.").await;
        assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");
        visitor.say_in(&posted.conversation, "and this?").await;
        let held = bot.turn().await;
        assert_eq!(&held.turn.content[..], b"and this?");
        bot.answer(held, "Also.").await;
    }
}

#[apply(every_stack)]
async fn a_person_hands_off_to_another_folder(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    for seat in SEATS {
        let mut ann = stack.person(seat, "acme/people", "Ann", B).await;
        let mut cleo = stack.person(seat, "acme/legal", "Cleo", A).await;
        let posted = visitor.say("I shall sue").await;
        ann.opens("sue").await;
        ann.asks("/to acme/legal be careful", "1 is with acme/legal now.").await;
        let shown = cleo.opens("note from acme/people: be careful").await;
        assert!(shown.contains("I shall sue"), "{shown}");
        cleo.asks("Please don't.", "Sent.").await;
        // `/to` has assigned the whole conversation to acme/legal.
        visitor.say_in(&posted.conversation, "why not?").await;
        cleo.sees("why not?").await;
        cleo.asks("It is dear.", "Sent.").await;
        // A conversation without an open turn can be assigned to another folder too.
        cleo.asks("/to acme/people all is well", "1 is with acme/people now.").await;
        let next = visitor.say_in(&posted.conversation, "well then").await;
        ann.opens("note from acme/legal: all is well").await;
        ann.asks("Good.", "Sent.").await;
        assert_eq!(visitor.end_of(&next.turn).await["status"], "done");
        visitor.say_in(&posted.conversation, "one more thing").await;
        ann.sees("one more thing").await;
        let nobody = "is with acme/nobody now, but nobody is attached to acme/nobody: it waits.";
        ann.asks("/to acme/nobody", nobody).await;
    }
}

#[apply(every_stack)]
async fn after_close_the_agent_answers_the_conversation(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut bot = bot(&stack).await;
    let mut ann = stack.person(Seat::Terminal, "acme/people", "Ann", B).await;
    let posted = visitor.say("a human, please").await;
    let mut held = bot.turn().await;
    bot.push(&mut held, vec![handoff("acme/people", "", true)]).await;
    bot.lost(&posted.turn).await;
    ann.opens("a human").await;
    ann.asks("/close", "1 is closed.").await;
    let end = visitor.end_of(&posted.turn).await;
    assert_eq!(end["status"], "done", "/close ends the turn without a message");
    visitor.say_in(&posted.conversation, "hello?").await;
    let held = bot.turn().await;
    assert_eq!(&held.turn.content[..], b"hello?");
    ann.asks("/list", "nothing is open").await;
}

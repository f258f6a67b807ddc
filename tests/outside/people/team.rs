//! Colleagues in one folder: who has which conversation, and how it changes hands.

use super::SEATS;
use arizuko_tests::prelude::*;

#[apply(every_stack)]
async fn a_conversation_that_a_colleague_holds_is_asked_about_and_can_be_taken(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    for seat in SEATS {
        let mut ann = stack.person(seat, "acme/people", "Ann", A).await;
        let mut ben = stack.person(seat, "acme/people", "Ben", B).await;
        let posted = visitor.say("hello").await;
        ben.sees("1 waits, web:acme/people").await;
        ann.opens("hello").await;
        // Ben's list follows within a second.
        while !ben.asks("/list", "1 ").await.contains("1 held by Ann, web:acme/people") {}
        ben.asks("/open 1", "1 is held by Ann: /take, /watch.").await;
        ben.asks("an answer", "Nothing is open").await;
        ben.asks("/take", "hello").await;
        ann.sees("1 no longer needs an answer: Ben has taken it").await;
        ann.sees("1 is Ben's now: /take, /watch.").await;
        ann.asks("an answer", "Nothing is open").await;
        ben.asks("from Ben", "Sent.").await;

        // Ben still has the conversation when no message waits in it.
        while !ann.asks("/list", "1 ").await.contains("1 open with Ben, web:acme/people") {}
        ann.asks("/open 1", "1 is held by Ben: /take, /watch.").await;
        ann.asks("/take 1", "from Ben").await;
        ben.sees("1 is Ann's now: /take, /watch.").await;
        let next = visitor.say_in(&posted.conversation, "and now?").await;
        ann.sees("and now?").await;
        ann.asks("from Ann", "Sent.").await;
        assert_eq!(visitor.end_of(&next.turn).await["status"], "done");

        // Nobody has the conversation once Ann has left.
        ann.end().await;
        ann.gone().await;
        while ben.asks("/list", "1 ").await.contains("Ann") {}
        ben.asks("/open 1", "from Ann").await;
        ben.asks("/close", "closed").await;
        let messages = stack.read("acme/people", &posted.conversation).await;
        let said: Vec<_> = messages.iter().map(|said| (&*said.content, &*said.name)).collect();
        let expected = [("hello", ""), ("from Ben", "Ben"), ("and now?", ""), ("from Ann", "Ann")];
        assert_eq!(said, expected);
    }
}

#[apply(every_stack)]
async fn a_turn_that_waits_says_whose_conversation_it_is_in(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    let mut ann = stack.person(Seat::Pipes, "acme/people", "Ann", A).await;
    let first = visitor.say("one").await;
    ann.opens("one").await;
    ann.asks("1", "Sent.").await;
    visitor.say("two").await;
    ann.sees("2 waits").await;
    ann.asks("/open 2", "two").await;
    let mut ben = stack.person(Seat::Pipes, "acme/people", "Ben", B).await;
    visitor.say_in(&first.conversation, "and then?").await;
    ben.sees("waits for Ann, web:acme/people, ").await;
    ann.sees("1 waits, web:acme/people, ").await;
}

#[apply(every_stack)]
async fn a_message_of_its_own_never_goes_beside_a_held_turn(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut bot = stack.attach("acme", A).await;
    let posted = visitor.say("hello").await;
    let held = bot.turn().await;
    let mut ann = stack.person(Seat::Pipes, "acme/people", "Ann", B).await;
    stack.assign("acme", &posted.conversation, "acme/people", "").await;
    while !ann.asks("/list", " open").await.contains("1 open") {}
    ann.asks("/open 1", "hello").await;
    ann.asks("beside", "Not sent: protocol test holds the visitor's message").await;
    bot.answer(held, "from the bot").await;
    ann.asks("after", "Sent, as a message of its own.").await;
    let messages = stack.read("acme", &posted.conversation).await;
    let said: Vec<_> = messages.iter().map(|said| &*said.content).collect();
    assert_eq!(said, ["hello", "from the bot", "after"]);
}

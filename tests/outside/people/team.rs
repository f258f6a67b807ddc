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
        // The reason after the colon varies: the notice of the loss has one, and the answer to what
        // Ann's session said before has another; either may come first.
        ann.sees("1 no longer needs an answer: ").await;
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

#[apply(every_stack)]
async fn watch_follows_a_conversation_live_and_never_answers_in_it(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    for seat in SEATS {
        let mut ann = stack.person(seat, "acme/people", "Ann", A).await;
        let mut ben = stack.person(seat, "acme/people", "Ben", B).await;
        let posted = visitor.say("hello").await;
        ben.sees("1 waits").await;
        ann.opens("hello").await;
        while !ben.asks("/list", "1 ").await.contains("held by Ann") {}
        ben.asks("/open 1", "held by Ann: /take, /watch.").await;
        ben.asks("/watch", "You watch 1").await;
        ben.sees("visitor, ").await;
        ben.asks("beside", "You only watch 1: /take it to answer.").await;
        ben.asks("/back", "You only watch 1").await;
        let rest = match seat {
            Seat::Terminal => {
                ann.press("from ");
                "Ann"
            }
            _ => {
                ann.asks("/typing", "sees that you are typing").await;
                "from Ann"
            }
        };
        ben.sees("(Ann is typing…)").await;
        ann.asks(rest, "Sent.").await;
        ben.sees("Ann, 0 s ago: from Ann").await;
        visitor.say_in(&posted.conversation, "and now?").await;
        ann.sees("and now?").await;
        ben.sees("visitor, 0 s ago: and now?").await;
        ben.asks("/take", "and now?").await;
        ben.asks("from Ben", "Sent.").await;
        ben.asks("/leave", "You have left 1.").await;
        ben.asks("/leave", "Nothing is open.").await;
        ben.asks("/open 1", "from Ben").await;
        ben.asks("/close", "closed").await;
        let messages = stack.read("acme/people", &posted.conversation).await;
        let said: Vec<_> = messages.iter().map(|said| &*said.content).collect();
        assert_eq!(said, ["hello", "from Ann", "and now?", "from Ben"]);
    }
}

#[apply(every_stack)]
async fn whoever_watches_sees_what_an_agent_writes_even_if_control_restarts(mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut bot = stack.attach("acme", A).await;
    let posted = visitor.say("hello").await;
    bot.answer_next("one").await;
    stack.assign("acme", &posted.conversation, "acme/people", "").await;
    let mut ben = stack.person(Seat::Pipes, "acme/people", "Ben", B).await;
    ben.sees("1 open").await;
    ben.asks("/watch 1", "You watch 1").await;
    ben.sees("agent, ").await;
    stack.restart(Control(B)).await;
    let said = ["agent", "say", "--folder", "acme", &posted.conversation, "two"];
    stack.arizuko(&said).await.expect(0);
    let shown = ben.sees("agent, 0 s ago: two").await;
    assert!(!shown.contains(": one"), "it was shown before: {shown}");
}

#[apply(every_stack)]
async fn a_note_stays_with_the_conversation_and_history_and_search_find_it_all(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut bot = stack.session(A, Hello { history: 50, ..hello("acme", 100) }).await;
    let posted = visitor.say("my invoice 4711 is wrong").await;
    let mut held = bot.turn().await;
    bot.push(&mut held, vec![handoff("acme/people", "angry", true)]).await;
    bot.lost(&posted.turn).await;
    for seat in SEATS {
        let mut ann = stack.person(seat, "acme/people", "Ann", A).await;
        ann.sees("1 ").await;
        let first = if seat == Seat::Terminal { "invoice" } else { "Looking." };
        ann.asks("/open 1", first).await;
        if seat == Seat::Terminal {
            ann.asks("Looking.", "Sent.").await;
        }
        ann.asks(&format!("/note calls back at 5 ({seat:?})"), "Noted").await;
        ann.asks("/note", "write what to note").await;
        let shown = ann.asks("/history", "note by Ann: calls back at 5").await;
        for words in ["visitor: my invoice 4711", "(handed off): from acme", "Ann, a person: Look"]
        {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        ann.asks("/search INVOICE 4711", "1, web:acme, 0 s: ").await;
        ann.asks("/search nobody said this", "No message has all these words.").await;
        ann.end().await;
        ann.gone().await;
        let mut ben = stack.person(seat, "acme/people", "Ben", B).await;
        ben.sees("1 open, web:acme").await;
        ben.asks("/open 1", &format!("note by Ann, 0 s ago: calls back at 5 ({seat:?})")).await;
        ben.end().await;
    }
    let shown = stack.arizuko(&["conversation", "list", "acme", "--json"]).await.expect(0).json();
    let id = text(&shown["conversations"][0]["conversation_id"]);
    let shown = stack.arizuko(&["conversation", "show", &id]).await.expect(0).out;
    assert!(shown.contains("note by Ann: calls back at 5 (Terminal)"), "{shown}");

    // Neither the visitor nor an agent gets the notes.
    let history = visitor.get(&format!("c/{}", posted.conversation)).await.json();
    stack.assign("acme/people", &posted.conversation, "", "").await;
    visitor.say_in(&posted.conversation, "thanks").await;
    let held = bot.turn().await;
    for (who, got) in [("visitor", history.to_string()), ("agent", format!("{:?}", held.turn))] {
        assert!(got.contains("Looking.") && !got.contains("calls back"), "{who}: {got}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

//! A person's answers, and how visitors see them.

use super::SEATS;
use arizuko_tests::prelude::*;

#[apply(every_stack)]
async fn an_answer_carries_the_persons_name(stack: Stack) {
    let [here, there] = stack.visit_both("acme/people").await;
    for seat in SEATS {
        let mut ann = stack.person(seat, "acme/people", "Ann", A).await;
        let posted = here.say("hello").await;
        let mut live = there.listen(&posted.turn).await;
        ann.opens("hello").await;
        ann.asks("Good day, it's **Ann**.", "Sent.").await;
        let seen = live.rest().await;
        let message = seen.iter().find(|event| event.name == "message");
        let message = &message.expect("an answer").data;
        assert_eq!(message["author"], "person", "{message}");
        assert_eq!(message["name"], "Ann", "{message}");
        assert_eq!(message["content"], "Good day, it's **Ann**.");
        assert_eq!(seen.last().expect("an end").data["status"], "done");
        let history = here.get(&format!("c/{}", posted.conversation)).await.json();
        let said = &history["turns"][0]["assistant"][0];
        assert_fields(said, json!({"author": "person", "name": "Ann"}));
        ann.asks("/close", "closed").await;
    }
}

#[apply(every_stack)]
async fn the_next_message_of_an_open_conversation_comes_without_open(stack: Stack) {
    let visitor = stack.visitor(&stack.issue("acme").await, B);
    let mut bot = stack.attach("acme", A).await;
    for seat in SEATS {
        let mut ann = stack.person(seat, "acme/people", "Ann", A).await;
        let first = visitor.say("one").await;
        let mut held = bot.turn().await;
        // The bot hands off only the turn. Ann's /open assigns the conversation.
        bot.push(&mut held, vec![handoff("acme/people", "", false)]).await;
        bot.lost(&first.turn).await;
        ann.opens("one").await;
        ann.asks("1", "Sent.").await;
        for (question, answer) in [("two", "2"), ("three", "3")] {
            let posted = visitor.say_in(&first.conversation, question).await;
            ann.sees(question).await;
            ann.asks(answer, "Sent.").await;
            let said = visitor.read(&posted.turn).await;
            let content = said.iter().map(|event| &event.data["content"]);
            assert!(content.into_iter().any(|content| content == answer), "{said:?}");
        }
        // A new inbox, in which the conversation is not open, announces the next message.
        ann.end().await;
        ann.gone().await;
        visitor.say_in(&first.conversation, "four").await;
        let mut ben = stack.person(Seat::Pipes, "acme/people", "Ben", B).await;
        let shown = ben.opens("four").await;
        assert!(shown.contains("Ann, ") && shown.contains(": 3\n"), "{shown}");
        ben.asks("4", "Sent.").await;
        ben.asks("/close", "closed").await;
    }
}

#[apply(every_stack)]
async fn a_person_sends_a_message_without_being_asked(stack: Stack) {
    let [here, there] = stack.visit_both("acme/people").await;
    for seat in SEATS {
        let mut ann = stack.person(seat, "acme/people", "Ann", B).await;
        let posted = here.say("hello").await;
        let mut live = there.follow(&posted.conversation).await;
        ann.opens("hello").await;
        ann.asks("wait a moment", "Sent.").await;
        live.through("turn_done").await;
        ann.asks("I have found it.", "Sent, as a message of its own.").await;
        let seen = live.through("turn_done").await;
        assert_eq!(names(&seen), ["message", "turn_done"]);
        let said = &seen[0].data;
        assert_fields(
            said,
            json!({"content": "I have found it.", "author": "person", "name": "Ann"}),
        );
        assert_ne!(said["turn_id"], json!(posted.turn));
        let history = here.get(&format!("c/{}", posted.conversation)).await.json();
        assert!(history.to_string().contains("I have found it."), "{history}");
        ann.asks("/close", "closed").await;
    }
}

#[apply(every_stack)]
async fn continued_and_pasted_lines_are_one_answer(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    let mut ann = stack.person(Seat::Terminal, "acme/people", "Ann", B).await;
    let posted = visitor.say("hello").await;
    ann.opens("hello").await;
    ann.enter("first\\");
    ann.enter("/second\\");
    ann.asks("third", "Sent.").await;
    ann.paste("line one\nline two\n\nline four");
    ann.asks("!", "Sent, as a message of its own.").await;
    // Ctrl-C drops the line that is being typed. If it came before the prompt, it would end the
    // inbox.
    ann.prompted().await;
    ann.press("never mind");
    ann.ends_with("never mind").await;
    ann.press("\x03");
    ann.prompted().await;
    ann.asks("said", "Sent, as a message of its own.").await;
    let messages = stack.read("acme/people", &posted.conversation).await;
    let contents: Vec<_> = messages.iter().map(|message| message.content.as_str()).collect();
    let expected = ["hello", "first\n/second\nthird", "line one\nline two\n\nline four!", "said"];
    assert_eq!(contents, expected);
}

#[apply(every_stack)]
async fn a_very_long_answer_arrives_whole(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    let lines: Vec<_> = (0..20_000).map(|n| format!("é{n}")).collect();
    let mut ann = stack.person(Seat::Pipes, "acme/people", "Ann", B).await;
    let posted = visitor.say("hello").await;
    ann.opens("hello").await;
    ann.enter(&lines.join("\\\n"));
    ann.sees("Sent.").await;
    let messages = stack.read("acme/people", &posted.conversation).await;
    let said: Vec<_> = messages[1..].iter().map(|message| &*message.content).collect();
    assert!(said.len() > 1, "the answer needs several frames");
    assert_eq!(said.join("\n"), lines.join("\n"));
    assert!(messages[1..].iter().all(|message| message.name == "Ann"));
}

#[apply(every_stack)]
async fn a_person_learns_that_a_turn_needs_no_answer_any_more(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    let mut ann = stack.person(Seat::Terminal, "acme/people", "Ann", B).await;
    let posted = visitor.say("hello").await;
    ann.opens("hello").await;
    ann.press("half an ans");
    visitor.cancel(&posted.turn).await;
    ann.sees("1 no longer needs an answer: the visitor cancelled it").await;
    // The conversation is still open: the answer is sent as a message of its own.
    ann.asks("wer", "Sent, as a message of its own.").await;
    let messages = stack.read("acme/people", &posted.conversation).await;
    assert_eq!(messages.last().expect("what was said").content, "half an answer");

    let link = stack.issue_with("acme/people", "brief", Default::default()).await;
    let brief = stack.visitor(&link, A);
    brief.say("quick").await;
    ann.sees("2 waits").await;
    ann.asks("/open 2", "quick").await;
    stack.revoke(&link.token_id).await;
    ann.sees("2 no longer needs an answer").await;
    ann.asks("too late", "Not sent: ").await;
}

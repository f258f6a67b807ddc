//! An inbox: the turns and conversations that it shows, its answers to wrong commands, and its end.

use super::SEATS;
use arizuko_tests::prelude::*;

#[apply(every_stack)]
async fn queued_turns_are_announced_and_listed(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    visitor.say("I was here before").await;
    for seat in SEATS {
        let mut ann = stack.person(seat, "acme/people", "Ann", B).await;
        ann.sees("1 waits, web:acme/people, ").await;
        let mut last = 1;
        for text in ["is anybody\nthere?", &"x".repeat(300)] {
            let posted = visitor.say(text).await;
            last += 1;
            let line = ann.sees(&format!("{last} waits, web:acme/people, ")).await;
            let beginning = &text.replace('\n', " ")[..10];
            assert!(line.contains(beginning) && line.len() < 200, "{line}");
            visitor.post_to(&format!("{}/cancel", posted.turn)).await;
        }
        // A conversation keeps its number when other conversations come and go.
        visitor.say("the last one").await;
        last += 1;
        ann.sees(&format!("{last} waits")).await;
        let list = ann.asks("/list", "the last one").await;
        assert!(list.contains("1 waits, web:acme/people, ") && list.contains("here before"));
        assert!(list.contains(&format!("\n{last} waits")) && !list.contains("2 waits"), "{list}");
        let open = ann.asks(&format!("/open {last}"), "the last one").await;
        assert!(open.contains("visitor, "), "{open}");
        ann.asks("bye", "Sent.").await;
        ann.asks("/close", "is closed.").await;
        ann.end().await;
        assert!(ann.gone().await.success());
    }
}

#[apply(every_stack)]
async fn open_shows_the_history_the_note_and_the_context(stack: Stack) {
    let options = LinkOptions { context: "a premium customer".into(), ..LinkOptions::default() };
    let persona = Some("support engineer".into());
    let route = Route { persona, ..route("web:acme/shop") };
    stack.route(route).await;
    let visitor = stack.visitor(&stack.issue_with("acme", "shop", options).await, A);
    let mut bot = stack.attach("acme", A).await;
    for seat in SEATS {
        let mut ann = stack.person(seat, "acme/people", "Ann", B).await;
        let posted = visitor.say("my first question").await;
        bot.answer_next("my first answer").await;
        visitor.say_in(&posted.conversation, "a human, please").await;
        let mut held = bot.turn().await;
        let say = delta("m1", "I fetch somebody.");
        let hand = handoff("acme/people", "wants money back", false);
        bot.push(&mut held, vec![say, hand]).await;
        bot.lost(&held.turn.turn_id).await;

        ann.sees("1 waits, web:acme/shop").await;
        let shown = ann.asks("/open 1", "note from acme: wants money back").await;
        let expected = [
            "1, web:acme/shop",
            "persona: support engineer",
            "context: a premium customer",
            "visitor, ",
            "my first question",
            "agent, ",
            "my first answer",
            "a human, please",
            "already said by agent, ",
            "I fetch somebody.",
            "note from acme",
        ];
        let mut rest = shown.as_str();
        for words in expected {
            let at = rest.find(words);
            rest = &rest[at.unwrap_or_else(|| panic!("no {words:?} in its place: {shown}"))..];
        }
        ann.asks("Here I am.", "Sent.").await;
        ann.asks("/close", "closed").await;
    }
}

#[apply(every_stack)]
async fn control_characters_of_visitors_do_not_reach_the_terminal(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    for seat in SEATS {
        let mut ann = stack.person(seat, "acme/people", "Ann", B).await;
        let posted = visitor.say("\x1b[2J\x1b]0;evil\x07wipe\rme\u{9b}2J").await;
        ann.opens("evil").await;
        ann.asks("ok", "Sent.").await;
        ann.asks("/close", "closed").await;
        ann.end().await;
        ann.gone().await;
        // At a terminal, the inbox itself rings once, and prints sequences that end with a BEL to
        // notify the person and to set the title. Nothing else may be such a sequence or a BEL.
        let mut shown = String::from_utf8_lossy(ann.bytes()).into_owned();
        while let Some(at) = shown.find("\x1b]") {
            let end = at + shown[at..].find('\x07').expect("a sequence has an end");
            let sequence = shown.drain(at..=end).collect::<String>();
            let is_ours = sequence.starts_with("\x1b]9;arizuko: 1 waits")
                || sequence.contains("arizuko inbox acme/people");
            assert!(seat == Seat::Terminal && is_ours, "{sequence:?}");
        }
        if seat == Seat::Terminal {
            assert_eq!(shown.matches('\x07').count(), 1);
            shown = shown.replace('\x07', "");
        }
        let bytes = shown.as_bytes();
        let has = |pattern: &[u8]| bytes.windows(pattern.len()).any(|part| part == pattern);
        assert!(!has(b"\x1b[2J") && !has(b"\x1b]") && !has(b"\x07"), "{seat:?}");
        assert!(!has(b"wipe\rme") && !has("\u{9b}".as_bytes()), "{seat:?}");
        visitor.delete(&format!("c/{}", posted.conversation)).await;
    }
}

#[apply(every_stack)]
async fn in_a_pipe_the_inbox_prints_plain_lines_only(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    let posted = visitor.say("hello").await;
    let mut inbox = stack.operators_command();
    inbox.args(["inbox", "acme/people", "--name", "Ann"]);
    let script = "/list\n/open 1\nHello,\\\n\\\nhow are you?\n/close\n";
    let outcome = run(&mut inbox, script).await.expect(0);
    let end = visitor.end_of(&posted.turn).await;
    assert_eq!(end["status"], "done", "{outcome:?}");
    let said = &stack.read("acme/people", &posted.conversation).await[1];
    assert_eq!((&*said.content, &*said.name), ("Hello,\n\nhow are you?", "Ann"));
    let plain = |c: char| c == '\n' || !c.is_control();
    assert!(outcome.out.chars().all(plain), "{outcome:?}");
    assert!(!outcome.out.contains("> ") && outcome.err.is_empty(), "{outcome:?}");
    assert!(outcome.out.ends_with("Sent.\n1 is closed.\n"), "{outcome:?}");
}

#[apply(embedded)]
async fn a_line_that_is_not_utf_8_is_refused_and_the_exit_code_tells(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    for seat in SEATS {
        let mut ann = stack.person(seat, "acme/people", "Ann", A).await;
        let posted = visitor.say("hello").await;
        ann.opens("hello").await;
        if seat == Seat::Terminal {
            ann.press(b"caf\xe9 au lait");
            ann.sees("this line cannot be sent").await;
            ann.press("\r");
        } else {
            ann.press(b"a\\\ncaf\xe9\\\nau lait\n");
        }
        ann.sees("Nothing was sent or done").await;
        ann.asks("Good day.", "Sent.").await;
        ann.asks("/close", "closed").await;
        ann.end().await;
        let expected = if seat == Seat::Terminal { 0 } else { 1 };
        assert_eq!(ann.gone().await.code(), Some(expected), "{seat:?}");
        let messages = stack.read("acme/people", &posted.conversation).await;
        let contents: Vec<_> = messages.iter().map(|message| &*message.content).collect();
        assert_eq!(contents, ["hello", "Good day."], "{seat:?}");
    }
    let mut inbox = stack.operators_command();
    inbox.args(["inbox", "acme/people", "--name", "Ann"]);
    let cut = run(&mut inbox, "/nothing\nit goes\\\n").await.expect(1);
    assert!(cut.out.contains("in the middle of an answer"), "{cut:?}");
    assert!(cut.err.contains("2 lines were not carried out"), "{cut:?}");
}

#[apply(every_stack)]
async fn invalid_commands_are_explained_and_change_nothing(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    let posted = visitor.say("hello").await;
    let mut ann = stack.person(Seat::Pipes, "acme/people", "Ann", A).await;
    for (line, told) in [
        ("an answer", "Nothing is open"),
        ("/back", "Nothing is open"),
        ("/close", "Nothing is open"),
        ("/typing", "No visitor waits"),
        ("/open 7", "There is no 7"),
        ("/open", "/open 1"),
        ("/nothing", "/help"),
        ("/help", "/to FOLDER"),
    ] {
        ann.asks(line, told).await;
    }
    ann.asks("/open 1", "hello").await;
    for (line, told) in [
        ("/to", "name a folder"),
        ("/to other/people", "root folder"),
        ("/to acme//people", "looks like"),
        ("/close it", "takes no argument"),
    ] {
        ann.asks(line, told).await;
    }
    ann.asks("//slash", "Sent.").await;
    let said = &stack.read("acme/people", &posted.conversation).await[1];
    assert_eq!(said.content, "/slash");
}

#[apply(every_stack)]
async fn a_person_can_leave_in_several_ways(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    let posted = visitor.say("hello").await;
    for seat in SEATS {
        for way in ["/quit", "end", "term", "interrupt"] {
            let mut ann = stack.person(seat, "acme/people", "Ann", B).await;
            // A turn that was handed back a moment ago is listed at once.
            let first = ann.sees("1 ").await;
            assert!(first.contains("1 waits"), "{first}");
            ann.asks("/open 1", "hello").await;
            match way {
                "/quit" => ann.enter("/quit"),
                "end" => ann.end().await,
                "interrupt" if seat == Seat::Terminal => {
                    ann.prompted().await;
                    ann.press("\x03");
                }
                "interrupt" => ann.signal(Signal::SIGINT),
                _ => ann.signal(Signal::SIGTERM),
            }
            if way != "term" {
                ann.sees("1 turn goes back to the queue.").await;
                ann.sees("1 conversation stays with acme/people.").await;
            }
            assert!(ann.gone().await.success(), "{seat:?} {way}");
        }
    }
    // The turn can be opened at once, without waiting for the end of a lease.
    let mut ben = stack.person(Seat::Pipes, "acme/people", "Ben", A).await;
    let first = ben.sees("1 ").await;
    assert!(first.contains("1 waits"), "{first}");
    ben.asks("/open 1", "hello").await;
    ben.asks("At last.", "Sent.").await;
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");
    let said = visitor.get(&posted.turn).await.json();
    assert_eq!(said["assistant"][0]["name"], json!("Ben"));
}

#[apply(every_stack)]
async fn a_key_that_does_not_reach_the_folder_is_refused(stack: Stack) {
    let key = stack.agent_key("acme/eng").await;
    let mut inbox = stack.operators_command();
    inbox.env("ARIZUKO_KEY", key).args(["inbox", "acme/people", "--name", "Ann"]);
    let refused = run(&mut inbox, "/list\n").await.expect(1);
    assert!(refused.err.contains("use another key"), "{refused:?}");
    let mut inbox = stack.operators_command();
    let wrong = run(inbox.args(["inbox", "acme people"]), "").await.expect(2);
    assert!(wrong.err.contains("acme/people"), "{wrong:?}");
    let mut inbox = stack.operators_command();
    let nobody = run(inbox.env_remove("USER").args(["inbox", "acme"]), "").await;
    assert!(nobody.expect(1).err.contains("--name"));
}

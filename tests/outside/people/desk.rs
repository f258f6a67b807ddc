//! The full-screen desk, as a terminal of 80 by 24 or of 200 by 60 characters shows it.

use arizuko_tests::prelude::*;

const SMALL: Seat = Seat::Desk { rows: 24, columns: 80 };
const LARGE: Seat = Seat::Desk { rows: 60, columns: 200 };

#[apply(every_stack)]
async fn a_conversation_is_chosen_answered_and_followed_by_keys(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    for seat in [SMALL, LARGE] {
        let mut ann = stack.person(seat, "acme/people", "Ann", A).await;
        let posted = visitor.say("Hello, is anybody there?").await;
        ann.shows("acme/people (1)").await;
        ann.shows("1 waits, ").await;
        ann.shows("Choose a conversation on the left.").await;
        // Down chooses the first conversation, and Enter opens it.
        ann.press("\x1b[B\r");
        ann.shows("1 is yours, ").await;
        let screen = ann.shows("visitor, ").await;
        assert!(screen.contains("is anybody there?"), "{screen}");
        ann.shows("Address").await;
        let mut live = visitor.follow(&posted.conversation).await;
        ann.press("I am.");
        let typing = live.through("status").await;
        assert_eq!(
            typing.last().map(|event| event.data["text"].clone()),
            Some(json!("Ann is typing…"))
        );
        ann.press("\r");
        let screen = ann.shows("Ann, ").await;
        assert!(screen.contains("I am."), "{screen}");
        ann.shows("Sent.").await;
        visitor.say_in(&posted.conversation, "Thanks.").await;
        ann.shows("Thanks.").await;
        ann.enter("/note pays by invoice");
        let screen = ann.shows("Notes").await;
        assert!(screen.contains("note by Ann") && screen.contains("invoice"), "{screen}");
        ann.enter("/close");
        ann.shows("1 is closed.").await;
        ann.end().await;
        assert!(ann.gone().await.success());
        let shown = String::from_utf8_lossy(ann.bytes());
        assert!(shown.contains("\x1b[?1049l"), "the screen before it is back");
    }
}

#[apply(embedded)]
async fn a_click_opens_a_conversation_and_pages_lie_over_it(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    visitor.say("first").await;
    let mut ann = stack.person(SMALL, "acme/people", "Ann", A).await;
    let posted = visitor.say("second").await;
    let screen = ann.looks("both", |screen| screen.contains("2 waits")).await;
    let row = screen.lines().position(|line| line.contains("2 waits")).expect("it is there") + 1;
    // A press of the left button in the fourth column, as terminals report it (SGR).
    ann.press(format!("\x1b[<0;4;{row}M"));
    ann.shows("2 is yours").await;
    ann.shows("visitor, ").await;
    ann.photograph("small");
    ann.press("\x1bOP");
    let help = ann.shows("show what waits").await;
    ann.photograph("small-help");
    assert!(!help.contains("visitor, "), "the help lies over it: {help}");
    ann.press("\x1b");
    ann.looks("no help", |screen| !screen.contains("show what waits")).await;
    ann.enter("/search second");
    ann.shows("2, web:acme/people, ").await;
    ann.photograph("small-search");
    ann.paste("two\nlines");
    ann.shows("lines").await;
    ann.press("\r");
    ann.shows("Sent.").await;
    let said = &stack.read("acme/people", &posted.conversation).await[1];
    assert_eq!(said.content, "two\nlines");
}

#[apply(embedded)]
async fn a_desk_watches_and_takes_what_a_colleague_holds(stack: Stack) {
    let site = stack.visit("acme/people").await;
    let mut ann = stack.person(Seat::Pipes, "acme/people", "Ann", A).await;
    site.say("hello").await;
    ann.opens("hello").await;
    let mut ben = stack.person(LARGE, "acme/people", "Ben", A).await;
    ben.shows("1 held by Ann").await;
    ben.press("\x1b[B\r");
    ben.shows("1 is held by Ann: /take, /watch.").await;
    ben.photograph("large-held");
    ben.press("\x1bOQ");
    ben.shows("You watch 1").await;
    ben.shows("hello").await;
    ann.asks("from Ann", "Sent.").await;
    ben.shows("from Ann").await;
    ben.shows("1 open with Ann").await;
    ben.photograph("large-watched");
    ben.press("\x1bOR");
    ben.shows("1 open, ").await;
    ann.sees("1 is Ben's now").await;
    ben.enter("from Ben");
    ben.shows("Sent, as a message of its own.").await;
    ben.photograph("large-taken");
}

#[apply(embedded)]
async fn a_desk_shows_two_folders_and_the_wheel_scrolls(stack: Stack) {
    let (sales, support) = (stack.visit("acme/sales").await, stack.visit("acme/support").await);
    let folders = ["acme/sales", "acme/support"];
    let mut ann = stack.person_with(SMALL, &folders, "Ann", A).await;
    support.say("a question of support").await;
    ann.shows("acme/support (1)").await;
    let long: Vec<_> = (10..60).map(|number| format!("row {number}")).collect();
    sales.say(&long.join("\n")).await;
    let screen = ann.shows("acme/sales (1)").await;
    let place = |words: &str| screen.find(words).expect("it is shown");
    assert!(place("acme/sales (1)") < place("acme/support (1)"), "{screen}");
    ann.enter("/open 2");
    ann.looks("the end", |screen| screen.contains("│row 59") && !screen.contains("│row 10")).await;
    ann.photograph("small-long");
    // The wheel in the middle, away from the user and then towards the user (SGR).
    ann.press("\x1b[<64;40;10M".repeat(20));
    ann.looks("the top", |screen| screen.contains("│row 10") && !screen.contains("│row 59")).await;
    ann.press("\x1b[<65;40;10M".repeat(20));
    ann.looks("the end", |screen| screen.contains("│row 59") && !screen.contains("│row 10")).await;
    ann.enter("/open 1");
    ann.looks("the other", |screen| !screen.contains("│row 59")).await;
    ann.enter("An answer of support.");
    ann.shows("Sent.").await;
}

#[apply(embedded)]
async fn control_characters_of_visitors_do_not_reach_the_desk(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    let mut ann = stack.person(SMALL, "acme/people", "Ann", A).await;
    visitor.say("\x1b[2J\x1b]0;evil\x07wipe\rme\u{9b}2J").await;
    ann.shows("1 waits").await;
    ann.press("\x1b[B\r");
    ann.shows("1 is yours").await;
    ann.shows("evil").await;
    let shown = String::from_utf8_lossy(ann.bytes()).into_owned();
    assert!(!shown.contains("\x1b]0;evil") && !shown.contains('\u{9b}'), "{shown:?}");
}

#[apply(embedded)]
async fn in_a_pipe_there_is_no_desk(stack: Stack) {
    let mut desk = stack.operators_command();
    let refused = run(desk.args(["desk", "acme/people", "--name", "Ann"]), "").await.expect(1);
    assert!(refused.err.contains("in a pipe, use `arizuko inbox`"), "{refused:?}");
}

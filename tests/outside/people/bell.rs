//! What a terminal is told when something arrives.

use arizuko_tests::prelude::*;

#[apply(embedded)]
async fn a_terminal_rings_for_what_arrives_and_shows_how_many_wait(stack: Stack) {
    let [here, there] = stack.visit_both("acme/people").await;
    for flags in [&["acme/people"][..], &["acme/people", "--no-bell"]] {
        let mut ann = stack.person_with(Seat::Terminal, flags, "Ann", A).await;
        let posted = here.say("hello").await;
        ann.opens("hello").await;
        ann.asks("Good day.", "Sent.").await;
        here.say_in(&posted.conversation, "and now?").await;
        ann.sees("and now?").await;
        there.say("me too").await;
        ann.sees("2 waits").await;
        ann.asks("Now too.", "Sent.").await;
        ann.asks("/close", "closed").await;
        ann.asks("/open 2", "me too").await;
        ann.asks("Yes.", "Sent.").await;
        ann.asks("/close", "closed").await;
        ann.end().await;
        ann.gone().await;
        let shown = String::from_utf8_lossy(ann.bytes()).into_owned();
        if flags.len() > 1 {
            assert!(!shown.contains('\x07') && !shown.contains(";2t"), "{shown:?}");
            continue;
        }
        let rung: Vec<_> = shown.split("\x07\x1b]9;arizuko: ").skip(1).collect();
        let texts = ["1 waits, web:acme/people, ", "1: visitor, ", "2 waits, web:acme/people, "];
        assert_eq!(rung.len(), texts.len(), "{shown:?}");
        for (rung, text) in rung.iter().zip(texts) {
            assert!(rung.starts_with(text), "{rung:?}");
        }
        for title in
            ["\x1b]2;(1) arizuko inbox acme/people\x07", "\x1b]2;arizuko inbox acme/people\x07"]
        {
            assert!(shown.contains(title), "{shown:?}");
        }
        let (kept, restored) = (shown.find("\x1b[22;2t"), shown.find("\x1b[23;2t"));
        assert!(kept.is_some() && kept < restored, "{shown:?}");
    }
}

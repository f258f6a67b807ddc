//! Replies as HTML: their cost is bounded, whatever an agent writes.

use arizuko_tests::prelude::*;

/// Returns Markdown texts that nest very deeply.
fn nested() -> Vec<String> {
    let around = |open: &str, times: usize, close: &str| {
        open.repeat(times) + "innermost" + &close.repeat(times)
    };
    let indented = |marker: &str| {
        let lines = (0..150).map(|n| format!("{}{marker}{n}\n", " ".repeat(n * marker.len())));
        lines.collect::<String>() + &" ".repeat(150 * marker.len()) + "innermost"
    };
    vec![
        around("+\t", 30_000, ""),
        around("- > ", 15_000, ""),
        around(">", 60_000, ""),
        around("1. ", 20_000, ""),
        around("*a ", 10_000, " a*"),
        around("**_a ", 6_000, " a_**"),
        around("~~a *", 6_000, "* a~~"),
        around("[", 12_000, "](b)"),
        around("![", 10_000, "](b)"),
        around("> - 1. *a ", 6_000, ""),
        around("- ", 15_000, "") + "\n```\n" + &"\n".repeat(30_000),
        "- ".repeat(15_000) + "```\n" + &"\n".repeat(30_000) + "innermost",
        (around("> ", 15, "") + "\n" + &around("- ", 15, "") + "\n").repeat(500),
        "> ".repeat(3_000)
            + "|a|b|\n"
            + &"> ".repeat(3_000)
            + "|-|-|\n"
            + &around("> ", 3_000, "|"),
        "|a".repeat(10_000) + "\n" + &"|-".repeat(10_000) + "\n|innermost",
        indented("- "),
        indented("1. "),
        indented("> - "),
    ]
}

#[apply(embedded)]
async fn nested_markdown_costs_little_and_shows_its_text(kind: Kind) {
    let stack = &mut Stack::with(kind, &[("ARIZUKO_ADDRESS_RATE", "1000")]).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", A).await;
    for text in nested() {
        let posted = visitor.say("nest").await;
        agent.answer_next(&text).await;
        let before = stack.process(Gateway(A)).cpu_time();
        let path = format!("{}?html=1", posted.turn);
        let html = visitor.json(&path).await["assistant"][0]["html"].to_string();
        let once = stack.process(Gateway(A)).cpu_time();
        let start = &text[..20];
        assert!(html.contains("innermost"), "{start:?}");
        assert!(once - before < Duration::from_secs(1), "{start:?}: {:?}", once - before);
        for _ in 0..5 {
            assert_eq!(visitor.json(&path).await["assistant"][0]["html"].to_string(), html);
        }
        let page = visitor.get(&format!("?conversation={}", posted.conversation)).await;
        assert!(page.expect(200).text().contains("innermost"), "{start:?}");
        let more = stack.process(Gateway(A)).cpu_time() - once;
        assert!(more < Duration::from_secs(1), "{start:?}: it was rendered again: {more:?}");
    }
}

#[apply(embedded)]
async fn a_streamed_reply_costs_at_most_three_times_its_text(stack: Stack) {
    let lines = |line: &str| (0..300).map(|n| line.replace('#', &n.to_string())).collect();
    let shapes: [String; 10] = [
        lines("- item number # of a list\n"),
        lines("#. item number # of a list\n   - and what it means\n"),
        "|name|value|\n|-|-|\n".to_owned() + &lines("| name number # | value number # |\n"),
        "```rust\n".to_owned() + &lines("let number_# = \"number #\";\n"),
        lines("> a quote of line number #\n> > > > that quotes another\n"),
        "> ".repeat(30) + &lines("and a lazy line # follows "),
        lines("A paragraph of # words, **strong** and `code`.\n\n"),
        lines("*emphasis of # words and **strong words** in it* "),
        lines("*emphasis of # words that **does not end "),
        "*".repeat(30) + &lines("so many words, and # ends* of it "),
    ];
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", A).await;
    for text in shapes {
        let posted = visitor.say("write").await;
        let path = format!("{}/sse?html=1", posted.turn);
        let mut events = visitor.open(&path, Cursor::Start).await.ok();
        let mut held = agent.turn().await;
        let mut seen = Vec::new();
        for quarter in text.as_bytes().chunks(text.len().div_ceil(4)) {
            for piece in quarter.chunks(400) {
                let piece = str::from_utf8(piece).expect("ASCII");
                agent.append(&mut held, delta("m1", piece)).await;
            }
            // The page gets HTML while the reply is written.
            seen.extend(events.through("html").await);
        }
        agent.finish(&held).await;
        seen.extend(events.rest().await);
        let events = seen;
        let sent = events.iter().filter(|event| event.name == "html");
        let bytes: usize = sent.map(|event| event.raw.len()).sum();
        let start = &text[..40];
        assert!(bytes <= 3 * text.len(), "{bytes} bytes for {}: {start:?}", text.len());
        let snapshot = visitor.json(&format!("{}?html=1", posted.turn)).await;
        let blocks = snapshot["assistant"][0]["html"].as_array().expect("the blocks");
        let html: String = blocks.iter().filter_map(Value::as_str).collect();
        assert_eq!(rendered(&events)[0].1, html);
    }
}

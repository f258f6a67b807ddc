//! GET `/chat/{token}/c/{conversation}`: the turns, in pages, and the cursor to stream from.

use arizuko_tests::prelude::*;

pub(super) async fn history(visitor: &Visitor, conversation: &str, query: &str) -> Value {
    visitor.json(&format!("c/{conversation}{query}")).await
}

#[apply(every_stack)]
async fn history_lists_all_turns_oldest_first_with_the_cursor_to_stream_from(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let first = here.say("one").await;
    agent.answer_next("*1*").await;
    let second = here.say_in(&first.conversation, "two").await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "hal")).await;
    let third = here.say_in(&first.conversation, "three").await;

    let page = history(&there, &first.conversation, "").await;
    assert_eq!(page["conversation"], first.conversation.as_str());
    assert_fields(&page, json!({"next": null, "agent_attached": true}));
    let turns = page["turns"].as_array().cloned().unwrap_or_default();
    let ids: Vec<_> = turns.iter().map(|turn| turn["turn_id"].clone()).collect();
    assert_eq!(ids, [json!(first.turn), json!(second.turn), json!(third.turn)]);
    let statuses: Vec<_> = turns.iter().map(|turn| turn["status"].clone()).collect();
    assert_eq!(statuses, ["done", "running", "queued"]);
    assert_eq!(turns[0]["user"]["content"], "one");
    assert_eq!(turns[0]["assistant"][0]["content"], "*1*");
    assert_eq!(turns[0]["assistant"][0].get("html"), None);
    assert_eq!(turns[1]["assistant"][0]["content"], "hal");
    assert_eq!((&turns[0]["n"], &turns[1]["n"], &turns[2]["n"]), (&json!(2), &json!(1), &json!(0)));
    assert!(turns[0]["ended_at"].is_string() && turns[1].get("ended_at").is_none());

    let html = history(&there, &first.conversation, "?html=1").await;
    let rendered = &html["turns"][0]["assistant"][0];
    assert_eq!(rendered["html"], json!(["<p><em>1</em></p>\n"]));
    assert_eq!(rendered.get("content"), None, "it is rendered or text");
    assert_eq!(html["turns"][0]["user"]["content"], "one");

    let cursor = page["cursor"].as_str().expect("the cursor to stream from");
    let path = format!("c/{}/sse", first.conversation);
    let mut events = there.open(&path, Cursor::After(cursor)).await.ok();
    agent.append(&mut held, delta("m1", "f")).await;
    agent.finish(&held).await;
    let seen = events.take(2).await;
    assert_eq!(names(&seen), ["delta", "turn_done"]);
    assert_eq!(seen[0].data["text"], "f");
    assert_eq!(seen[0].data["id"], turns[1]["assistant"][0]["id"], "it continues that message");
}

#[apply(every_stack)]
async fn a_message_has_one_time_in_the_stream_and_in_the_history(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let posted = here.say("one").await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "ha")).await;
    // Gives the delta and the finished message different times.
    sleep(Duration::from_millis(20)).await;
    agent.append(&mut held, message("m1", "half")).await;
    agent.finish(&held).await;
    let mut events = here.follow(&posted.conversation).await;
    let seen = events.take(4).await;
    assert_eq!(names(&seen), ["user", "delta", "message", "turn_done"]);
    let turn = &history(&there, &posted.conversation, "").await["turns"][0];
    assert_eq!(seen[0].data["created_at"], turn["user"]["created_at"]);
    assert!(seen[2].data["created_at"].is_string());
    assert_eq!(seen[2].data["created_at"], turn["assistant"][0]["created_at"]);
}

#[apply(every_stack)]
async fn history_pages_have_no_gap_and_no_repeat(kind: Kind) {
    let stack =
        Stack::with(kind, &[("ARIZUKO_ADDRESS_RATE", "1000"), ("ARIZUKO_LINK_RATE", "1000")]).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let first = visitor.say("0").await;
    agent.answer_next("0").await;
    for n in 1..7 {
        visitor.say_in(&first.conversation, &n.to_string()).await;
        agent.answer_next(&n.to_string()).await;
    }
    for limit in [1, 2, 3, 7, 200] {
        let (mut seen, mut after, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page =
                history(&visitor, &first.conversation, &format!("?limit={limit}{after}")).await;
            let turns = page["turns"].as_array().cloned().unwrap_or_default();
            assert!(turns.len() <= limit, "{page}");
            seen.extend(turns.iter().map(|turn| turn["user"]["content"].clone()));
            pages += 1;
            let Some(next) = page["next"].as_u64() else {
                break;
            };
            after = format!("&after={next}");
        }
        assert_eq!(seen, ["0", "1", "2", "3", "4", "5", "6"], "limit {limit}");
        assert_eq!(pages, 7_usize.div_ceil(limit), "limit {limit}");
    }
    let beyond = history(&visitor, &first.conversation, "?after=18446744073709551615").await;
    assert_fields(&beyond, json!({"turns": [], "next": null}));
    for nonsense in ["?after=x", "?limit=-1", "?after=-1"] {
        let path = format!("c/{}{nonsense}", first.conversation);
        visitor.get(&path).await.refused(400, "INVALID");
    }
}

#[apply(every_stack)]
async fn history_can_be_read_from_the_newest_turn_back(kind: Kind) {
    let stack =
        Stack::with(kind, &[("ARIZUKO_ADDRESS_RATE", "1000"), ("ARIZUKO_LINK_RATE", "1000")]).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let first = visitor.say("0").await;
    agent.answer_next(&"0".repeat(1_000)).await;
    for n in 1..7 {
        visitor.say_in(&first.conversation, &n.to_string()).await;
        agent.answer_next(&n.to_string().repeat(1_000)).await;
    }
    // A page ends with the turn that takes its messages over `bytes`.
    for (bounds, most) in [("limit=3", 3), ("bytes=1", 1), ("bytes=1500", 2), ("limit=200", 7)] {
        let (mut seen, mut before) = (Vec::new(), json!("end"));
        while !before.is_null() {
            let before_this = before.to_string().replace('"', "");
            let query = format!("?{bounds}&before={before_this}");
            let page = history(&visitor, &first.conversation, &query).await;
            assert_eq!(page["next"], Value::Null);
            let turns = page["turns"].as_array().cloned().unwrap_or_default();
            assert!((1..=most).contains(&turns.len()), "{bounds}: {}", turns.len());
            let contents = turns.iter().map(|turn| turn["user"]["content"].clone());
            seen.splice(0..0, contents.collect::<Vec<_>>());
            before = page["previous"].clone();
        }
        assert_eq!(seen, ["0", "1", "2", "3", "4", "5", "6"], "{bounds}");
    }
    for nonsense in ["?before=x", "?before=0", "?before=-1", "?before=", "?bytes=-1"] {
        let path = format!("c/{}{nonsense}", first.conversation);
        visitor.get(&path).await.refused(400, "INVALID");
    }
}

#[apply(every_stack)]
async fn history_and_the_stream_from_its_cursor_make_the_whole_reply(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let posted = here.say("hello").await;
    let path = format!("c/{}/sse", posted.conversation);
    let mut held = agent.turn().await;

    // Before each append, reloads the page and opens a stream from its cursor.
    let mut readers = Vec::new();
    for n in 0..12 {
        let page = history(if n % 2 == 0 { &here } else { &there }, &posted.conversation, "").await;
        let shown = page["turns"][0]["assistant"].clone();
        let cursor = page["cursor"].as_str().map(str::to_owned).expect("a cursor");
        readers.push((shown, there.open(&path, Cursor::After(&cursor)).await.ok()));
        let frames = (0..3).map(|k| delta(&format!("m{}", n / 4), &format!("{n}.{k} "))).collect();
        agent.push(&mut held, frames).await;
    }
    agent.append(&mut held, message("m2", "the last, finished")).await;
    agent.finish(&held).await;

    let whole = transcript(&here.read(&posted.turn).await);
    for (n, (shown, mut events)) in readers.into_iter().enumerate() {
        let text =
            |message: &Value, field: &str| message[field].as_str().unwrap_or_default().to_owned();
        let shown = shown.as_array().cloned().unwrap_or_default();
        let mut seen: Vec<_> = shown.iter().map(|m| (text(m, "id"), text(m, "content"))).collect();
        for event in events.through("turn_done").await {
            let (id, at) = (
                text(&event.data, "id"),
                seen.iter().position(|(id, _)| *id == text(&event.data, "id")),
            );
            match (event.name.as_str(), at) {
                ("delta", Some(at)) => seen[at].1 += &text(&event.data, "text"),
                ("delta", None) => seen.push((id, text(&event.data, "text"))),
                ("message", Some(at)) => seen[at].1 = text(&event.data, "content"),
                _ => {}
            }
        }
        assert_eq!(seen, whole, "reloaded before append {n}");
    }
}

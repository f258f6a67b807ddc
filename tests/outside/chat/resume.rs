//! `Last-Event-ID`: every reader gets the same bytes, however often it is cut off.

use arizuko_tests::prelude::*;

/// Answers the next turn with statuses, deltas and messages.
async fn reply(agent: &mut Session) {
    let mut held = agent.turn().await;
    for frame in [
        status("Thinking …"),
        delta("m1", "Hel"),
        delta("m1", "lo,\n\n"),
        delta("m1", "é😀 \u{2028}\r\n*you*"),
        message("m1", "Hello,\n\né😀 \u{2028}\r\n*you*!"),
        status("Looking it up"),
        message("m2", "data: x\n\nevent: turn_done\nid: 7-00000000\n\n"),
        delta("m3", "left as deltas"),
    ] {
        agent.append(&mut held, frame).await;
    }
    agent.finish(&held).await;
}

const REPLY: [&str; 9] =
    ["status", "delta", "delta", "delta", "message", "status", "message", "delta", "turn_done"];

/// Makes a conversation with one answered turn. Returns its visitor at each gateway, and its ids.
async fn answered(stack: &Stack) -> (Visitor, Visitor, Posted) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let mut agent = stack.attach("acme", B).await;
    let posted = visitor.say("hello").await;
    reply(&mut agent).await;
    (visitor, stack.visitor(&link, B), posted)
}

#[apply(every_stack)]
async fn a_reader_cut_off_after_any_frame_gets_the_same_bytes(stack: Stack) {
    let (here, there, posted) = answered(&stack).await;
    let path = format!("{}/sse", posted.turn);
    let uncut = here.read(&posted.turn).await;
    assert_eq!(names(&uncut), REPLY);
    let numbers: Vec<_> = uncut.iter().map(|event| event.data["n"].as_u64()).collect();
    assert_eq!(numbers, (1..=9).map(Some).collect::<Vec<_>>(), "without gaps");
    assert_eq!(transcript(&uncut)[1].1, "data: x\n\nevent: turn_done\nid: 7-00000000\n\n");

    for cut in 0..uncut.len() - 1 {
        for visitor in [&here, &there] {
            let mut first = visitor.listen(&posted.turn).await;
            let mut seen = first.take(cut + 1).await;
            drop(first);
            let last = seen[cut].id.clone().expect("it is numbered");
            let mut second = visitor.open(&path, Cursor::After(&last)).await.ok();
            seen.extend(second.rest().await);
            assert_eq!(raw(&seen), raw(&uncut), "cut after frame {cut}");
        }
    }
}

#[apply(every_stack)]
async fn a_live_reader_cut_off_after_any_frame_resumes_at_the_other_gateway(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let posted = here.say("hello").await;
    let path = format!("{}/sse", posted.turn);
    let mut uncut = here.listen(&posted.turn).await;
    let mut held = agent.turn().await;

    // Reads each frame live, disconnects, and reconnects at the other gateway.
    let (mut seen, mut compared): (Vec<Event>, Vec<Event>) = (Vec::new(), Vec::new());
    for index in 0..8 {
        let visitor = if index % 2 == 0 { &there } else { &here };
        let last = seen.last().and_then(|event: &Event| event.id.clone());
        let cursor = last.as_deref().map_or(Cursor::Start, Cursor::After);
        let mut cut = visitor.open(&path, cursor).await.ok();
        cut.greeting().await;
        agent.append(&mut held, delta("m1", &format!("piece {index} "))).await;
        seen.extend(cut.take(1).await);
        compared.extend(uncut.take(1).await);
    }
    let last = seen.last().and_then(|event| event.id.clone()).expect("it is numbered");
    let mut cut = there.open(&path, Cursor::After(&last)).await.ok();
    agent.finish(&held).await;
    seen.extend(cut.rest().await);
    compared.extend(uncut.rest().await);
    assert_eq!(raw(&seen), raw(&compared));
    assert_eq!(names(&seen).last(), Some(&"turn_done"));
}

#[apply(every_stack)]
async fn the_conversations_stream_resumes_after_any_frame(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let first = here.say("one").await;
    let path = format!("c/{}/sse", first.conversation);
    let mut live = here.follow(&first.conversation).await;
    live.greeting().await;
    reply(&mut agent).await;
    let second = here.say_in(&first.conversation, "two").await;
    reply(&mut agent).await;
    let uncut = live.take(20).await;
    let turns = [["user"].as_slice(), &REPLY].concat();
    assert_eq!(names(&uncut), [turns.clone(), turns].concat());

    for (index, event) in uncut.iter().enumerate() {
        let visitor = if index % 2 == 0 { &there } else { &here };
        let last = event.id.as_deref().expect("it is numbered");
        let mut rest = visitor.open(&path, Cursor::After(last)).await.ok();
        let missed = rest.take(uncut.len() - 1 - index).await;
        assert_eq!(raw(&missed), raw(&uncut[index + 1..]), "cut after frame {index}");
    }
    // A frame has the same id, event and data on the turn's own stream.
    let own = there.read(&second.turn).await;
    assert_eq!(raw(&own), raw(&uncut[11..]));
}

#[apply(every_stack)]
async fn resuming_after_the_end_is_answered_204(stack: Stack) {
    let (here, there, posted) = answered(&stack).await;
    let seen = here.read(&posted.turn).await;
    let last = seen.last().and_then(|event| event.id.as_deref()).expect("it is numbered");
    let path = format!("{}/sse", posted.turn);
    for visitor in [&here, &there] {
        let answer = visitor.open(&path, Cursor::After(last)).await;
        assert_eq!(answer.status, 204);
        visitor.get(&format!("{path}?last_event_id={last}")).await.expect(204);
    }
}

#[apply(every_stack)]
async fn last_event_id_may_be_a_parameter_and_the_header_wins(stack: Stack) {
    let (here, _, posted) = answered(&stack).await;
    let uncut = here.read(&posted.turn).await;
    let ids = ids(&uncut);
    let path = format!("{}/sse?last_event_id={}", posted.turn, ids[3]);
    let seen = here.open(&path, Cursor::Start).await.ok().rest().await;
    assert_eq!(raw(&seen), raw(&uncut[4..]));
    let seen = here.open(&path, Cursor::After(&ids[6])).await.ok().rest().await;
    assert_eq!(raw(&seen), raw(&uncut[7..]));
    // A polyfill adds its parameter to the URL with which it began.
    for added in ["lastEventId", "Last-Event-ID"] {
        let seen = here.open(&format!("{path}&{added}={}", ids[6]), Cursor::Start).await;
        assert_eq!(raw(&seen.ok().rest().await), raw(&uncut[7..]));
    }
    // An EventSource that got a reset sends an empty header or none: then the parameter counts.
    let seen = here.open(&path, Cursor::After("")).await.ok().rest().await;
    assert_eq!(raw(&seen), raw(&uncut[4..]));
}

#[apply(every_stack)]
async fn a_cursor_that_is_not_in_the_log_resets_the_reader(stack: Stack) {
    let (here, there, posted) = answered(&stack).await;
    let foreign = answered(&stack).await.2;
    let foreign = there.open(&format!("{}/sse", foreign.turn), Cursor::Start).await;
    assert_eq!(foreign.status, 404, "that turn is another link's");
    let uncut = here.read(&posted.turn).await;
    let tag = ids(&uncut)[2].split_once('-').map(|(_, tag)| tag.to_owned()).unwrap_or_default();

    let other = here.say("another conversation").await;
    let other = ids(&here.follow(&other.conversation).await.take(1).await).remove(0);
    let wrong = [
        other.as_str(),
        "4-ffffffff",
        &format!("99-{tag}"),
        &format!("18446744073709551615-{tag}"),
        &format!("18446744073709551616-{tag}"),
        &format!("-1-{tag}"),
        &format!("+4-{tag}"),
        &format!("04-{tag}"),
        &format!("4-{tag}0"),
        &format!("4-0x{tag}"),
        "4",
        "4-",
        "-",
        "0",
        "nonsense",
        "é",
        "%00",
        "' OR 1=1 --",
        &"9".repeat(5_000),
    ];
    let paths = [
        (format!("{}/sse", posted.turn), uncut.clone()),
        (
            format!("c/{}/sse", posted.conversation),
            here.follow(&posted.conversation).await.take(10).await,
        ),
    ];
    for (path, whole) in &paths {
        for (index, cursor) in wrong.iter().enumerate() {
            let visitor = if index % 2 == 0 { &here } else { &there };
            let mut events = visitor.open(path, Cursor::After(cursor)).await.ok();
            let reset = events.next().await.expect("a reset");
            assert_eq!((reset.name.as_str(), reset.id.as_deref()), ("reset", Some("")), "{cursor}");
            assert!(reset.data["reason"].is_string(), "{reset:?}");
            let replay = events.take(whole.len()).await;
            assert_eq!(raw(&replay), raw(whole), "after the cursor {cursor}");
        }
    }
    // Only the parameter can hold a NUL.
    let path = format!("{}/sse?last_event_id=4-%00{tag}", posted.turn);
    let seen = here.open(&path, Cursor::Start).await.ok().rest().await;
    assert_eq!(seen[0].name, "reset");
    assert_eq!(raw(&seen[1..]), raw(&uncut));
}

#[apply(every_stack)]
async fn a_cursor_of_a_megabyte_is_refused_without_harm(stack: Stack) {
    let (here, _, posted) = answered(&stack).await;
    let mut live = here.follow(&posted.conversation).await;
    let whole = live.take(10).await;
    let huge = "9".repeat(1 << 20);
    let path = format!("{}/sse", posted.turn);
    let request = here.request(Method::GET, &path).header("last-event-id", &huge);
    // The gateway answers and closes the connection before it has read the whole header, so some
    // clients see only the close.
    if let Ok(answer) = within("an answer", request.send()).await {
        assert_eq!(answer.status(), 431);
    }
    assert_eq!(raw(&here.read(&posted.turn).await), raw(&whole[1..]));
}

#[apply(every_stack)]
async fn two_tabs_and_two_gateways_see_the_same_bytes(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let posted = here.say("hello").await;
    let mut tabs = Vec::new();
    for visitor in [&here, &here, &there, &there] {
        let mut events = visitor.listen(&posted.turn).await;
        events.greeting().await;
        tabs.push(events);
    }
    reply(&mut agent).await;
    let mut seen = Vec::new();
    for mut events in tabs {
        seen.push(raw(&events.rest().await));
    }
    assert!(seen.iter().all(|bytes| *bytes == seen[0]), "{seen:#?}");
}

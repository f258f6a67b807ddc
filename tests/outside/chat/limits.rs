//! The limits of a visitor, a link and an address, and Retry-After.

use arizuko_tests::prelude::*;

/// Raises the rates, so that only the limits on turns apply.
const FAST: [(&str, &str); 2] =
    [("ARIZUKO_ADDRESS_RATE", "100000"), ("ARIZUKO_LINK_RATE", "100000")];
/// Trusts the test's forwarded addresses.
const FORWARDED: [(&str, &str); 1] = [("ARIZUKO_TRUSTED_PROXY", "127.0.0.0/8")];

/// Sends messages until one is refused. Returns how many were taken, and Retry-After in seconds.
async fn taken_before_a_refusal(visitors: &[Visitor], reason: &str) -> (usize, u64) {
    for count in 0..200 {
        let answer = visitors[count % visitors.len()].post_json(&json!({"content": "x"})).await;
        if answer.status != 202 {
            let answer = answer.refused(429, reason);
            assert!((1..=60).contains(&answer.retry_after()), "{:?}", answer.headers);
            return (count, answer.retry_after());
        }
    }
    panic!("200 messages were taken");
}

#[apply(every_stack)]
async fn an_address_may_send_twenty_messages_a_minute_to_a_link(kind: Kind) {
    let stack = Stack::with(kind, &FORWARDED).await;
    let link = stack.issue("acme").await;
    let visitors = stack.visitors(&link);
    let begun = Instant::now();
    let (taken, _) = taken_before_a_refusal(&visitors, "RATE_LIMITED").await;
    // One more message is allowed for every three seconds of the sending.
    let most = 20 + begun.elapsed().as_secs() / 3 + 1;
    assert!((20..=most).contains(&(taken as u64)), "{taken} were taken");
    // Another address on this link, and this address on another link, are not limited. A hop that a
    // client has made up, in bytes that are not text, hides no hop after it.
    let hops = b"\xff\xfe, 192.0.2.7".as_slice();
    let other = visitors[0].request(Method::POST, "").header("x-forwarded-for", hops);
    send(other.json(&json!({"content": "x"}))).await.posted();
    stack.visit("acme").await.say("x").await;
    visitors[0].get("config").await.expect(200);
}

#[apply(every_stack)]
async fn a_links_rate_is_of_all_addresses(kind: Kind) {
    let settings = [FORWARDED[0], ("ARIZUKO_LINK_RATE", "60")];
    let stack = Stack::with(kind, &settings).await;
    let link = stack.issue("acme").await;
    let begun = Instant::now();
    let mut taken = 0;
    'visitors: for address in 1..100 {
        let visitor = stack.visitor(&link, BOTH[address % 2]);
        for _ in 0..2 {
            let request = visitor.request(Method::POST, "").json(&json!({"content": "x"}));
            let request = request.header("x-forwarded-for", format!("198.51.100.{address}"));
            let answer = send(request).await;
            if answer.status == 429 {
                assert!((1..=60).contains(&answer.refused(429, "RATE_LIMITED").retry_after()));
                break 'visitors;
            }
            answer.posted();
            taken += 1;
        }
    }
    // One more message is allowed for every second of the sending.
    let most = 60 + begun.elapsed().as_secs() + 1;
    assert!((58..=most).contains(&taken), "{taken} were taken");
}

#[apply(every_stack)]
async fn a_conversation_has_at_most_three_open_turns(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let first = visitor.say("1").await;
    visitor.say_in(&first.conversation, "2").await;
    visitor.say_in(&first.conversation, "3").await;
    let fourth = json!({"content": "4", "conversation": first.conversation});
    let refused = visitor.post_json(&fourth).await.refused(429, "TOO_MANY_TURNS");
    assert!(refused.retry_after() >= 1);
    visitor.say("elsewhere").await;
    visitor.cancel(&first.turn).await;
    visitor.post_json(&fourth).await.posted();
}

#[apply(every_stack)]
async fn open_turns_are_limited_by_address_and_by_link(kind: Kind) {
    for (setting, most) in [("ARIZUKO_ADDRESS_TURNS", 3), ("ARIZUKO_LINK_TURNS", 5)] {
        let stack = Stack::with(kind, &[FAST[0], FAST[1], (setting, &most.to_string())]).await;
        let link = stack.issue("acme").await;
        let visitors = stack.visitors(&link);
        assert_eq!(taken_before_a_refusal(&visitors, "TOO_MANY_TURNS").await.0, most);
        stack.visit("acme").await.say("another link").await;
        let mut agent = stack.attach("acme", B).await;
        agent.answer_next("one is over").await;
        agent.answer_next("two are over").await;
        visitors[0].say("x").await;
    }
}

#[apply(every_stack)]
async fn by_default_three_turns_of_an_address_and_of_a_conversation_are_open(kind: Kind) {
    let stack = Stack::with_default_turns(kind, &FORWARDED).await;
    let visitors = stack.visitors(&stack.issue("acme").await);
    assert_eq!(taken_before_a_refusal(&visitors, "TOO_MANY_TURNS").await.0, 3);
    let [here, there] = visitors;
    let posted = here.from_address("192.0.2.1").say("1").await;
    for address in 2..=3 {
        let visitor = there.clone().from_address(format!("192.0.2.{address}"));
        visitor.say_in(&posted.conversation, "again").await;
    }
    let next = there.from_address("192.0.2.4");
    let again = json!({"content": "again", "conversation": posted.conversation});
    next.post_json(&again).await.refused(429, "TOO_MANY_TURNS");
    next.say("elsewhere").await;
}

#[apply(every_stack)]
async fn an_address_has_a_bounded_number_of_open_streams(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_STREAMS_PER_ADDRESS", "3")]).await;
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let path = format!("{}/sse", posted.turn);
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut events = visitor.open(&path, Cursor::Start).await.ok();
        events.greeting().await;
        open.push(events);
    }
    assert!(visitor.get(&path).await.refused(429, "TOO_MANY_STREAMS").retry_after() >= 1);
    visitor.get(&format!("c/{}/sse", posted.conversation)).await.refused(429, "TOO_MANY_STREAMS");
    let inline = visitor.request(Method::POST, "").header("accept", "text/event-stream");
    let inline = send(inline.json(&json!({"content": "x"}))).await;
    inline.refused(429, "TOO_MANY_STREAMS");
    let turns = visitor.json(&format!("c/{}", posted.conversation)).await;
    assert_eq!(turns["turns"].as_array().map(Vec::len), Some(1), "a refused message makes no turn");
    drop(open);
    within("a closed stream to be no longer counted", async {
        while visitor.open(&path, Cursor::Start).await.status != 200 {}
    })
    .await;
}

#[apply(every_stack)]
async fn a_request_after_retry_after_is_taken(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_ADDRESS_RATE", "60")]).await;
    let link = stack.issue("acme").await;
    let visitors = stack.visitors(&link);
    let (_, after) = taken_before_a_refusal(&visitors, "RATE_LIMITED").await;
    assert!(after <= 2, "at one message a second, {after} s is too long");
    sleep(Duration::from_secs(after)).await;
    stack.visitor(&link, A).say("as told").await;
}

#[apply(every_stack)]
async fn a_forged_forwarded_address_is_ignored(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_ADDRESS_RATE", "3")]).await;
    let visitor = stack.visit("acme").await;
    for address in 1..=3 {
        let request = visitor
            .request(Method::POST, "")
            .header("x-forwarded-for", format!("192.0.2.{address}"));
        send(request.json(&json!({"content": "x"}))).await.posted();
    }
    let request = visitor.request(Method::POST, "").header("x-forwarded-for", "192.0.2.9");
    let request = request.header("forwarded", "for=192.0.2.9").header("x-real-ip", "192.0.2.9");
    send(request.json(&json!({"content": "x"}))).await.refused(429, "RATE_LIMITED");
}

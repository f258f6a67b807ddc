//! Readers that are slow, idle or cut off: none harms another, and none loses anything.

use arizuko_tests::prelude::*;
use tokio::io::AsyncReadExt as _;

#[apply(every_stack)]
async fn stalled_readers_slow_nobody_and_lose_nothing(kind: Kind) {
    let settings = [("ARIZUKO_WRITE_STALL", "10s"), ("ARIZUKO_TURN_BYTES", "100000000")];
    let stack = Stack::with(kind, &settings).await;
    let link = stack.issue("acme").await;
    let [here, there] = stack.visitors(&link);
    let mut agent = stack.attach("acme", A).await;
    let posted = here.say("hello").await;
    let path = format!("/chat/{}/{}/sse", link.token, posted.turn);
    let mut slow = Vec::new();
    for _ in 0..6 {
        slow.push(stalled(&stack.gateway(A), &path).await);
    }
    let mut fast = [here.listen(&posted.turn).await, there.listen(&posted.turn).await];

    // Writes five megabytes in large and small frames: more than socket buffers hold.
    let mut held = agent.turn().await;
    let writing = async {
        for _ in 0..350 {
            agent.push(&mut held, vec![delta("m1", &"x".repeat(15_000))]).await;
            let small = (0..10).map(|n| delta("m1", &n.to_string())).collect();
            agent.push(&mut held, small).await;
        }
        agent.stored(&held).await;
        agent.finish(&held).await;
    };
    let begun = Instant::now();
    let [one, other] = &mut fast;
    let ((), seen, elsewhere) = tokio::join!(writing, one.rest(), other.rest());
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(60), "the fast readers waited {took:?}");
    assert_eq!(seen.len(), 350 * 11 + 1);
    assert!(raw(&seen) == raw(&elsewhere), "both saw the same");

    // Two readers resume before the gateway's write timeout, the others after it.
    let patience = Duration::from_secs(11);
    for (number, mut stream) in slow.into_iter().enumerate() {
        if number == 2 {
            sleep(patience.saturating_sub(begun.elapsed().saturating_sub(took))).await;
        }
        let mut read = Vec::new();
        // Reads what was sent before the stream was closed, and then reconnects.
        let closed = within("a stalled reader to be closed", stream.read_to_end(&mut read)).await;
        let text = String::from_utf8_lossy(&read).into_owned();
        let frames = text.split_inclusive("\n\n").filter(|block| block.contains("\nid: "));
        let mut frames: Vec<_> = frames.map(str::to_owned).collect();
        if closed.is_err() || !text.ends_with("\n\n") {
            frames.pop();
        }
        assert!(number < 2 || frames.len() < seen.len(), "it was not closed");
        let id = |frame: &String| {
            frame.lines().find_map(|line| line.strip_prefix("id: ").map(str::to_owned))
        };
        let last = frames.last().and_then(id);
        let cursor = last.as_deref().map_or(Cursor::Start, Cursor::After);
        let path = format!("{}/sse", posted.turn);
        let mut rest = there.open(&path, cursor).await;
        let all = frames.concat() + &raw(&rest.rest().await);
        assert!(all == raw(&seen), "{} and {} bytes", all.len(), raw(&seen).len());
    }
}

#[apply(every_stack)]
async fn an_idle_stream_gets_comments(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_HEARTBEAT", "1s")]).await;
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let mut events = visitor.listen(&posted.turn).await;
    let begun = Instant::now();
    events.comment(3).await;
    let took = begun.elapsed();
    assert!((1..=10).contains(&took.as_secs()), "after {took:?}");
}

#[apply(every_stack)]
async fn an_address_may_have_a_hundred_streams(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let path = format!("{}/sse", posted.turn);
    let mut open = Vec::new();
    for _ in 0..100 {
        open.push(visitor.open(&path, Cursor::Start).await.ok());
    }
    visitor.get(&path).await.refused(429, "TOO_MANY_STREAMS");
    let mut agent = stack.attach("acme", B).await;
    agent.answer_next("to all of them").await;
    let mut seen = Vec::new();
    for mut events in open {
        seen.push(raw(&events.rest().await));
    }
    assert!(seen[0].contains("to all of them"));
    assert!(seen.iter().all(|bytes| *bytes == seen[0]));
}

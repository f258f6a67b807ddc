//! Stalled readers: each costs at most its credit, and costs other readers nothing.

use super::Readers;
use arizuko_tests::prelude::*;

const STALLED: usize = 150;
const READERS: usize = 40;
const FRAMES: usize = 25;
const FRAME_BYTES: usize = 60_000;
/// How many bytes of memory the stalled readers may cost: half of what they would cost if the whole
/// reply waited in memory for each of them.
const BOUND: usize = STALLED * FRAMES * FRAME_BYTES / 2;

#[apply(pair)]
async fn stalled_readers_cost_little_memory_while_many_others_read(kind: Kind) {
    let settings = [("ARIZUKO_STREAMS_PER_ADDRESS", "1000")];
    let mut stack = Stack::with(kind, &settings).await;
    let link = stack.issue("acme").await;
    let posted = stack.visitor(&link, A).say("hello").await;
    let path = format!("/chat/{}/{}/sse", link.token, posted.turn);
    let mut idle = Vec::new();
    for _ in 0..STALLED {
        idle.push(stalled(&stack.gateway(A), &path).await);
    }
    let readers = Readers::begin(&stack, &link, &posted, READERS);
    let before = stack.process(Gateway(A)).peak_memory();
    let mut agent = stack.attach("acme", B).await;
    let mut held = agent.turn().await;
    let word = "x".repeat(FRAME_BYTES);
    for _ in 0..FRAMES {
        agent.append(&mut held, delta("m1", &word)).await;
    }
    agent.finish(&held).await;
    readers.agree(&word.repeat(FRAMES)).await;
    let more = stack.process(Gateway(A)).peak_memory() - before;
    assert!(more < BOUND as u64, "the gateway needed {} MiB more", more >> 20);
}

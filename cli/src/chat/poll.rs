//! Reads a conversation's events by asking for them again and again, where something on the way
//! holds the stream back.

use super::link::ChatLink;
use crate::sse::SseEvent;
use std::{collections::HashMap, time::Duration};
use tokio::{sync::mpsc::Sender, time::sleep};

/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_secs(1);

/// Passes events on, from the beginning of the conversation, until the receiver is dropped, the
/// link refuses, or an outage lasts too long.
pub(super) async fn poll(
    link: &ChatLink,
    conversation: &str,
    sender: &Sender<anyhow::Result<SseEvent>>,
) -> anyhow::Result<()> {
    // For each turn, the number of the last frame that was passed on.
    let mut passed: HashMap<String, u64> = HashMap::new();
    loop {
        for turn in link.newest(conversation).await? {
            let last = passed.entry(turn.turn_id.clone()).or_default();
            if turn.n == *last {
                continue;
            }
            for frame in link.frames(&turn.turn_id, *last).await? {
                *last = frame.data["n"].as_u64().unwrap_or(*last);
                let event = SseEvent { name: frame.event, data: frame.data.to_string() };
                if sender.send(Ok(event)).await.is_err() {
                    return Ok(());
                }
            }
        }
        sleep(PAUSE).await;
    }
}

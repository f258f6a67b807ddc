//! Reads a conversation's events, over one connection after another.

use super::{
    link::{Attempt, ChatLink, Outage, TemporaryError},
    poll::poll,
};
use crate::{
    console::note,
    sse::{SseEvent, SseReader},
};
use anyhow::anyhow;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::AbortHandle,
    time::{Instant, timeout},
};

/// A connection that lasts this long ends an outage, even without an event.
const HEALTHY_AFTER: Duration = Duration::from_secs(20);
/// How long the first stream may take to begin. The gateway begins it at once, but a proxy that
/// collects what it passes on holds back even the beginning.
const BEGINS_WITHIN: Duration = Duration::from_secs(5);
/// How many events may wait to be shown. While this many wait, the connection is not read.
const MAX_WAITING: usize = 64;

/// A conversation's events from its beginning on. Dropping this closes the connection.
pub(super) struct Stream {
    events: Receiver<anyhow::Result<SseEvent>>,
    reading: AbortHandle,
}

impl Stream {
    pub(super) fn follow(link: Arc<ChatLink>, conversation: String) -> Self {
        let (sender, events) = mpsc::channel(MAX_WAITING);
        let reading = tokio::spawn(async move {
            if let Err(error) = read(&link, &conversation, &sender).await {
                // An error says that the stream was dropped.
                let _ = sender.send(Err(error)).await;
            }
        });
        Self { events, reading: reading.abort_handle() }
    }

    /// Waits for the next event, or says why there is none. Cancel safe.
    pub(super) async fn next(&mut self) -> anyhow::Result<SseEvent> {
        let event = self.events.recv().await;
        event.unwrap_or_else(|| Err(anyhow!("the conversation can no longer be read")))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Reads events until the stream is dropped, the link refuses, or an outage lasts too long. If not
/// even the beginning of a stream comes through, polls instead.
async fn read(
    link: &ChatLink,
    conversation: &str,
    sender: &Sender<anyhow::Result<SseEvent>>,
) -> anyhow::Result<()> {
    let (mut events, mut outage) = (SseReader::default(), Outage::default());
    let mut has_begun = false;
    loop {
        let opening = link.stream(conversation, &events.last_id);
        let attempt = match has_begun {
            true => opening.await,
            false => match timeout(BEGINS_WITHIN, opening).await {
                Ok(attempt) => attempt,
                Err(_) => {
                    note("(the stream of replies does not begin: asking for them every second)");
                    return poll(link, conversation, sender).await;
                }
            },
        };
        let error = match attempt? {
            Attempt::Later(error) => error,
            Attempt::Open(mut response, first) => {
                has_begun = true;
                events.reconnect();
                let opened = Instant::now();
                let mut chunk = Some(first);
                // When the connection breaks, the loop opens another one.
                while let Some(bytes) = chunk {
                    for event in events.push(&bytes) {
                        outage = Outage::default();
                        if sender.send(Ok(event)).await.is_err() {
                            return Ok(());
                        }
                    }
                    chunk = response.chunk().await.ok().flatten();
                }
                if opened.elapsed() > HEALTHY_AFTER {
                    outage = Outage::default();
                }
                TemporaryError::outage("the connection broke", events.retry)
            }
        };
        outage.wait(&error).await?;
    }
}

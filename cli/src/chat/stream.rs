//! A conversation as it comes, over as many connections as it takes.

use super::link::{Attempt, Link, Outage, Trouble};
use crate::sse::{Event, Events};
use anyhow::anyhow;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::AbortHandle,
    time::Instant,
};

/// A connection that lasted this long is no part of an outage before it.
const HEALTHY: Duration = Duration::from_secs(20);
/// How many events wait to be shown. Past that the connection is not read.
const WAITING: usize = 64;

/// A conversation's events from its beginning on, read while we live.
pub(super) struct Stream {
    events: Receiver<anyhow::Result<Event>>,
    reading: AbortHandle,
}

impl Stream {
    pub(super) fn follow(link: Arc<Link>, conversation: String) -> Self {
        let (sender, events) = mpsc::channel(WAITING);
        let reading = tokio::spawn(async move {
            if let Err(error) = read(&link, &conversation, &sender).await {
                // An error says that nobody listens any more.
                let _ = sender.send(Err(error)).await;
            }
        });
        Self { events, reading: reading.abort_handle() }
    }

    /// The next event, or why there will be none. May be dropped and called again.
    pub(super) async fn next(&mut self) -> anyhow::Result<Event> {
        let event = self.events.recv().await;
        event.unwrap_or_else(|| Err(anyhow!("the conversation can't be read any more")))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Reads until that is hopeless, or nobody listens.
async fn read(
    link: &Link,
    conversation: &str,
    sender: &Sender<anyhow::Result<Event>>,
) -> anyhow::Result<()> {
    let (mut events, mut outage) = (Events::default(), Outage::default());
    loop {
        let trouble = match link.stream(conversation, &events.last_id).await? {
            Attempt::Later(trouble) => trouble,
            Attempt::Open(mut response) => {
                events.reconnect();
                let opened = Instant::now();
                // A connection that breaks is another one's beginning.
                while let Ok(Some(bytes)) = response.chunk().await {
                    for event in events.push(&bytes) {
                        outage = Outage::default();
                        if sender.send(Ok(event)).await.is_err() {
                            return Ok(());
                        }
                    }
                }
                if opened.elapsed() > HEALTHY {
                    outage = Outage::default();
                }
                Trouble::outage("the connection broke", events.retry)
            }
        };
        outage.wait(&trouble).await?;
    }
}

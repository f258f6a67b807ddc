//! The store's clock: that of the server which has the first partition.

use super::servers::Servers;
use crate::store::Millis;
use redis::{RedisResult, cmd};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::sleep;

/// How often to ask for the time.
const INTERVAL: Duration = Duration::from_secs(1);
/// An answer that takes longer, in milliseconds, says little about the time at which it was given.
const LATE: Millis = 100;

/// An estimate of the store's clock.
pub(super) struct Clock {
    servers: Arc<Servers>,
    /// How far it is ahead of ours, in milliseconds.
    ahead: AtomicI64,
}

impl Clock {
    /// Asks for the time, and again for as long as the process runs.
    pub(super) async fn start(servers: Arc<Servers>) -> RedisResult<Arc<Self>> {
        let clock = Arc::new(Self { servers, ahead: AtomicI64::new(0) });
        // The time is known before anything is decided.
        clock.ask().await?;
        tokio::spawn(clock.clone().follow());
        Ok(clock)
    }

    /// The store's time.
    pub(super) fn now(&self) -> Millis {
        local().saturating_add_signed(self.ahead.load(Relaxed))
    }

    async fn follow(self: Arc<Self>) {
        loop {
            sleep(INTERVAL).await;
            // Without an answer the last estimate stands.
            let _ = self.ask().await;
        }
    }

    async fn ask(&self) -> RedisResult<()> {
        let mut connection = self.servers.of(0)?.connection.clone();
        let asked = local();
        let (seconds, micros): (u64, u64) = cmd("TIME").query_async(&mut connection).await?;
        let answered = local();
        if answered.saturating_sub(asked) < LATE || self.ahead.load(Relaxed) == 0 {
            let theirs = seconds * 1000 + micros / 1000;
            let ours = asked.midpoint(answered);
            self.ahead.store(theirs.wrapping_sub(ours) as i64, Relaxed);
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "estimates the clock of Redis from this one")]
fn local() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| d.as_millis() as Millis)
}

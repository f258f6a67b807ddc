//! The store's clock: the clock of the server that has partition 0, without its jumps.

use super::servers::Servers;
use crate::store::{
    Millis,
    steady::{Reading, SteadyClock, uptime},
};
use redis::{RedisResult, cmd, pipe};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// How often to ask for the time.
const INTERVAL: Duration = Duration::from_secs(1);
/// The lifetime, after its last write, of the key from which a control that starts learns of a
/// jump.
const TOLD: Duration = Duration::from_secs(60);

/// An estimate of the store's clock.
pub(super) struct Clock {
    servers: Arc<Servers>,
    /// The key that says, after a jump, how far the controls' clocks are ahead of the server's, in
    /// microseconds.
    key: String,
    steady: SteadyClock,
}

impl Clock {
    /// Asks for the time, and asks again for as long as the process runs.
    pub(super) async fn start(servers: Arc<Servers>, prefix: &str) -> RedisResult<Arc<Self>> {
        // Waits for the first answer: nothing is decided before the time is known.
        let key = format!("{prefix}:{{0}}:clock");
        let (reading, ahead) = ask(&servers, &key).await?;
        let steady = SteadyClock::begin(reading, ahead);
        let clock = Arc::new(Self { servers, key, steady });
        tokio::spawn(clock.clone().follow());
        Ok(clock)
    }

    /// Returns the store's time.
    pub(super) fn now(&self) -> Millis {
        self.steady.now()
    }

    async fn follow(self: Arc<Self>) {
        loop {
            sleep(INTERVAL).await;
            // Without an answer, the time passes with the uptime.
            let Ok((reading, told)) = ask(&self.servers, &self.key).await else { continue };
            let ahead = self.steady.hear(reading).unwrap_or(0);
            if ahead != 0 || told != 0 {
                // If this fails, a control that starts now begins with the server's time.
                let _ = self.tell(ahead).await;
            }
        }
    }

    async fn tell(&self, ahead: i64) -> RedisResult<()> {
        let mut connection = self.servers.of(0)?.connection.clone();
        let lifetime = TOLD.as_millis() as u64;
        let mut set = cmd("SET");
        set.arg(&self.key).arg(ahead).arg("PX").arg(lifetime).exec_async(&mut connection).await
    }
}

/// Returns the server's time, and how many microseconds running controls are ahead of it; 0 if none
/// of them has stored that lately.
async fn ask(servers: &Servers, key: &str) -> RedisResult<(Reading, i64)> {
    let mut connection = servers.of(0)?.connection.clone();
    let asked = uptime();
    let questions = pipe().cmd("TIME").cmd("GET").arg(key).to_owned();
    let ((seconds, micros), ahead): ((i64, i64), Option<i64>) =
        questions.query_async(&mut connection).await?;
    let slack = (uptime() - asked) / 2;
    let reading = Reading { said: seconds * 1_000_000 + micros, at: asked + slack, slack };
    Ok((reading, ahead.unwrap_or(0)))
}

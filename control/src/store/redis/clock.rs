//! The store's clock: that of the server which has the first partition, without its jumps.

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
/// For how long a jump is told to the controls that start.
const TOLD: Duration = Duration::from_secs(60);

/// An estimate of the store's clock.
pub(super) struct Clock {
    servers: Arc<Servers>,
    /// The key that says how far the clocks of the controls are ahead, in microseconds, after a
    /// jump.
    key: String,
    steady: SteadyClock,
}

impl Clock {
    /// Asks for the time, and again for as long as the process runs.
    pub(super) async fn start(servers: Arc<Servers>, prefix: &str) -> RedisResult<Arc<Self>> {
        // The time is known before anything is decided.
        let key = format!("{prefix}:{{0}}:clock");
        let (reading, ahead) = ask(&servers, &key).await?;
        let steady = SteadyClock::begin(reading, ahead);
        let clock = Arc::new(Self { servers, key, steady });
        tokio::spawn(clock.clone().follow());
        Ok(clock)
    }

    /// The store's time.
    pub(super) fn now(&self) -> Millis {
        self.steady.now()
    }

    async fn follow(self: Arc<Self>) {
        loop {
            sleep(INTERVAL).await;
            // Without an answer the time passes as before.
            let Ok((reading, _)) = ask(&self.servers, &self.key).await else { continue };
            if let Some(ahead) = self.steady.hear(reading) {
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

/// The server's time, and how far the controls that run are ahead of it.
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

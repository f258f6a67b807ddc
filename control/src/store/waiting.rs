//! Waits for a store that is out of reach, for as long as it takes.

use super::{StoreError, redis::errors};
use std::{sync::Mutex, sync::PoisonError, time::Duration};
use tokio::time::{error::Elapsed, sleep};

/// How long to wait before the second attempt. Each later wait is twice as long as the one before,
/// up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// How long to wait before an attempt, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why control still waits for the store, if it does.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<Option<String>>);

impl Waiting {
    /// Repeats an attempt until it succeeds, or fails in a way that a retry can't mend.
    pub(crate) async fn until<T>(
        &self,
        mut attempt: impl AsyncFnMut() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut pause = FIRST_PAUSE;
        loop {
            let outcome = attempt().await;
            let error = match outcome {
                Err(error) if may_pass(&error) => format!("{error:#}"),
                outcome => {
                    self.set(None);
                    return outcome;
                }
            };
            tracing::warn!(error, "waiting for the store");
            self.set(Some(error));
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Returns why the last attempt failed, if control still waits.
    pub(crate) fn why(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, why: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

/// Whether an error may pass without anybody changing a setting.
fn may_pass(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.is::<StoreError>() || cause.is::<Elapsed>() || errors::may_pass(cause))
}

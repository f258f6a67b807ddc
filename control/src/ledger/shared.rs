//! Reads that many callers ask for at the same time, sent once.
//!
//! Every call of a gateway reads the gateway's key afresh, and most calls look for an agent in the
//! same few folders. A caller joins the read that is sent next, never one that is under way, so
//! that what the caller gets was read after it asked.

use crate::store::{Found, Partition, Read, Store, StoreError};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OnceCell, Semaphore};

/// How many reads of one thing are under way at a time: while a lost one has no answer, another can
/// be sent.
const AT_ONCE: usize = 2;

type Answer = OnceCell<Result<Vec<Found>, StoreError>>;

/// The reads that wait or are under way.
#[derive(Default)]
pub(super) struct SharedReads(Mutex<HashMap<(Partition, Read), Arc<Line>>>);

/// What the callers that read the same thing share.
struct Line {
    /// One of its permits is held while a read is under way.
    sending: Semaphore,
    /// The answer to the next read, which new callers wait for.
    next: Mutex<Arc<Answer>>,
}

impl Default for Line {
    fn default() -> Self {
        Self { sending: Semaphore::new(AT_ONCE), next: Mutex::default() }
    }
}

impl SharedReads {
    /// Loads one thing; see [`Store::load`].
    pub(super) async fn load(
        &self,
        store: &dyn Store,
        partition: Partition,
        read: Read,
    ) -> Result<Vec<Found>, StoreError> {
        let what = (partition, read);
        let line = lock(&self.0).entry(what.clone()).or_default().clone();
        let caller = Caller { reads: self, what, line };
        let line = &caller.line;
        let answer = lock(&line.next).clone();
        let found = answer.get_or_init(async || {
            let _sending = line.sending.acquire().await;
            {
                // From here on, others wait for the read after this one.
                let mut next = lock(&line.next);
                if Arc::ptr_eq(&next, &answer) {
                    *next = Arc::default();
                }
            }
            store.load(partition, std::slice::from_ref(&caller.what.1)).await
        });
        found.await.clone()
    }
}

/// One caller, which may also give up. When the last caller is gone, so is the line.
struct Caller<'a> {
    reads: &'a SharedReads,
    what: (Partition, Read),
    line: Arc<Line>,
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        let mut lines = lock(&self.reads.0);
        // Only the map and this caller hold the line.
        if Arc::strong_count(&self.line) == 2 {
            lines.remove(&self.what);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

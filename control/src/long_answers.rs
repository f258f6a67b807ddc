//! Limits how many calls with long answers a key may have open at a time. An answer is in memory
//! until its client has read it, which the client may never do.

use crate::{ids::KeyId, key::Caller};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll, ready},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Status, body::Body};

/// How many such calls of one key are open at a time. Further ones wait, so that they don't hold up
/// other keys.
const OF_A_KEY: usize = 4;
/// The beginnings of the names of methods whose answers may be long, or take long to make.
const METHODS: [&str; 5] = ["Edit", "GetTokenStats", "List", "Read", "Show"];

/// How many bytes of an answer are given to a connection at a time.
const PIECE: usize = 64 << 10;

/// The open calls with long answers, by key.
#[derive(Default)]
pub(crate) struct LongAnswers(Mutex<HashMap<KeyId, Weak<Semaphore>>>);

impl LongAnswers {
    /// Waits until this call may be answered. It counts as open until the returned permit is
    /// dropped. `None`: the answers of this `Service/Method` are short.
    pub(crate) async fn wait(&self, caller: &Caller, method: &str) -> Option<OwnedSemaphorePermit> {
        let (_, name) = method.split_once('/')?;
        METHODS.iter().find(|begin| name.starts_with(*begin))?;
        self.of_key(&caller.key_id).acquire_owned().await.ok()
    }

    fn of_key(&self, key: &KeyId) -> Arc<Semaphore> {
        // Nothing that can panic runs under this lock.
        let mut by_key = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by_key.get(key).and_then(Weak::upgrade) {
            return known;
        }
        by_key.retain(|_, calls| calls.strong_count() > 0);
        let calls = Arc::new(Semaphore::new(OF_A_KEY));
        by_key.insert(key.clone(), Arc::downgrade(&calls));
        calls
    }
}

/// An answer's body. Its call counts as open until all pieces but the last are sent: hyper takes
/// the next piece only once it may send it.
pub(crate) struct UntilSent {
    body: Body,
    /// The part of the body's last frame that was not given to the connection.
    rest: Bytes,
    _open: OwnedSemaphorePermit,
}

impl UntilSent {
    pub(crate) fn new(body: Body, open: OwnedSemaphorePermit) -> Self {
        Self { body, rest: Bytes::new(), _open: open }
    }
}

impl HttpBody for UntilSent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) if frame.is_data() => {
                    self.rest = frame.into_data().unwrap_or_default();
                }
                other => return Poll::Ready(other),
            }
        }
        let bytes = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
}

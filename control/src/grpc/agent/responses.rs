//! The responses of one Attach stream.

use arizuko_proto::v1::{AttachResponse, attach_response::Message};
use futures_util::{Stream, StreamExt as _, stream::poll_fn};
use prost::Message as _;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// How many responses may wait for one agent.
const BACKLOG: usize = 64;
/// How many bytes of responses may wait for one agent. A longer response waits alone.
const BACKLOG_BYTES: u32 = 4 << 20;
/// For how many leases a response may wait for the agent: a long Turn needs time on a slow link.
const PATIENCE: u32 = 4;

/// Sends responses to an agent. Sending to an agent that is gone is no error: the end of its stream
/// of requests tells control that it is gone.
#[derive(Clone)]
pub(super) struct Responses {
    waiting: mpsc::Sender<Waiting>,
    /// The other end, for dropping what waits.
    unread: Weak<Mutex<mpsc::Receiver<Waiting>>>,
    room: Arc<Semaphore>,
    patience: Duration,
    stuck: CancellationToken,
}

struct Waiting {
    response: Result<AttachResponse, Status>,
    /// The room that it takes until it is sent.
    _room: Option<OwnedSemaphorePermit>,
}

/// Returns both ends of an agent's responses. An agent that makes one wait for longer than
/// [`PATIENCE`] leases gets no more of them.
pub(super) fn channel(
    lease: Duration,
) -> (Responses, impl Stream<Item = Result<AttachResponse, Status>>) {
    let (waiting, unread) = mpsc::channel(BACKLOG);
    let unread = Arc::new(Mutex::new(unread));
    let room = Arc::new(Semaphore::new(BACKLOG_BYTES as usize));
    let responses = Responses {
        waiting,
        unread: Arc::downgrade(&unread),
        room,
        patience: lease * PATIENCE,
        stuck: CancellationToken::new(),
    };
    let stream = poll_fn(move |context| lock(&unread).poll_recv(context));
    (responses, stream.map(|waiting| waiting.response))
}

impl Responses {
    pub(super) async fn send(&self, message: Message) {
        let response = AttachResponse { message: Some(message) };
        let bytes = u32::try_from(response.encoded_len()).unwrap_or(u32::MAX).min(BACKLOG_BYTES);
        self.put(bytes, Ok(response)).await;
    }

    /// Ends the stream with an error.
    pub(super) async fn fail(&self, status: Status) {
        self.put(0, Err(status)).await;
    }

    async fn put(&self, bytes: u32, response: Result<AttachResponse, Status>) {
        let putting = async {
            // This can't fail: nobody closes the semaphore. The room of an agent that is gone is
            // free, since its responses are dropped.
            let _room = Arc::clone(&self.room).acquire_many_owned(bytes).await.ok();
            let _ = self.waiting.send(Waiting { response, _room }).await;
        };
        if timeout(self.patience, putting).await.is_err() {
            self.stuck.cancel();
            if let Some(unread) = self.unread.upgrade() {
                let mut unread = lock(&unread);
                unread.close();
                while unread.try_recv().is_ok() {}
            }
        }
    }

    /// Waits until the agent has made a response wait for too long.
    pub(super) async fn stuck(&self) {
        self.stuck.cancelled().await;
    }
}

// Nothing that can panic runs under this lock.
fn lock<T>(unread: &Mutex<T>) -> MutexGuard<'_, T> {
    unread.lock().unwrap_or_else(PoisonError::into_inner)
}

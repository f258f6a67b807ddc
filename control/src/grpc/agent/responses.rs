//! The responses of one Attach stream.

use arizuko_proto::v1::{AttachResponse, attach_response::Message};
use futures_util::{Stream, StreamExt as _};
use prost::Message as _;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// How many responses may wait for one agent.
const BACKLOG: usize = 64;
/// How many bytes of responses may wait for one agent. A longer response waits alone.
const BACKLOG_BYTES: u32 = 4 << 20;

/// Sends responses to an agent. Sending to an agent that is gone is no error: the end of its stream
/// of requests tells control that it is gone.
#[derive(Clone)]
pub(super) struct Responses {
    waiting: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

struct Waiting {
    response: Result<AttachResponse, Status>,
    /// The room that it takes until it is sent.
    _room: Option<OwnedSemaphorePermit>,
}

/// Returns both ends of an agent's responses.
pub(super) fn channel() -> (Responses, impl Stream<Item = Result<AttachResponse, Status>>) {
    let (waiting, receiver) = mpsc::channel::<Waiting>(BACKLOG);
    let room = Arc::new(Semaphore::new(BACKLOG_BYTES as usize));
    let stream = ReceiverStream::new(receiver).map(|waiting| waiting.response);
    (Responses { waiting, room }, stream)
}

impl Responses {
    pub(super) async fn send(&self, message: Message) {
        let response = AttachResponse { message: Some(message) };
        let bytes = u32::try_from(response.encoded_len()).unwrap_or(u32::MAX).min(BACKLOG_BYTES);
        // This can't fail: nobody closes the semaphore. The room of an agent that is gone is free,
        // since its responses are dropped.
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await.ok();
        let _ = self.waiting.send(Waiting { response: Ok(response), _room: room }).await;
    }

    /// Ends the stream with an error.
    pub(super) async fn fail(&self, status: Status) {
        let _ = self.waiting.send(Waiting { response: Err(status), _room: None }).await;
    }
}

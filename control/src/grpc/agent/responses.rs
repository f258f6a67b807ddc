//! The responses of one Attach stream.

use arizuko_proto::v1::{AttachResponse, attach_response::Message};
use tokio::sync::mpsc;
use tonic::Status;

/// Sends responses to an agent. Sending to an agent that is gone does nothing: its stream of
/// requests ends as well.
#[derive(Clone)]
pub(super) struct Responses(mpsc::Sender<Result<AttachResponse, Status>>);

impl Responses {
    pub(super) fn new(responses: mpsc::Sender<Result<AttachResponse, Status>>) -> Self {
        Self(responses)
    }

    pub(super) async fn send(&self, message: Message) {
        let _ = self.0.send(Ok(AttachResponse { message: Some(message) })).await;
    }

    /// Ends the stream with an error.
    pub(super) async fn fail(&self, status: Status) {
        let _ = self.0.send(Err(status)).await;
    }
}

//! Reads the rest of a body that a refusal left unread. Without that, the connection would be reset
//! while the client still sends, and the client might never read the refusal.

use http::{Request, header::EXPECT};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::oneshot, time::timeout};

/// How many bytes of one body to read, at most. They are dropped as they arrive.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// How long to read one body, at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// A request's body. If it is dropped before its end, the unread part goes to the [`Rest`].
pub(super) struct Tracked {
    /// `None` only while this value is dropped.
    body: Option<Incoming>,
    rest: Option<oneshot::Sender<Incoming>>,
    /// Whether the client still waits for permission to send the body (`Expect`). Then there is no
    /// rest to read.
    awaits_reader: bool,
}

/// The part of a request's body that its handler left unread.
pub(super) struct Rest(oneshot::Receiver<Incoming>);

impl Tracked {
    pub(super) fn new(request: Request<Incoming>) -> (Request<Self>, Rest) {
        let (rest, receiver) = oneshot::channel();
        let awaits_reader = request.headers().contains_key(EXPECT);
        let track = |body| Self { body: Some(body), rest: Some(rest), awaits_reader };
        (request.map(track), Rest(receiver))
    }
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.awaits_reader = false;
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if self.awaits_reader || self.is_end_stream() {
            return;
        }
        if let (Some(body), Some(rest)) = (self.body.take(), self.rest.take()) {
            // The receiver is missing only if the connection is gone.
            let _ = rest.send(body);
        }
    }
}

impl Rest {
    /// Reads what is left. Call it when the handler has answered.
    pub(super) async fn read(mut self) {
        let Ok(mut body) = self.0.try_recv() else { return };
        let reading = async {
            let mut read = 0;
            while let Some(Ok(frame)) = body.frame().await {
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > MOST_BYTES {
                    return;
                }
            }
        };
        let _ = timeout(PATIENCE, reading).await;
    }
}

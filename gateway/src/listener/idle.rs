//! Notices idle HTTP/2 connections, which hyper does not close.

use axum::body::{Body, HttpBody};
use hyper::body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// The number of open requests of a connection.
#[derive(Default)]
pub(super) struct OpenRequests(watch::Sender<usize>);

/// An open request. It counts until this is dropped.
pub(super) struct OpenRequest(watch::Sender<usize>);

/// An answer's body, which keeps its request open until all of it is sent.
struct CountedBody {
    body: Body,
    _open: OpenRequest,
}

impl OpenRequests {
    /// Counts a new request.
    pub(super) fn open(&self) -> OpenRequest {
        self.0.send_modify(|open| *open += 1);
        OpenRequest(self.0.clone())
    }

    /// Returns once no request has been open for this time.
    pub(super) async fn idle(&self, time: Duration) {
        let mut open = self.0.subscribe();
        loop {
            // This can't fail: `self` holds the sender.
            let _ = open.wait_for(|open| *open == 0).await;
            if timeout(time, open.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl OpenRequest {
    /// Keeps the request open until the body is sent.
    pub(super) fn attach_to(self, body: Body) -> Body {
        Body::new(CountedBody { body, _open: self })
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

impl HttpBody for CountedBody {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use std::pin::pin;

    const TIME: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_connection_is_idle_once_all_its_answers_are_sent() {
        let requests = OpenRequests::default();
        let answer = requests.open().attach_to(Body::from("answer"));
        let mut idle = pin!(requests.idle(TIME));
        assert!(timeout(TIME * 4, &mut idle).await.is_err(), "a request is open");
        assert_eq!(answer.size_hint().exact(), Some(6));
        assert_eq!(answer.collect().await.unwrap().to_bytes(), "answer");
        drop(requests.open());
        timeout(TIME * 40, idle).await.unwrap();
    }
}

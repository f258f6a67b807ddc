//! Whether an HTTP/2 connection is of any use at the moment: hyper does not close an idle one.

use axum::body::{Body, HttpBody};
use hyper::body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// How many requests of a connection are open.
#[derive(Default)]
pub(super) struct Requests(watch::Sender<usize>);

/// One of them, until this is dropped.
pub(super) struct Open(watch::Sender<usize>);

/// An answer's body; its request is open until all of it is sent.
struct Held {
    body: Body,
    _open: Open,
}

impl Requests {
    pub(super) fn open(&self) -> Open {
        self.0.send_modify(|open| *open += 1);
        Open(self.0.clone())
    }

    /// Returns once none has been open for so long.
    pub(super) async fn idle(&self, long: Duration) {
        let mut open = self.0.subscribe();
        loop {
            // It can't be closed, as one end of it is here.
            let _ = open.wait_for(|open| *open == 0).await;
            if timeout(long, open.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Open {
    pub(super) fn until_the_end_of(self, body: Body) -> Body {
        Body::new(Held { body, _open: self })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

impl HttpBody for Held {
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

    const LONG: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_connection_is_idle_once_all_of_its_answers_are_sent() {
        let requests = Requests::default();
        let answer = requests.open().until_the_end_of(Body::from("answer"));
        let mut idle = pin!(requests.idle(LONG));
        assert!(timeout(LONG * 4, &mut idle).await.is_err(), "one is open");
        assert_eq!(answer.size_hint().exact(), Some(6));
        assert_eq!(answer.collect().await.unwrap().to_bytes(), "answer");
        drop(requests.open());
        timeout(LONG * 40, idle).await.unwrap();
    }
}

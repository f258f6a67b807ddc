//! Counts the bytes of long answers until they are sent, since clients may read slowly.

use crate::{address::Visitor, bodies::Share, gateway::Gateway, problem::Problem};
use axum::{
    body::{Body, HttpBody},
    response::Response,
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

/// How many bytes are given to a connection at a time. An answer of at most this length is not
/// counted.
const PIECE: usize = 64 * 1024;

/// Room for an answer of unknown length, counted like a request body from the same address. A
/// request that had an effect must not be refused for want of room: its answer leaves out the
/// reply, or says that there is none yet.
pub(crate) struct Room(Share);

/// An answer's body, in memory, that counts until all of it is given to the connection.
struct Counted {
    rest: Bytes,
    _share: Share,
}

impl Gateway {
    /// Returns room for a long answer; waits a moment for it.
    pub(crate) async fn room_for(&self, Visitor(address): Visitor) -> Result<Room, Problem> {
        let mut share = self.bodies.share(address);
        match share.grow_soon(self.bodies.expected()).await {
            // The gateway is full. Most answers are short, so try to get room for a short one.
            Err(problem) if problem.is_outage() => share.grow(PIECE)?,
            expected => expected?,
        }
        Ok(Room(share))
    }
}

impl Room {
    /// Counts as many bytes as the answer has; waits a moment for room.
    pub(crate) async fn fit(&mut self, bytes: usize) -> Result<(), Problem> {
        self.0.resize_soon(bytes).await
    }

    /// Returns the answer with a body that counts for as long as it is held. A longer answer than
    /// was expected waits a moment for more room.
    pub(crate) async fn hold(self, response: Response) -> Result<Response, Problem> {
        let Self(mut share) = self;
        let bytes = response.body().size_hint().exact();
        let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
        let Some(bytes) = bytes.filter(|bytes| *bytes > PIECE) else {
            return Ok(response);
        };
        share.resize_soon(bytes).await?;
        let (head, body) = response.into_parts();
        let rest = body.collect().await.map_err(|_| Problem::busy())?.to_bytes();
        Ok(Response::from_parts(head, Body::new(Counted { rest, _share: share })))
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(bytes);
        Poll::Ready((bytes > 0).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

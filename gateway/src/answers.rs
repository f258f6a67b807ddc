//! Counts long answers while they are made and until they are sent, since clients may read slowly.

use crate::{address::Visitor, bodies::Share, gateway::Gateway, problem::Problem};
use axum::{
    body::{Body, HttpBody},
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// The path of the page.
pub(crate) const PAGE: &str = "/chat/{token}/";
/// How many bytes are given to a connection at a time. A shorter answer is not counted.
const PIECE: usize = 64 * 1024;

/// An answer's body, in memory, that counts until all of it is given to the connection.
struct Counted {
    rest: Bytes,
    _share: Share,
}

/// Counts an answer of unknown length as a body that its address holds. Only those to GET: another
/// request has an effect, so its answer must not be refused.
pub(crate) async fn count(
    State(gateway): State<Arc<Gateway>>,
    Visitor(address): Visitor,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    // Without a query the page has no messages, so it is short.
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let is_first_page = path == Some(PAGE) && request.uri().query().is_none();
    if request.method() != Method::GET || is_first_page {
        return Ok(next.run(request).await);
    }
    let mut share = gateway.bodies.share(address);
    match share.grow(gateway.bodies.expected()) {
        // Most answers are short, and there is room for those whatever others hold.
        Err(problem) if problem.is_outage() => share.grow(PIECE)?,
        expected => expected?,
    }
    let response = next.run(request).await;
    let bytes = response.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let Some(bytes) = bytes.filter(|bytes| *bytes > PIECE) else {
        return Ok(response);
    };
    share.resize(bytes)?;
    let (head, body) = response.into_parts();
    let rest = body.collect().await.map_err(|_| Problem::busy())?.to_bytes();
    Ok(Response::from_parts(head, Body::new(Counted { rest, _share: share })))
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

//! Lets a call in: reads its key from its head, before any of its body, and gives it a deadline.

use crate::{control::Control, key::Caller, ledger::Error};
use futures_util::future::BoxFuture;
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::timeout;
use tonic::{
    Status,
    body::Body,
    codegen::http::{HeaderMap, Request, Response, header::AUTHORIZATION},
};
use tower::{Layer, Service};

/// What our services' paths begin with. Health and reflection need no key.
const KEYED: &str = "/arizuko.";

#[derive(Clone)]
pub(super) struct GateLayer {
    pub(super) control: Arc<Control>,
    /// How long a call may take to its answer; for a stream, to the answer's head.
    pub(super) deadline: Duration,
}

/// A service behind the gate. Its requests have their [`Caller`] as an extension.
#[derive(Clone)]
pub(crate) struct Gate<S> {
    inner: S,
    gate: GateLayer,
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate { inner, gate: self.clone() }
    }
}

impl<S, B> Service<Request<B>> for Gate<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The clone that is kept is not the one that is ready.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let GateLayer { control, deadline } = self.gate.clone();
        Box::pin(async move {
            let answering = async {
                if request.uri().path().starts_with(KEYED) {
                    match caller(&control, request.headers()).await {
                        Ok(caller) => request.extensions_mut().insert(caller),
                        Err(error) => return Ok(Status::from(error).into_http()),
                    };
                }
                inner.call(request).await
            };
            let answer = timeout(deadline, answering).await;
            answer.unwrap_or_else(|_| Ok(super::status::overdue(deadline).into_http()))
        })
    }
}

/// Returns who is calling, by the `authorization` header.
async fn caller(control: &Control, headers: &HeaderMap) -> Result<Caller, Error> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let secret = header.and_then(|header| header.strip_prefix("Bearer ")).unwrap_or_default();
    control.caller(secret).await
}

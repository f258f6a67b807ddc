//! Admits calls: reads the key in a call's head before any of its body, and sets a deadline.

use crate::{
    audit::{self, Change},
    client_roles,
    control::Control,
    key::{Caller, Role},
    ledger::Error,
    listener::Peer,
    long_answers::UntilSent,
    refusal::Refusal,
    transaction::Tx,
};
use arizuko_proto::v1::ErrorReason;
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

/// The beginning of our services' paths. Health and reflection need no key. But if their caller
/// sends one, it is checked, so that a gateway's health check also says whether its key works.
const KEYED: &str = "/arizuko.";

#[derive(Clone)]
pub(super) struct GateLayer {
    pub(super) control: Arc<Control>,
    /// How long a call may take until its answer, or a stream until the answer's head.
    pub(super) deadline: Duration,
}

/// A service behind the gate. A request that came with a key has its [`Caller`] as an extension.
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
        // Only `self.inner` was polled ready, not its clone: call `self.inner`, and leave the clone
        // in its place.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let GateLayer { control, deadline } = self.gate.clone();
        Box::pin(async move {
            let answering = async {
                let path = request.uri().path();
                let has_key = request.headers().contains_key(AUTHORIZATION);
                if !path.starts_with(KEYED) && !has_key {
                    return inner.call(request).await;
                }
                let method = path.trim_start_matches("/arizuko.v1.").to_owned();
                let caller = match caller(&control, request.headers()).await {
                    Ok(caller) => caller,
                    Err(error) => {
                        note_wrong_key(&control, &error, request.extensions().get());
                        return Ok(Status::from(error).into_http());
                    }
                };
                if let Err(refusal) =
                    check_certificate(&control, &caller, request.extensions().get())
                {
                    let status = Status::from(refusal);
                    note_refusal(&control, &caller, &method, &status).await;
                    return Ok(status.into_http());
                }
                request.extensions_mut().insert(caller.clone());
                let open = control.long_answers.wait(&caller, &method).await;
                let answer = inner.call(request).await?;
                // A refusal has its status in the headers.
                if let Some(status) = Status::from_header_map(answer.headers()) {
                    note_refusal(&control, &caller, &method, &status).await;
                }
                Ok(match open {
                    Some(open) => answer.map(|body| Body::new(UntilSent::new(body, open))),
                    None => answer,
                })
            };
            let answer = timeout(deadline, answering).await;
            answer.unwrap_or_else(|_| Ok(super::status::overdue(deadline).into_http()))
        })
    }
}

/// Logs a call with a wrong key, unless many were logged just before.
fn note_wrong_key(control: &Control, error: &Error, peer: Option<&Peer>) {
    if matches!(error, Error::Refused(Refusal::KeyInvalid))
        && let Some(left_out) = control.wrong_keys.sample()
    {
        let address = address(peer);
        tracing::warn!(address, left_out, "refused a call with a wrong key");
    }
}

/// Checks that a role of the connection's certificate allows the caller's key. Logs some of the
/// refusals.
fn check_certificate(
    control: &Control,
    caller: &Caller,
    peer: Option<&Peer>,
) -> Result<(), Refusal> {
    let checked = peer.map_or(Ok(()), |peer| client_roles::check(&peer.roles, &caller.role));
    if checked.is_err()
        && let Some(left_out) = control.wrong_keys.sample()
    {
        let (address, key) = (address(peer), caller.key_id.as_str());
        tracing::warn!(address, key, left_out, "refused a key over a certificate of another role");
    }
    checked
}

fn address(peer: Option<&Peer>) -> Option<String> {
    peer?.address.map(|address| address.to_string())
}

/// Notes in the audit log that a key was used for a call that it may not make, unless many such
/// calls were noted just before.
pub(super) async fn note_refusal(
    control: &Control,
    caller: &Caller,
    method: &str,
    status: &Status,
) {
    if ErrorReason::of(status) != Some(ErrorReason::NotAllowed) {
        return;
    }
    let Some(left_out) = control.refusals.sample() else { return };
    let detail = match left_out {
        0 => status.message().to_owned(),
        left_out => format!("{}; {left_out} more before it", status.message()),
    };
    let (folder, partition) = match &caller.role {
        Role::Agent { folder, .. } => (folder.as_str(), control.partition(folder)),
        Role::Operator | Role::Viewer | Role::Gateway => ("", 0),
    };
    let noting = |tx: &mut Tx<'_>| {
        let actor = caller.key_id.as_str();
        let change =
            Change { actor, action: "call.refuse", folder, subject: method, detail: &detail };
        audit::note(tx, &change)
    };
    if let Err(error) = control.ledger.transact(partition, &[], noting).await {
        tracing::warn!(%error, "cannot note a refusal in the audit log");
    }
}

/// Returns who is calling, by the `authorization` header.
async fn caller(control: &Control, headers: &HeaderMap) -> Result<Caller, Error> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    // The scheme may be in upper or lower case.
    let (scheme, secret) = header.and_then(|header| header.split_once(' ')).unwrap_or_default();
    let secret = if scheme.eq_ignore_ascii_case("bearer") { secret } else { "" };
    control.caller(secret).await
}

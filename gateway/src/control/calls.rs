//! One stream of calls to one control. A call on the stream costs far less than a gRPC request of
//! its own, because it has no head, and calls that come together share a message.

use super::client::Client;
use arizuko_proto::{
    telemetry::traces,
    v1::{
        CallRequest, CallResponse, GatewayAnswer, GatewayCall,
        gateway_answer::{Answer, Failed},
        gateway_call::Request,
    },
};
use futures_util::StreamExt as _;
use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status, Streaming};
use tracing::Span;

/// How many calls one message has, at most.
const BATCH: usize = 64;
/// How many calls may wait to be sent; further ones wait for room.
const QUEUE: usize = 1_024;
/// How long to wait before asking a control for a stream again if it did not know such streams.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// The stream of calls to one control. It is opened in the background once a call has succeeded.
pub(super) struct Calls {
    client: Client,
    state: Arc<Mutex<State>>,
}

enum State {
    Closed,
    Opening(#[expect(dead_code, reason = "dropping it stops the opening")] AbortOnDropHandle<()>),
    Open(Arc<Stream>),
    /// Control's version has no such streams. This is when that was found out.
    Unknown(Instant),
}

/// An open stream.
pub(super) struct Stream {
    calls: mpsc::Sender<GatewayCall>,
    open: Arc<Mutex<Open>>,
    _reading: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Open {
    /// Why the stream has ended. New calls then fail at once.
    end: Option<Status>,
    last_number: u64,
    calls: HashMap<u64, Call>,
}

/// A call that control works on.
struct Call {
    /// `None` once nobody waits for the answer any more.
    caller: Option<oneshot::Sender<Result<Answer, Status>>>,
    /// The room that the call takes until control has answered, even if nobody waits for that.
    _room: OwnedSemaphorePermit,
}

impl Calls {
    pub(super) fn new(client: Client) -> Self {
        Self { client, state: Arc::new(Mutex::new(State::Closed)) }
    }

    /// Returns the stream if it is open. If it isn't, the call must be a request of its own.
    pub(super) fn stream(&self) -> Option<Arc<Stream>> {
        match &*lock(&self.state) {
            State::Open(stream) if stream.is_open() => Some(stream.clone()),
            _ => None,
        }
    }

    /// Begins to open the stream for later calls, unless it is open or being opened, or control was
    /// found lately not to know such streams.
    pub(super) fn prepare(&self) {
        let mut state = lock(&self.state);
        match &*state {
            State::Open(stream) if stream.is_open() => return,
            State::Opening(_) => return,
            State::Unknown(since) if since.elapsed() < ASK_AGAIN => return,
            State::Closed | State::Open(_) | State::Unknown(_) => {}
        }
        let (client, opened) = (self.client.clone(), self.state.clone());
        let opening = async move {
            let state = open(client).await;
            *lock(&opened) = state;
        };
        *state = State::Opening(AbortOnDropHandle::new(tokio::spawn(opening)));
    }
}

async fn open(mut client: Client) -> State {
    let (calls, pending) = mpsc::channel(QUEUE);
    let pending = ReceiverStream::new(pending).ready_chunks(BATCH);
    match client.call(pending.map(|calls| CallRequest { calls })).await {
        Ok(answers) => {
            let open = Arc::<Mutex<Open>>::default();
            let reading = tokio::spawn(read(answers.into_inner(), open.clone()));
            let _reading = AbortOnDropHandle::new(reading);
            State::Open(Arc::new(Stream { calls, open, _reading }))
        }
        Err(status) if status.code() == Code::Unimplemented => State::Unknown(Instant::now()),
        // The next call tries again.
        Err(status) => {
            tracing::debug!(code = ?status.code(), "no stream of calls: {}", status.message());
            State::Closed
        }
    }
}

/// Reads the answers until the stream ends, and then fails all calls that have none.
async fn read(mut answers: Streaming<CallResponse>, open: Arc<Mutex<Open>>) {
    let end = loop {
        match answers.message().await {
            Ok(Some(response)) => response.answers.into_iter().for_each(|it| settle(&open, it)),
            Ok(None) => break Status::unavailable("control ended the stream of calls"),
            Err(status) => break status,
        }
    };
    tracing::debug!(code = ?end.code(), "the stream of calls ended: {}", end.message());
    let calls = {
        let mut open = lock(&open);
        open.end = Some(end.clone());
        mem::take(&mut open.calls)
    };
    for caller in calls.into_values().filter_map(|call| call.caller) {
        let _ = caller.send(Err(end.clone()));
    }
}

fn settle(open: &Mutex<Open>, GatewayAnswer { number, answer }: GatewayAnswer) {
    let call = lock(open).calls.remove(&number);
    let Some(caller) = call.and_then(|call| call.caller) else { return };
    let _ = caller.send(match answer {
        Some(Answer::Failed(Failed { code, message, details })) => {
            Err(Status::with_details(Code::from(code), message, details))
        }
        Some(answer) => Ok(answer),
        None => Err(Status::unimplemented("control gave an answer of an unknown kind")),
    });
}

impl Stream {
    fn is_open(&self) -> bool {
        lock(&self.open).end.is_none()
    }

    /// Makes a call, and returns its answer.
    ///
    /// # Errors
    /// The status with which control has refused the call, or with which the stream has ended.
    pub(super) async fn call(
        &self,
        request: Request,
        room: OwnedSemaphorePermit,
    ) -> Result<Answer, Status> {
        let ended = || Status::unavailable("the stream of calls ended");
        let traceparent = traces::traceparent(&Span::current()).unwrap_or_default();
        let (caller, answer) = oneshot::channel();
        let place = self.calls.reserve().await.map_err(|_| ended())?;
        let number = {
            let mut open = lock(&self.open);
            if let Some(end) = &open.end {
                return Err(end.clone());
            }
            open.last_number += 1;
            let number = open.last_number;
            open.calls.insert(number, Call { caller: Some(caller), _room: room });
            number
        };
        place.send(GatewayCall { number, traceparent, request: Some(request) });
        let _waiting = Waiting { open: &self.open, number };
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// A wait for a call's answer.
struct Waiting<'a> {
    open: &'a Mutex<Open>,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(call) = lock(self.open).calls.get_mut(&self.number) {
            call.caller = None;
        }
    }
}

// The code under these locks never awaits, and leaves the value consistent if it panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arizuko_proto::v1::ResolveTokenRequest;
    use futures_util::{FutureExt as _, future::pending};
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn a_call_keeps_its_room_until_control_has_answered_though_nobody_waits() {
        let (calls, mut sent) = mpsc::channel(1);
        let open = Arc::<Mutex<Open>>::default();
        let _reading = AbortOnDropHandle::new(tokio::spawn(pending()));
        let stream = Stream { calls, open: open.clone(), _reading };
        let room = Arc::new(Semaphore::new(1));
        let place = room.clone().try_acquire_owned().expect("there is room");
        let request = Request::ResolveToken(ResolveTokenRequest::default());
        assert!(stream.call(request, place).now_or_never().is_none());
        let GatewayCall { number, .. } = sent.recv().await.expect("the call was sent");
        assert_eq!(room.available_permits(), 0);
        settle(&open, GatewayAnswer { number, answer: None });
        assert_eq!(room.available_permits(), 1);
    }
}

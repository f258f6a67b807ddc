//! One control: the connections to it, and whether it answered lately.

use super::{
    calls::Calls,
    client::{Client, cause, client, connect},
    watch::Watch,
};
use arizuko_proto::{
    client::{Bearer, Channel, serves},
    telemetry::sampler::Sampler,
    v1::{
        PostMessageRequest, PostMessageResponse, ResolveTokenRequest, ResolveTokenResponse,
        gateway_answer::Answer, gateway_call::Request,
    },
};
use prost::Message as _;
use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tonic::{Status, transport::Endpoint};

/// For how long a control that did not answer is asked only after all others.
const REST: Duration = Duration::from_secs(2);

/// How long a call waits for others to end if there is no room for it.
const PATIENCE: Duration = Duration::from_millis(50);

/// The largest request, in bytes, that is posted on the stream of calls. A larger one would hold up
/// the calls behind it.
const SMALL_BYTES: usize = 16 << 10;

/// Why a call was not sent.
#[derive(Debug, thiserror::Error)]
#[error("no room for another call: control works on as many as --control-calls says")]
pub(super) struct Full;

/// One control. Its Watch stream has a connection of its own, so that neither the stream nor the
/// calls wait for the other. The stream of calls shares the connection of the unary calls.
pub(super) struct Node {
    pub(super) address: String,
    pub(super) client: Client,
    channel: Channel,
    calls: Calls,
    /// Room for calls: when messages come faster than this control takes them, the latest are
    /// refused at once, so that the others don't all come too late.
    room: Arc<Semaphore>,
    /// Chooses the calls without room that are logged.
    overloads: Sampler,
    pub(super) watch: Watch,
    resting_until: Mutex<Option<Instant>>,
    /// Notified when this control did not answer.
    failed: Arc<Notify>,
}

impl Node {
    pub(super) fn new(
        address: &str,
        endpoint: &Endpoint,
        key: &Bearer,
        room: Semaphore,
        failed: &Arc<Notify>,
    ) -> Self {
        let channel = connect(endpoint, key);
        Self {
            address: address.to_owned(),
            client: client(channel.clone()),
            calls: Calls::new(client(channel.clone())),
            channel,
            room: Arc::new(room),
            overloads: Sampler::default(),
            watch: Watch::new(address, client(connect(endpoint, key))),
            resting_until: Mutex::new(None),
            failed: failed.clone(),
        }
    }

    /// Checks whether this control takes the gateway's key and can serve. The error says why not.
    pub(super) async fn ready(&self) -> Result<(), String> {
        match serves(self.channel.clone()).await.map_err(|status| cause(&status))? {
            true => Ok(()),
            false => Err("it cannot serve: its log says why".to_owned()),
        }
    }

    pub(super) async fn resolve(
        &self,
        request: ResolveTokenRequest,
    ) -> Result<ResolveTokenResponse, Status> {
        let room = self.room().await?;
        let Some(stream) = self.calls.stream() else {
            let answer = self.client.clone().resolve_token(request).await?;
            self.calls.prepare();
            return Ok(answer.into_inner());
        };
        match stream.call(Request::ResolveToken(request), room).await? {
            Answer::ResolveToken(answer) => Ok(answer),
            _ => Err(of_another_call()),
        }
    }

    pub(super) async fn post(
        &self,
        request: PostMessageRequest,
    ) -> Result<PostMessageResponse, Status> {
        let room = self.room().await?;
        let is_small = request.encoded_len() <= SMALL_BYTES;
        let Some(stream) = is_small.then(|| self.calls.stream()).flatten() else {
            let answer = self.client.clone().post_message(request).await?;
            self.calls.prepare();
            return Ok(answer.into_inner());
        };
        match stream.call(Request::PostMessage(request), room).await? {
            Answer::PostMessage(answer) => Ok(answer),
            _ => Err(of_another_call()),
        }
    }

    /// Waits until there is room for a call.
    ///
    /// # Errors
    /// [`Full`], as the status's cause.
    async fn room(&self) -> Result<OwnedSemaphorePermit, Status> {
        if let Ok(Ok(room)) = timeout(PATIENCE, self.room.clone().acquire_owned()).await {
            return Ok(room);
        }
        if let Some(left_out) = self.overloads.sample() {
            tracing::warn!(control = self.address, left_out, "{Full}");
        }
        Err(Status::from_error(Full.into()))
    }

    /// Asks this control only after all others for the next [`REST`], because it did not answer.
    pub(super) fn rest(&self) {
        *self.resting_until() = Some(Instant::now() + REST);
        self.failed.notify_one();
    }

    pub(super) fn rests(&self) -> bool {
        self.resting_until().is_some_and(|until| Instant::now() < until)
    }

    /// Returns this control's weight for `place` in rendezvous hashing.
    pub(super) fn weight(&self, place: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.address, place).hash(&mut hasher);
        hasher.finish()
    }

    // A panic can't leave half of a value here.
    fn resting_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.resting_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_another_call() -> Status {
    Status::internal("control gave the answer of another call")
}

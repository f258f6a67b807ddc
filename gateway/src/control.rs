//! The client of control. A call goes on to the next control when one does not answer.
//!
//! Nothing that control says is kept: each request asks anew, which is what makes a revocation
//! count at once.

mod node;
mod subscription;
mod watch;

pub(crate) use subscription::{End, Event, Subscription, Target};

use arizuko_proto::tls::ClientFiles;
use arizuko_proto::{telemetry::traces, v1 as pb};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use node::{Client, Key, Node};
use std::{cmp::Reverse, error::Error, iter, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};
use tonic::{Code, ConnectError, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::Span;

/// The domain of control's `google.rpc.ErrorInfo`.
const DOMAIN: &str = "arizuko";
/// How long one control has for an answer, beyond what the caller itself wants to wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// All controls. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Control {
    nodes: Arc<[Arc<Node>]>,
}

/// What a call does, and so what is said when nobody knows whether it was done.
#[derive(Clone, Copy, PartialEq)]
enum Effect {
    Read,
    Write,
}

impl Control {
    /// Prepares the connections; they are made when first used.
    pub(crate) fn new(addresses: &[String], key: &str, tls: &ClientFiles) -> anyhow::Result<Self> {
        anyhow::ensure!(!addresses.is_empty(), "no control is named: use --control");
        let key = Key::new(key)?;
        let nodes = addresses.iter().map(|address| Node::new(address, &key, tls).map(Arc::new));
        Ok(Self { nodes: nodes.collect::<anyhow::Result<_>>()? })
    }

    /// Says what a link is.
    pub(crate) async fn resolve(
        &self,
        access: pb::Access,
    ) -> Result<pb::ResolveTokenResponse, Status> {
        let place = access.token.clone();
        let request = pb::ResolveTokenRequest { access: Some(access) };
        let call = |mut client: Client, request| async move { client.resolve_token(request).await };
        self.ask(&place, Effect::Read, request, call).await
    }

    /// Takes a message. It always has an idempotency key: that is what makes it safe to ask another
    /// control when one has broken off.
    pub(crate) async fn post(
        &self,
        mut request: pb::PostMessageRequest,
    ) -> Result<pb::PostMessageResponse, Status> {
        if request.idempotency_key.is_empty() {
            let random = [random(), random(), random()].map(u64::to_be_bytes);
            request.idempotency_key = URL_SAFE_NO_PAD.encode(random.as_flattened());
        }
        // Where spans are exported the turn is a part of this request; else of the caller's.
        if let Some(traceparent) = traces::traceparent(&Span::current()) {
            request.traceparent = traceparent;
        }
        let is_new = request.conversation.is_empty();
        let place = match &request.access {
            Some(access) if is_new => access.token.clone(),
            _ => request.conversation.clone(),
        };
        let call = |mut client: Client, request| async move { client.post_message(request).await };
        let posted = self.ask(&place, Effect::Write, request, call).await?;
        Span::current().record("turn", &posted.turn_id);
        if is_new {
            Span::current().record("conversation", &posted.conversation);
        }
        Ok(posted)
    }

    /// Says where a turn stands; with `wait`, as soon as it has ended or that time is over.
    pub(crate) async fn turn(
        &self,
        request: pb::GetTurnRequest,
        wait: Duration,
    ) -> Result<pb::GetTurnResponse, Status> {
        let place = request.turn_id.clone();
        // What one control has used up of the wait, the next doesn't have again.
        let until = Instant::now() + wait;
        let call = |mut client: Client, mut request: pb::GetTurnRequest| {
            let left = until.saturating_duration_since(Instant::now());
            request.wait =
                Some(left).filter(|left| !left.is_zero()).and_then(|left| left.try_into().ok());
            async move { client.get_turn(request).await }
        };
        let patience = wait + PATIENCE;
        self.ask_within(patience, &place, Effect::Read, request, call).await
    }

    /// Returns a page of history.
    pub(crate) async fn conversation(
        &self,
        request: pb::GetConversationRequest,
    ) -> Result<pb::GetConversationResponse, Status> {
        let place = request.conversation.clone();
        let call =
            |mut client: Client, request| async move { client.get_conversation(request).await };
        self.ask(&place, Effect::Read, request, call).await
    }

    /// Stops a turn.
    pub(crate) async fn cancel(
        &self,
        request: pb::CancelTurnRequest,
    ) -> Result<pb::CancelTurnResponse, Status> {
        let place = request.turn_id.clone();
        let call = |mut client: Client, request| async move { client.cancel_turn(request).await };
        self.ask(&place, Effect::Write, request, call).await
    }

    /// Cancels what runs in a conversation and purges it.
    pub(crate) async fn delete(
        &self,
        request: pb::DeleteConversationRequest,
    ) -> Result<pb::DeleteConversationResponse, Status> {
        let place = request.conversation.clone();
        let call =
            |mut client: Client, request| async move { client.delete_conversation(request).await };
        self.ask(&place, Effect::Write, request, call).await
    }

    /// Whether any control answers: all are asked about a token that none can have.
    pub(crate) async fn ready(&self) -> Result<(), Status> {
        let asked = self.nodes.iter().map(|node| async {
            let request = pb::ResolveTokenRequest {
                access: Some(pb::Access { token: String::new(), kind: pb::TokenKind::Chat.into() }),
            };
            let mut client = node.client.clone();
            match timeout(PATIENCE, client.resolve_token(request)).await {
                Ok(Err(status)) if reason(&status) == Some(pb::ErrorReason::TokenInvalid) => Ok(()),
                _ => Err(()),
            }
        });
        match futures_util::future::select_ok(asked.map(Box::pin)).await {
            Ok(_) => Ok(()),
            Err(()) => Err(refusal("UNAVAILABLE", "no control answered")),
        }
    }

    async fn ask<Q: Clone, A, F>(
        &self,
        place: &str,
        effect: Effect,
        request: Q,
        call: impl Fn(Client, Q) -> F,
    ) -> Result<A, Status>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        self.ask_within(PATIENCE, place, effect, request, call).await
    }

    /// Asks one control after the other (a single one twice) until one says something: a refusal
    /// ends it as much as an answer does.
    async fn ask_within<Q: Clone, A, F>(
        &self,
        patience: Duration,
        place: &str,
        effect: Effect,
        request: Q,
        call: impl Fn(Client, Q) -> F,
    ) -> Result<A, Status>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let nodes = self.order(place);
        let tries = nodes.len().max(2);
        let mut perhaps_done = false;
        for node in nodes.into_iter().cycle().take(tries) {
            let answer = call(node.client.clone(), request.clone());
            let status = match timeout(patience, answer).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("no answer in time"),
            };
            match Silence::of(&status) {
                None => return Err(status),
                Some(Silence::NotDone) => {}
                Some(Silence::PerhapsDone) => perhaps_done = true,
            }
            let (code, cause) = (status.code(), cause(&status));
            let advice = arizuko_proto::tls::advice(&node.address, &cause);
            tracing::warn!(control = node.address, ?code, advice, "{cause}");
            node.rest();
        }
        Err(match (perhaps_done, effect) {
            (true, Effect::Write) => refusal("OUTCOME_UNKNOWN", "no control said if it is done"),
            _ => refusal("UNAVAILABLE", "no control answered"),
        })
    }

    /// The controls in the order in which they are asked about `place`, which is a conversation
    /// where there is one: all who ask about it should meet at one control. Those that did not
    /// answer lately come last.
    fn order(&self, place: &str) -> Vec<&Arc<Node>> {
        let mut nodes: Vec<_> = self.nodes.iter().collect();
        nodes.sort_by_cached_key(|node| (node.rests(), Reverse(node.weight(place))));
        nodes
    }

    fn first(&self, place: &str) -> &Arc<Node> {
        self.order(place)[0]
    }
}

/// What is known of a call that control has not answered.
enum Silence {
    NotDone,
    PerhapsDone,
}

impl Silence {
    /// None: it is control's answer.
    fn of(status: &Status) -> Option<Self> {
        use pb::ErrorReason::{OutcomeUnknown, Unavailable};
        match reason(status) {
            Some(Unavailable) => Some(Self::NotDone),
            Some(OutcomeUnknown) => Some(Self::PerhapsDone),
            Some(_) => None,
            None if was_never_sent(status) => Some(Self::NotDone),
            None => Some(Self::PerhapsDone),
        }
    }
}

fn was_never_sent(status: &Status) -> bool {
    causes(status).any(|error| error.is::<ConnectError>())
}

/// The innermost cause of a status that the connection made.
fn cause(status: &Status) -> String {
    let cause = causes(status).last();
    cause.map_or_else(|| status.message().to_owned(), ToString::to_string)
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    iter::successors(status.source(), |&error| error.source())
}

/// The stable word in a status of control's. A status without one was made by the connection.
pub(crate) fn reason(status: &Status) -> Option<pb::ErrorReason> {
    let info = status.get_details_error_info()?;
    let known = || pb::ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason));
    (info.domain == DOMAIN).then(known)?
}

/// A status as control sends them: its code says nothing, its reason all.
fn refusal(reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, []);
    Status::with_error_details(Code::Unknown, message, details)
}

/// A random time up to `most`, so that many who wait for one thing don't come back at once.
pub(crate) fn jitter(most: Duration) -> Duration {
    most.mul_f64(random() as f64 / u64::MAX as f64)
}

#[expect(clippy::expect_used, reason = "a system without random numbers cannot go on")]
fn random() -> u64 {
    getrandom::u64().expect("the system has random numbers")
}

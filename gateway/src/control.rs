//! The client of control. If one control doesn't answer a call, the next one gets it.
//!
//! Nothing that control says is cached: each request asks again, so that a revocation counts at
//! once.

mod calls;
mod client;
mod names;
mod node;
mod nodes;
mod refusal;
mod subscription;
mod watch;

pub(crate) use refusal::Refusal;
pub(crate) use subscription::{End, Subscription, Target, Update};

use arizuko_proto::{public_id, telemetry::traces, tls::ClientFiles, v1 as pb};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use client::Client;
use futures_util::future::select_ok;
use node::Node;
use nodes::{Effect, Nodes};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};
use tracing::Span;

/// How long one control may take to answer, beyond the wait that the call itself asks for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before asking again whether a control can serve.
const RETRY: Duration = Duration::from_millis(250);

/// All controls. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Control(Nodes);

impl Control {
    /// Prepares the connections, which are made when they are first used. Each control works on at
    /// most `calls` tokens and messages at a time.
    pub(crate) fn new(
        addresses: &[String],
        key: &str,
        tls: &ClientFiles,
        calls: u32,
    ) -> anyhow::Result<Self> {
        Ok(Self(Nodes::new(addresses, key, tls, calls)?))
    }

    /// Resolves a link's token.
    pub(crate) async fn resolve(
        &self,
        access: pb::Access,
    ) -> Result<pb::ResolveTokenResponse, Refusal> {
        let place = access.token.clone();
        let request = pb::ResolveTokenRequest { access: Some(access) };
        let call = |node: Arc<Node>, request| async move { node.resolve(request).await };
        self.0.ask_node(ANSWER_TIMEOUT, &place, Effect::Read, request, call).await
    }

    /// Reads a link's logo.
    pub(crate) async fn logo(&self, access: pb::Access) -> Result<pb::GetLogoResponse, Refusal> {
        let place = access.token.clone();
        let request = pb::GetLogoRequest { access: Some(access) };
        let call = |mut client: Client, request| async move { client.get_logo(request).await };
        self.0.ask(ANSWER_TIMEOUT, &place, Effect::Read, request, call).await
    }

    /// Posts a message. Adds an idempotency key if there is none, so that the call is safe to
    /// repeat at another control.
    pub(crate) async fn post(
        &self,
        mut request: pb::PostMessageRequest,
    ) -> Result<pb::PostMessageResponse, Refusal> {
        let has_key = !request.idempotency_key.is_empty();
        let is_hook = request.request.is_some();
        if !has_key {
            request.idempotency_key = random_key();
        }
        // The turn continues the trace of this request's span if the span is exported, and
        // otherwise the trace that the caller named.
        if let Some(traceparent) = traces::traceparent(&Span::current()) {
            request.traceparent = traceparent;
        }
        let is_new = request.conversation.is_empty();
        let place = match &request.access {
            Some(access) if is_new => access.token.clone(),
            _ => request.conversation.clone(),
        };
        let call = |node: Arc<Node>, request| async move { node.post(request).await };
        let mut posted =
            self.0.ask_node(ANSWER_TIMEOUT, &place, Effect::Write, request, call).await?;
        // Without a key from the visitor, only the gateway itself can have repeated the message.
        // For a webhook, control itself distinguishes the sender's repeats from the gateway's.
        posted.repeated &= has_key || is_hook;
        if posted.filtered || !posted.handshake.is_empty() {
            return Ok(posted);
        }
        Span::current().record("turn", public_id::turn(&posted.turn_id));
        if is_new {
            Span::current().record("conversation", public_id::conversation(&posted.conversation));
        }
        Ok(posted)
    }

    /// Reads a turn, once it has ended or `wait` is over.
    pub(crate) async fn turn(
        &self,
        request: pb::GetTurnRequest,
        wait: Duration,
    ) -> Result<pb::GetTurnResponse, Refusal> {
        let place = request.turn_id.clone();
        // A second control waits only for the rest of the time.
        let until = Instant::now() + wait;
        let call = |mut client: Client, mut request: pb::GetTurnRequest| {
            let left = until.saturating_duration_since(Instant::now());
            request.wait =
                Some(left).filter(|left| !left.is_zero()).and_then(|left| left.try_into().ok());
            async move { client.get_turn(request).await }
        };
        self.0.ask(wait + ANSWER_TIMEOUT, &place, Effect::Read, request, call).await
    }

    /// Reads a page of a conversation's history.
    pub(crate) async fn conversation(
        &self,
        request: pb::GetConversationRequest,
    ) -> Result<pb::GetConversationResponse, Refusal> {
        let place = request.conversation.clone();
        let call =
            |mut client: Client, request| async move { client.get_conversation(request).await };
        self.0.ask(ANSWER_TIMEOUT, &place, Effect::Read, request, call).await
    }

    /// Cancels a turn.
    pub(crate) async fn cancel(
        &self,
        request: pb::CancelTurnRequest,
    ) -> Result<pb::CancelTurnResponse, Refusal> {
        let place = request.turn_id.clone();
        let call = |mut client: Client, request| async move { client.cancel_turn(request).await };
        self.0.ask(ANSWER_TIMEOUT, &place, Effect::Write, request, call).await
    }

    /// Notes what the visitor thinks of a reply.
    pub(crate) async fn rate(
        &self,
        request: pb::RateTurnRequest,
    ) -> Result<pb::RateTurnResponse, Refusal> {
        let place = request.turn_id.clone();
        let call = |mut client: Client, request| async move { client.rate_turn(request).await };
        self.0.ask(ANSWER_TIMEOUT, &place, Effect::Write, request, call).await
    }

    /// Lists the conversations of a visitor for whom the site vouches.
    pub(crate) async fn conversations(
        &self,
        request: pb::ListVisitorConversationsRequest,
    ) -> Result<pb::ListVisitorConversationsResponse, Refusal> {
        let place = request.access.as_ref().map(|access| access.token.clone()).unwrap_or_default();
        let call = |mut client: Client, request| async move {
            client.list_visitor_conversations(request).await
        };
        self.0.ask(ANSWER_TIMEOUT, &place, Effect::Read, request, call).await
    }

    /// Deletes a conversation and cancels its open turns.
    pub(crate) async fn delete(
        &self,
        request: pb::DeleteConversationRequest,
    ) -> Result<pb::DeleteConversationResponse, Refusal> {
        let place = request.conversation.clone();
        let call =
            |mut client: Client, request| async move { client.delete_conversation(request).await };
        self.0.ask(ANSWER_TIMEOUT, &place, Effect::Write, request, call).await
    }

    /// Subscribes to the frames after `cursor`. `None` if the reader has all frames of an ended
    /// turn.
    pub(crate) async fn subscribe(
        &self,
        access: pb::Access,
        target: Target,
        cursor: Option<pb::Cursor>,
    ) -> Result<Option<Subscription>, Refusal> {
        Subscription::open(self.0.clone(), access, target, cursor).await
    }

    /// Tells a control about this gateway. Nothing depends on this report, and an older control
    /// doesn't know the call. So a control that fails the call is not avoided.
    pub(crate) async fn report(&self, request: pb::ReportGatewayRequest) {
        for node in self.0.all().iter() {
            let mut client = node.client.clone();
            let told = timeout(ANSWER_TIMEOUT, client.report_gateway(request.clone())).await;
            if matches!(told, Ok(Ok(_))) {
                return;
            }
        }
        tracing::debug!("no control takes the report of this gateway");
    }

    /// Succeeds if any control can serve.
    pub(crate) async fn ready(&self) -> Result<(), Refusal> {
        let nodes = self.0.all();
        let asked = nodes.iter().map(|node| async {
            let ready = timeout(ANSWER_TIMEOUT, node.ready()).await;
            let ready = ready.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            ready.inspect_err(|why| tracing::debug!(control = node.address, why, "not ready"))
        });
        let ready = select_ok(asked.map(Box::pin)).await;
        ready.map(drop).map_err(|_| Refusal::unavailable())
    }

    /// Returns once a control can serve.
    pub(crate) async fn until_ready(&self) {
        let mut is_waiting = false;
        while self.ready().await.is_err() {
            if !is_waiting {
                tracing::warn!("waiting for a control that can serve");
                is_waiting = true;
            }
            sleep(RETRY).await;
        }
        if is_waiting {
            tracing::info!("a control can serve");
        }
    }
}

/// Returns 192 random bits in base64url.
#[expect(clippy::expect_used, reason = "nothing is safe without random numbers")]
fn random_key() -> String {
    let mut random = [0; 24];
    getrandom::fill(&mut random).expect("the system has random numbers");
    URL_SAFE_NO_PAD.encode(random)
}

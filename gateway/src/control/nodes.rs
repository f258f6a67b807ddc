//! The choice of the control to call, and the failover to the next one.

use super::{
    client::{Client, cause, causes},
    names::Names,
    node::{Full, Node},
    refusal::Refusal,
};
use arizuko_proto::{
    client::Bearer,
    target::Target,
    tls::{self, ClientFiles},
    v1::ErrorReason,
};
use std::{cmp::Reverse, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tonic::{ConnectError, Response, Status};

/// If a control takes this long to answer that the store is out of reach or the outcome unknown,
/// the store is slow, and the other controls would wait for it, too.
const SLOW: Duration = Duration::from_millis(1_500);

/// All known controls. The list changes if controls are found by name. Cheap to clone.
#[derive(Clone)]
pub(super) struct Nodes(watch::Receiver<Arc<[Arc<Node>]>>);

/// Whether a call changes state, and so whether a lost answer leaves its outcome unknown.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Effect {
    Read,
    Write,
}

impl Nodes {
    pub(super) fn new(
        addresses: &[String],
        key: &str,
        tls: &ClientFiles,
        calls: u32,
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(!addresses.is_empty(), "no control is named: use --control");
        let key = Bearer::new(Some(key))?;
        let target = |address: &String| Ok((address.clone(), Target::new(address, tls)?));
        let targets = addresses.iter().map(target).collect::<anyhow::Result<_>>()?;
        let names = Names::new(targets, key, calls);
        let (sender, nodes) = watch::channel(names.nodes(&[])?.into());
        if names.can_change() {
            tokio::spawn(names.follow(sender));
        }
        Ok(Self(nodes))
    }

    /// Returns the controls that are known now.
    pub(super) fn all(&self) -> Arc<[Arc<Node>]> {
        self.0.borrow().clone()
    }

    /// Makes a unary call, as [`Self::ask_node`] does.
    pub(super) async fn ask<Q: Clone, A, F>(
        &self,
        answer_timeout: Duration,
        place: &str,
        effect: Effect,
        request: Q,
        call: impl Fn(Client, Q) -> F,
    ) -> Result<A, Refusal>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let call = |node: Arc<Node>, request| {
            let answering = call(node.client.clone(), request);
            async move { Ok(answering.await?.into_inner()) }
        };
        self.ask_node(answer_timeout, place, effect, request, call).await
    }

    /// Calls one control after another until one answers or refuses; if there is only one, tries it
    /// twice. Each call may take the whole `answer_timeout`. A write that waited for a slow store
    /// is not tried again: the caller knows better how long it wants to wait.
    pub(super) async fn ask_node<Q: Clone, A, F>(
        &self,
        answer_timeout: Duration,
        place: &str,
        effect: Effect,
        request: Q,
        call: impl Fn(Arc<Node>, Q) -> F,
    ) -> Result<A, Refusal>
    where
        F: Future<Output = Result<A, Status>>,
    {
        let nodes = self.order(place);
        let is_only = nodes.len() == 1;
        let tries = nodes.len().max(2);
        let mut may_be_done = false;
        for node in nodes.into_iter().cycle().take(tries) {
            let begun = Instant::now();
            let answer = call(node.clone(), request.clone());
            let status = match timeout(answer_timeout, answer).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("no answer in time"),
            };
            if causes(&status).any(|error| error.is::<Full>()) {
                if is_only {
                    break;
                }
                continue;
            }
            may_be_done |= match ErrorReason::of(&status) {
                Some(ErrorReason::Unavailable) => false,
                Some(ErrorReason::OutcomeUnknown) => true,
                Some(reason) => return Err(Refusal::from_status(reason, &status)),
                None => !was_never_sent(&status),
            };
            let (code, cause) = (status.code(), cause(&status));
            let advice = tls::advice(&node.address, &cause);
            tracing::warn!(control = node.address, ?code, advice, "cannot call control: {cause}");
            node.rest();
            let has_answered = ErrorReason::of(&status).is_some();
            if effect == Effect::Write && has_answered && begun.elapsed() >= SLOW {
                break;
            }
        }
        Err(match effect {
            Effect::Write if may_be_done => Refusal::new(
                ErrorReason::OutcomeUnknown,
                "the outcome is unknown: no control confirmed the request",
            ),
            _ => Refusal::unavailable(),
        })
    }

    /// Returns the control that is asked first about `place`.
    pub(super) fn first(&self, place: &str) -> Arc<Node> {
        self.order(place).swap_remove(0)
    }

    /// Returns the controls in the order in which to ask them about `place`: a conversation, or a
    /// turn or secret where the conversation isn't known. All gateways prefer the same control for
    /// one place. Controls that rest come last.
    fn order(&self, place: &str) -> Vec<Arc<Node>> {
        let mut nodes = self.all().to_vec();
        nodes.sort_by_cached_key(|node| (node.rests(), Reverse(node.weight(place))));
        nodes
    }
}

fn was_never_sent(status: &Status) -> bool {
    causes(status).any(|error| error.is::<ConnectError>())
}

//! Messages that no agent is asked to answer: observed as context for the next turn, or dropped and
//! counted.

use super::{
    Turn,
    input::{Context, Input},
};
use crate::{
    audit::{self, Change},
    conversation::{Conversation, Observed},
    jid::FolderName,
    limits::Limits,
    names,
    route::ObserveFor,
    time::Time,
    token::{Kind, Token},
    transaction::{Decision, Record, Tx},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Observed webhooks that wait for a folder's next turn.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct FolderObserved(Observed);

impl Record for FolderObserved {
    type Id = FolderName;

    fn name(folder: &FolderName) -> String {
        names::observed(folder)
    }

    fn lifetime(&self, limits: &Limits) -> Option<Duration> {
        Some(limits.keep_messages)
    }
}

/// Keeps a message of `bytes` bytes as context. A visitor's message waits for the next turn of its
/// conversation, because other visitors must not see it. A webhook's message waits for the next
/// turn of its folder that may get the message.
pub(super) fn observe(
    tx: &mut Tx<'_>,
    turn: &Turn,
    conversation: &mut Conversation,
    bytes: usize,
    observe_for: Option<ObserveFor>,
) -> Decision<()> {
    if turn.origin.kind == Kind::Chat {
        conversation.observed.push(turn.id.clone(), bytes, true);
        return Ok(());
    }
    let visitors = observe_for == Some(ObserveFor::Visitors);
    let folder = &turn.place.folder;
    let mut waiting = tx.get::<FolderObserved>(folder)?.unwrap_or_default();
    waiting.0.push(turn.id.clone(), bytes, visitors);
    tx.put(folder, &waiting)
}

/// Takes the observed messages to deliver with this new turn.
pub(super) fn take(
    tx: &mut Tx<'_>,
    turn: &Turn,
    conversation: &mut Conversation,
) -> Decision<Context> {
    let mut context = Context::default();
    if !conversation.observed.is_empty() {
        context.conversation = std::mem::take(&mut conversation.observed);
    }
    context.folder = take_webhooks(tx, turn)?;
    if !context.folder.is_empty() {
        context.of = Some(turn.place.folder.clone());
    }
    Ok(context)
}

/// Takes the observed webhooks of the turn's folder that the turn may get.
fn take_webhooks(tx: &mut Tx<'_>, turn: &Turn) -> Decision<Observed> {
    let folder = &turn.place.folder;
    let Some(mut waiting) = tx.get_unlikely::<FolderObserved>(folder)? else {
        return Ok(Observed::default());
    };
    if turn.sees_all_webhooks() {
        tx.delete::<FolderObserved>(folder);
        return Ok(waiting.0);
    }
    let taken = waiting.0.take_for_visitors();
    if waiting.0.is_empty() {
        tx.delete::<FolderObserved>(folder);
    } else if !taken.is_empty() {
        tx.put(folder, &waiting)?;
    }
    Ok(taken)
}

/// Adds the folder's observed webhooks to a turn that is delivered to a person, who may get all of
/// them.
pub(super) fn add_for_person(tx: &mut Tx<'_>, turn: &Turn) -> Decision<()> {
    let taken = take_webhooks(tx, turn)?;
    if !taken.is_empty()
        && let Some(mut input) = tx.get::<Input>(&turn.id)?
    {
        input.context.folder.put_before(taken);
        tx.put(&turn.id, &input)?;
    }
    Ok(())
}

impl Turn {
    /// Whether the turn may get all webhooks that its folder observed: a webhook's turn, or one
    /// that a person holds. An agent with a visitor's turn may not get all of them, because the
    /// visitor can ask the agent to repeat them.
    pub(super) fn sees_all_webhooks(&self) -> bool {
        self.origin.kind == Kind::Hook || self.hold().is_some_and(|hold| hold.person.is_some())
    }
}

/// Puts the observed messages of an undelivered turn back, so that the next turn gets them.
pub(super) fn put_back(
    tx: &mut Tx<'_>,
    turn: &Turn,
    conversation: Option<&mut Conversation>,
) -> Decision<()> {
    let context = tx.get::<Input>(&turn.id)?.map(|input| input.context).unwrap_or_default();
    if let Some(conversation) = conversation
        && !context.conversation.is_empty()
    {
        conversation.observed.put_before(context.conversation);
    }
    if !context.folder.is_empty() {
        let folder = context.of.unwrap_or_else(|| turn.place.home.clone());
        let mut waiting = tx.get::<FolderObserved>(&folder)?.unwrap_or_default();
        waiting.0.put_before(context.folder);
        tx.put(&folder, &waiting)?;
    }
    Ok(())
}

/// How many messages to a JID were dropped.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Dropped {
    pub(crate) messages: u64,
    /// When the count was last written to the audit log.
    audited_at: Time,
}

impl Record for Dropped {
    /// A JID.
    type Id = str;

    fn name(jid: &str) -> String {
        names::dropped(jid)
    }

    fn lifetime(&self, limits: &Limits) -> Option<Duration> {
        Some(limits.keep_messages)
    }
}

/// How long to wait before the audit log gets another entry about one JID's dropped messages, so
/// that a flood doesn't fill it.
const AUDIT_INTERVAL: Duration = Duration::from_secs(3_600);

/// Counts a dropped message.
pub(super) fn count_dropped(tx: &mut Tx<'_>, token: &Token) -> Decision<()> {
    let mut dropped = tx.get::<Dropped>(&token.jid)?.unwrap_or_default();
    dropped.messages += 1;
    if tx.now >= dropped.audited_at + AUDIT_INTERVAL {
        dropped.audited_at = tx.now;
        let change = Change {
            actor: "control",
            action: "message.drop",
            folder: token.folder.as_str(),
            subject: &token.jid,
            detail: &format!("{} so far", dropped.messages),
        };
        audit::note(tx, &change)?;
    }
    tx.add(&names::dropped_jids(), &token.jid, 0_u64);
    tx.put(token.jid.as_str(), &dropped)
}

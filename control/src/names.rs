//! Every name in the store: who writes it, and how long it lives.
//!
//! All names of a tenant are in one partition, chosen by a hash of its root folder. Names without
//! an id, such as `sessions`, exist once in each partition. The key of an operator or a gateway is
//! in the partition that its secret names.
//!
//! A name with a `#` is a part of the record before it: `turn:ID#input` belongs to `turn:ID`.
//!
//! A record has one of three lifetimes: *for good*, until it is deleted; *with the conversation*,
//! which is [`Limits::conversation_lifetime`](crate::limits::Limits::conversation_lifetime) after
//! its last change, long after the clean-up has deleted it; or a time of its own.

use crate::{
    ids::{ConversationId, KeyId, SessionId, TokenId, TurnId},
    jid::FolderName,
};
use std::marker::PhantomData;

mod members;

pub(crate) use members::{Due, InFolder, Named};

// ── Records ─────────────────────────────────────────────────────────────────────────────────────

/// [`Turn`](crate::turn::Turn), with the conversation. Written by `turn/`, though not with each
/// frame.
pub(crate) fn turn(id: &TurnId) -> String {
    format!("turn:{id}")
}

/// [`Progress`](crate::turn::frames::Progress) of an open turn, from its first frame to its end.
/// Written with each frame of the turn.
pub(crate) fn progress(id: &TurnId) -> String {
    format!("turn:{id}#progress")
}

/// [`Input`](crate::turn::input::Input): a turn's message, with the conversation. Written once, by
/// `turn/post.rs`.
pub(crate) fn input(id: &TurnId) -> String {
    format!("turn:{id}#input")
}

/// [`Transcript`](crate::frame::Transcript) of a turn that has ended, with the conversation.
/// Written once, by `turn/end.rs`.
pub(crate) fn reply(id: &TurnId) -> String {
    format!("turn:{id}#reply")
}

/// [`Conversation`](crate::conversation::Conversation), with the conversation. Written by
/// `turn/`, though not with each frame.
pub(crate) fn conversation(id: &ConversationId) -> String {
    format!("conversation:{id}")
}

/// [`Head`](crate::conversation::Head) of a conversation's log, with the conversation. Written with
/// each frame.
pub(crate) fn head(id: &ConversationId) -> String {
    format!("conversation:{id}#head")
}

/// [`Session`](crate::session::Session), for good. Written by its heartbeats and claims; deleted
/// when it ends.
pub(crate) fn session(id: &SessionId) -> String {
    format!("session:{id}")
}

/// [`Token`](crate::token::Token), for good; after it is revoked, for 30 days and at least as long
/// as its conversations.
pub(crate) fn token(id: &TokenId) -> String {
    format!("token:{id}")
}

/// [`Key`](crate::key::Key), for good; deleted by its revocation or expiry.
pub(crate) fn key(id: &KeyId) -> String {
    format!("key:{id}")
}

/// [`Ended`](crate::key::Ended) for a key that was not an agent's, for good. Written by `key.rs`.
pub(crate) fn ended_key(id: &KeyId) -> String {
    format!("ended_key:{id}")
}

/// A mark that the folder exists, for good. Written with the folder's first key, token or
/// agent.
pub(crate) fn folder(folder: &FolderName) -> String {
    format!("folder:{folder}")
}

/// [`Address`](crate::token::Address) of a JID, while the JID has live tokens.
pub(crate) fn address(jid: &str) -> String {
    format!("jid:{jid}")
}

/// [`Route`](crate::route::Route) of one prefix, for good.
pub(crate) fn route(prefix: &str) -> String {
    format!("route:{prefix}")
}

/// [`Index`](crate::route::Index) of a tenant's routes, for good. Written with each change of
/// routes and with the tenant's first token.
pub(crate) fn route_index(root: &str) -> String {
    format!("routes:{root}")
}

/// [`FolderObserved`](crate::turn::observe::FolderObserved): webhooks that wait for a folder's next
/// turn, as long as messages are kept.
pub(crate) fn observed(folder: &FolderName) -> String {
    format!("observed:{folder}")
}

/// [`Dropped`](crate::turn::observe::Dropped) messages of a JID, as long as messages are kept.
pub(crate) fn dropped(jid: &str) -> String {
    format!("dropped:{jid}")
}

/// [`Repeat`](crate::turn::repeat::Repeat): which turn an idempotency key made, kept for a day.
/// `hash` is the hash of the key and of what it is for.
pub(crate) fn repeat(hash: &str) -> String {
    format!("repeat:{hash}")
}

/// The schema of the store and its number of partitions, for good; in partition 0. The topic of its
/// changes has the same name. Written by `schema.rs`.
pub(crate) const LAYOUT: &str = "layout";

/// The fence, for good: its version is the schema that the partition's commits must have. Written
/// by `schema.rs`, guarded by `fence.rs`.
pub(crate) const FENCE: &str = "schema";

/// A record that lives for a second and shows that the store takes writes; in partition 0. Written
/// by `readiness.rs`.
pub(crate) const READY: &str = "check:ready";

// ── Sets ────────────────────────────────────────────────────────────────────────────────────────

/// A sorted set and the type of its members.
pub(crate) struct Set<M> {
    pub(crate) name: String,
    members: PhantomData<fn() -> M>,
}

impl<M> Set<M> {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), members: PhantomData }
    }
}

/// Turns that wait for an agent of the folder, scored by their virtual times: a fair queue, as
/// in `store/fair.rs`. Written by `queue.rs`.
pub(crate) fn queue(folder: &FolderName) -> Set<TurnId> {
    Set::new(format!("ready:{folder}"))
}

/// The flows and groups of a folder's queue (networks of visitors, and links), scored by their next
/// rounds. Written by `queue.rs`.
pub(crate) fn rounds(folder: &FolderName) -> Set<String> {
    Set::new(format!("rounds:{folder}"))
}

/// The partition's turns that wait for an agent, scored by the time that they began: the members of
/// all its queues. Written by `queue.rs`.
pub(crate) fn waiting() -> Set<TurnId> {
    Set::new("waiting")
}

/// A token's open turns, scored by the time that they began. Written by `turn/caps.rs`, `turn.rs`
/// and `turn/end.rs`.
pub(crate) fn open_turns(token: &TokenId) -> Set<TurnId> {
    Set::new(format!("open:{token}"))
}

/// The open turns of one address or network on a link, scored by their deadlines. `hash` is one of
/// [`Visitor`](crate::visitor::Visitor)'s. Written by `turn/caps.rs` and `turn.rs`.
pub(crate) fn open_turns_from(token: &TokenId, hash: &str) -> Set<TurnId> {
    Set::new(format!("open:{token}:{hash}"))
}

/// The turns that a session holds, scored by the time of their delivery. Written by `turn/hold.rs`
/// and `turn.rs`.
pub(crate) fn held(session: &SessionId) -> Set<TurnId> {
    Set::new(format!("held:{session}"))
}

/// A conversation's turns, scored by the seqs of their messages. Written by `turn/post.rs`,
/// `turn/speak.rs` and `turn/retention.rs`.
pub(crate) fn turns(conversation: &ConversationId) -> Set<TurnId> {
    Set::new(format!("turns:{conversation}"))
}

/// Conversations that are assigned to a folder, scored by the time of the assignment. Written by
/// `turn/reassign.rs` and `turn/retention.rs`.
pub(crate) fn assigned(folder: &FolderName) -> Set<ConversationId> {
    Set::new(format!("assigned:{folder}"))
}

/// A tenant's conversations, scored by the time that they were last active. Written by
/// `conversation/index.rs`.
pub(crate) fn conversations(root: &str) -> Set<ConversationId> {
    Set::new(format!("conversations:{root}"))
}

/// The partition's conversations and turns, scored by the places of their public ids, which can't
/// be turned back into own ids. Written by `conversation/index.rs`.
pub(crate) fn public_ids() -> Set<Named> {
    Set::new("public")
}

/// The partition's sessions, scored by the end of their lease. Written by `session.rs`.
pub(crate) fn sessions() -> Set<SessionId> {
    Set::new("sessions")
}

/// A folder's sessions, scored by the end of their lease. Written by `session.rs`.
pub(crate) fn present(folder: &FolderName) -> Set<SessionId> {
    Set::new(format!("present:{folder}"))
}

/// The partition's live tokens, scored by the time that they were issued. Written by `token.rs` and
/// `token/revocation.rs`.
pub(crate) fn tokens() -> Set<InFolder> {
    Set::new("tokens")
}

/// A folder's live tokens, scored by the time that they were issued; without those that older
/// controls have issued. Written by `token.rs` and `token/revocation.rs`, to count them.
pub(crate) fn folder_links(folder: &FolderName) -> Set<TokenId> {
    Set::new(format!("links:{folder}"))
}

/// The partition's live tokens that a key has issued, like [`folder_links`].
pub(crate) fn issued(key: &KeyId) -> Set<TokenId> {
    Set::new(format!("issued:{key}"))
}

/// The partition's sessions that were opened with a key, scored by the time that they began.
/// Written by `session.rs`, to count them.
pub(crate) fn key_sessions(key: &KeyId) -> Set<SessionId> {
    Set::new(format!("sessions:{key}"))
}

/// The partition's keys, scored by the time that they were created. Written by `key.rs` and
/// `key/settings.rs`.
pub(crate) fn keys() -> Set<InFolder> {
    Set::new("keys")
}

/// The audit log: entries as JSON, scored by time. Written by `audit.rs`, trimmed by `due.rs`.
pub(crate) fn audit() -> Set<String> {
    Set::new("audit")
}

/// JIDs that have a count of dropped messages; the scores mean nothing. Written by
/// `turn/observe.rs`.
pub(crate) fn dropped_jids() -> Set<String> {
    Set::new("dropped")
}

/// Tenants that have routes; the scores mean nothing. Written by `route/table.rs`.
pub(crate) fn routed_roots() -> Set<String> {
    Set::new("routes")
}

/// Due items, scored by time. Written with everything that has a deadline.
pub(crate) fn due() -> Set<Due> {
    Set::new("due")
}

// ── Logs ────────────────────────────────────────────────────────────────────────────────────────

/// A conversation's frames, by seq. Appended to by `conversation.rs`, trimmed by
/// `turn/retention.rs`.
pub(crate) fn log(conversation: &ConversationId) -> String {
    format!("log:{conversation}")
}

/// What happened to a turn, numbered from 1; most turns have no such log. Written by
/// `turn/journal.rs`.
pub(crate) fn journal(turn: &TurnId) -> String {
    format!("journal:{turn}")
}

// ── Rate buckets ────────────────────────────────────────────────────────────────────────────────

/// A link's messages.
pub(crate) fn link_rate(token: &TokenId) -> String {
    format!("rate:{token}")
}

/// A link's messages from one address or network. `hash` is one of
/// [`Visitor`](crate::visitor::Visitor)'s.
pub(crate) fn rate_from(token: &TokenId, hash: &str) -> String {
    format!("rate:{token}:{hash}")
}

/// What one network has lately taken of a link's rate.
pub(crate) fn share(token: &TokenId, network: &str) -> String {
    format!("share:{token}:{network}")
}

/// Messages that agents add to a conversation unasked.
pub(crate) fn speech_rate(conversation: &ConversationId) -> String {
    format!("rate:{conversation}")
}

// ── Counters ────────────────────────────────────────────────────────────────────────────────────

/// The bytes of a link's messages and their replies. Written by `turn/quota.rs`.
pub(crate) fn kept_of_link(token: &TokenId) -> String {
    format!("kept:link:{token}")
}

/// The bytes of a tenant's messages and their replies. Written by `turn/quota.rs`.
pub(crate) fn kept_of_tenant(root: &str) -> String {
    format!("kept:tenant:{root}")
}

// ── Topics ──────────────────────────────────────────────────────────────────────────────────────

/// A conversation's new frames, and its deletion. Published by `conversation.rs` and
/// `turn/retention.rs`.
pub(crate) fn conversation_topic(id: &ConversationId) -> String {
    format!("conversation:{id}")
}

/// Changes of a folder's queue and of its assigned conversations. Published by `queue.rs`.
pub(crate) fn queue_topic(folder: &FolderName) -> String {
    format!("ready:{folder}")
}

/// [`Notice`](crate::session::Notice)s to the stream that speaks for a session.
pub(crate) fn session_topic(id: &SessionId) -> String {
    format!("session:{id}")
}

/// The end of a token. Published by `token/revocation.rs`.
pub(crate) fn token_topic(id: &TokenId) -> String {
    format!("token:{id}")
}

/// The end of a key, and of one of its secrets. Published by `key.rs` and `key/rotation.rs`.
pub(crate) fn key_topic(id: &KeyId) -> String {
    format!("key:{id}")
}

/// The partition's events, for `arizuko tail`. Published by `audit.rs`.
pub(crate) const TAIL: &str = "tail";

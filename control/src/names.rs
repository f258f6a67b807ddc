//! Every name in the store: who writes it, and how long it lives.
//!
//! All names of a tenant are in one partition, chosen by a hash of its root folder. A key that
//! isn't an agent's is in the partition that its secret names. Names without an id, such as
//! `sessions`, exist once in each partition, unless they are said to be in partition 0.
//!
//! A record whose name has a `#` is a part of another record: `turn:ID#input` is a part of
//! `turn:ID`. The records of conversations and turns are named by their public ids, which operators
//! see. Their sets, logs, buckets and topics are named by the ids themselves.
//!
//! A record that lives *with its conversation* is deleted with the conversation, or by a clean-up
//! of the conversation. If neither happens, the store collects the record
//! [`Limits::conversation_lifetime`](crate::limits::Limits::conversation_lifetime) after its last
//! change.

use crate::{
    ids::{ConversationId, KeyId, SessionId, TokenId, TurnId},
    jid::FolderName,
    time::Day,
};
use arizuko_proto::public_id;
use std::marker::PhantomData;

pub(crate) mod events;
mod folders;
mod members;
mod servers;
mod visitors;

pub(crate) use folders::{folder, folder_settings};
pub(crate) use members::{Due, InFolder};
pub(crate) use servers::{server, servers};
pub(crate) use visitors::{conversations_of, visit};

// ── Records ─────────────────────────────────────────────────────────────────────────────────────

/// Names a [`Turn`](crate::turn::Turn) by its public id, by which operators look for it. It lives
/// with its conversation. Written by `turn/`, though not with each frame.
pub(crate) fn turn(id: &TurnId) -> String {
    turn_with(&public_id::short(id.as_str()))
}

/// Names the turn whose public id has this after its prefix.
pub(crate) fn turn_with(short: &str) -> String {
    format!("turn:{short}")
}

/// Names the [`Progress`](crate::turn::frames::Progress) of an open turn, which lives from the
/// turn's first frame to its end. Written with each frame of the turn.
pub(crate) fn progress(id: &TurnId) -> String {
    format!("{}#progress", turn(id))
}

/// What the names of the records with the texts of a turn end with.
pub(crate) const INPUT: &str = "#input";
pub(crate) const REPLY: &str = "#reply";

/// Names a turn's message, an [`Input`](crate::turn::input::Input), which lives with its
/// conversation. Written by `turn/post.rs`, and by `turn/observe.rs` when a person gets the turn.
pub(crate) fn input(id: &TurnId) -> String {
    format!("{}{INPUT}", turn(id))
}

/// Names the [`Transcript`](crate::frame::Transcript) of a turn that has ended, which lives with
/// its conversation. Written once, by `turn/end.rs`.
pub(crate) fn reply(id: &TurnId) -> String {
    format!("{}{REPLY}", turn(id))
}

/// Names an [`HttpResponse`](crate::turn::response::HttpResponse) of a webhook's turn, which lives
/// with its conversation. Written once, by `turn/reply.rs`.
pub(crate) fn response(id: &TurnId) -> String {
    format!("{}#response", turn(id))
}

/// Names a [`Conversation`](crate::conversation::Conversation) by its public id. It lives until a
/// clean-up or somebody deletes it. Written by `turn/`, though not with each frame.
pub(crate) fn conversation(id: &ConversationId) -> String {
    conversation_with(&public_id::short(id.as_str()))
}

/// Names the conversation whose public id has this after its prefix.
pub(crate) fn conversation_with(short: &str) -> String {
    format!("conversation:{short}")
}

/// Names the [`Head`](crate::conversation::Head) of a conversation's log, which lives with its
/// conversation. Written with each frame.
pub(crate) fn head(id: &ConversationId) -> String {
    format!("{}#head", conversation(id))
}

/// Names a [`Session`](crate::session::Session), which lives until it ends. Written by `session.rs`
/// when an agent attaches, with each delivery, and with a heartbeat once a quarter of the lease is
/// over.
pub(crate) fn session(id: &SessionId) -> String {
    format!("session:{id}")
}

/// Names a [`Token`](crate::token::Token). Once the token has ended, its record is kept for 30 days,
/// or for as long as its conversations if that is longer.
pub(crate) fn token(id: &TokenId) -> String {
    format!("token:{id}")
}

/// Names the [`Logo`](crate::looks::Logo) of a chat link, which lives until the token ends. Written
/// when the token is issued or edited.
pub(crate) fn logo(id: &TokenId) -> String {
    format!("token:{id}#logo")
}

/// Names a [`Key`](crate::key::Key), which lives until it is revoked or expires.
pub(crate) fn key(id: &KeyId) -> String {
    format!("key:{id}")
}

/// Names an [`Ended`](crate::key::Ended), which says that a key that was not an agent's has ended.
/// It is never deleted. Written by `key.rs`.
pub(crate) fn ended_key(id: &KeyId) -> String {
    format!("ended_key:{id}")
}

/// Names the [`Address`](crate::token::Address) of a JID, which lives while the JID has live
/// tokens.
pub(crate) fn address(jid: &str) -> String {
    format!("jid:{jid}")
}

/// Names the [`Route`](crate::route::Route) of one prefix, which lives until it is deleted.
pub(crate) fn route(prefix: &str) -> String {
    format!("route:{prefix}")
}

/// Names the [`Index`](crate::route::Index) of a tenant's routes, which is never deleted. Written
/// with each change of routes and with the tenant's first token.
pub(crate) fn route_index(root: &str) -> String {
    format!("routes:{root}")
}

/// Names a [`FolderObserved`](crate::turn::observe::FolderObserved): webhooks' messages that wait
/// for a folder's next turn. It is deleted when turns have taken all of them, and otherwise
/// collected `keep_messages` after its last change.
pub(crate) fn observed(folder: &FolderName) -> String {
    format!("observed:{folder}")
}

/// Names the count of a JID's [`Dropped`](crate::turn::observe::Dropped) messages, which lives as
/// long as messages are kept.
pub(crate) fn dropped(jid: &str) -> String {
    format!("dropped:{jid}")
}

/// Names a [`Repeat`](crate::turn::repeat::Repeat): which turn the message with an idempotency key
/// began. It lives for one day, or for three if a webhook's delivery names itself. `hash` is the
/// hash of the key and of its scope.
pub(crate) fn repeat(hash: &str) -> String {
    format!("repeat:{hash}")
}

/// Names a [`Solved`](crate::turn::proof::Solved): a challenge whose solution has bought a message.
/// It lives for as long as the challenge could be taken again. Written by `turn/proof.rs`.
pub(crate) fn solved(nonce: &str) -> String {
    format!("solved:{nonce}")
}

/// The record of the store's schema, partitions and deployment. It is in partition 0, and is never
/// deleted. The topic of its changes has the same name. Written by `schema.rs`.
pub(crate) const LAYOUT: &str = "layout";

/// The fence, which is never deleted: its version is the schema of the programs that may commit to
/// the partition. Written by `schema.rs`, guarded by `fence.rs`.
pub(crate) const FENCE: &str = "schema";

/// A record that lives for a second and shows that the store takes writes; in partition 0. Written
/// by `readiness.rs`.
pub(crate) const READY: &str = "check:ready";

// ── Sets ────────────────────────────────────────────────────────────────────────────────────────

/// The name of a sorted set, and the type of its members.
pub(crate) struct Set<M> {
    pub(crate) name: String,
    members: PhantomData<fn() -> M>,
}

impl<M> Set<M> {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), members: PhantomData }
    }
}

/// Names the turns that wait for an agent of the folder, scored by their virtual times: a fair
/// queue, as in `store/fair.rs`. Written by `queue.rs` and `turn/hold.rs`.
pub(crate) fn queue(folder: &FolderName) -> Set<TurnId> {
    Set::new(format!("ready:{folder}"))
}

/// Names the flows of a folder's queue (networks of visitors, and webhooks) and their groups
/// (links), scored by their next rounds. Written by `queue.rs`.
pub(crate) fn rounds(folder: &FolderName) -> Set<String> {
    Set::new(format!("rounds:{folder}"))
}

/// Names the partition's folders whose queues may have turns, scored by the time at which a turn
/// last entered. Written by `queue.rs`; a folder whose queue was seen to be empty is removed.
pub(crate) fn queues() -> Set<String> {
    Set::new("queues")
}

/// Names a token's open turns, scored by the time when they began. Written by
/// `turn/caps.rs`, `turn/release.rs`, `turn/end.rs` and `due.rs`.
pub(crate) fn open_turns(token: &TokenId) -> Set<TurnId> {
    Set::new(format!("open:{token}"))
}

/// Names the open turns of one address or network on a link, scored by their deadlines. `hash` is
/// a hash in [`Visitor`](crate::visitor::Visitor). Written by `turn/caps.rs` and `turn/release.rs`.
pub(crate) fn open_turns_from(token: &TokenId, hash: &str) -> Set<TurnId> {
    Set::new(format!("open:{token}:{hash}"))
}

/// Names the turns that a session holds, scored by the time of their delivery. Written by
/// `turn/hold.rs`, `turn.rs` and `session.rs`.
pub(crate) fn held(session: &SessionId) -> Set<TurnId> {
    Set::new(format!("held:{session}"))
}

/// Names a conversation's turns, scored by the seqs of their messages. Written by `turn/post.rs`,
/// `turn/speak.rs`, `turn/retention.rs` and `turn/erasure.rs`.
pub(crate) fn turns(conversation: &ConversationId) -> Set<TurnId> {
    Set::new(format!("turns:{conversation}"))
}

/// Names the conversations that are assigned to a folder, scored by the time of the assignment.
/// Written by `turn/reassign.rs` and `turn/retention.rs`.
pub(crate) fn assigned(folder: &FolderName) -> Set<ConversationId> {
    Set::new(format!("assigned:{folder}"))
}

/// Names a tenant's conversations, scored by the time when they were last active. Written by
/// `conversation.rs`, removed from by `turn/retention.rs`.
pub(crate) fn conversations(root: &str) -> Set<ConversationId> {
    Set::new(format!("conversations:{root}"))
}

/// Names the partition's sessions, scored by the ends of their leases. Written by `session.rs`.
pub(crate) fn sessions() -> Set<SessionId> {
    Set::new("sessions")
}

/// Names a folder's sessions, scored by the ends of their leases. Written by `session.rs`.
pub(crate) fn present(folder: &FolderName) -> Set<SessionId> {
    Set::new(format!("present:{folder}"))
}

/// Names the partition's live tokens, scored by the time when they were issued. Written by
/// `token.rs` and `token/revocation.rs`.
pub(crate) fn tokens() -> Set<InFolder> {
    Set::new("tokens")
}

/// Names a folder's live tokens, scored by the time when they were issued; without those that older
/// controls have issued. Written by `token.rs` and `token/revocation.rs`, to count them.
pub(crate) fn folder_links(folder: &FolderName) -> Set<TokenId> {
    Set::new(format!("links:{folder}"))
}

/// Names the partition's live tokens that a key has issued. Scored, written and used like
/// [`folder_links`].
pub(crate) fn issued(key: &KeyId) -> Set<TokenId> {
    Set::new(format!("issued:{key}"))
}

/// Names the partition's sessions that were opened with a key, scored by the time when they began.
/// Written by `session.rs`, to count them.
pub(crate) fn key_sessions(key: &KeyId) -> Set<SessionId> {
    Set::new(format!("sessions:{key}"))
}

/// Names the partition's keys, scored by the time when they were created. Written by `key.rs` and
/// `key/settings.rs`.
pub(crate) fn keys() -> Set<InFolder> {
    Set::new("keys")
}

/// Names the audit log: entries as JSON, scored by time. Written by `audit.rs`, trimmed by
/// `due.rs`.
pub(crate) fn audit() -> Set<String> {
    Set::new("audit")
}

/// Names the JIDs to which messages were dropped; the scores mean nothing. Written by
/// `turn/observe.rs`.
pub(crate) fn dropped_jids() -> Set<String> {
    Set::new("dropped")
}

/// Names the tenants that have routes; the scores mean nothing. Written by `route/table.rs`.
pub(crate) fn routed_roots() -> Set<String> {
    Set::new("routes")
}

/// Names the partition's due items, scored by the time at which they are due. Written with
/// everything that has a deadline.
pub(crate) fn due() -> Set<Due> {
    Set::new("due")
}

// ── Logs ────────────────────────────────────────────────────────────────────────────────────────

/// Names the log of a conversation's frames, by seq. Appended to by `conversation.rs`, trimmed by
/// `turn/retention.rs`.
pub(crate) fn log(conversation: &ConversationId) -> String {
    format!("log:{conversation}")
}

/// Names the log of what happened to a turn, numbered from 1; most turns have none. Written by
/// `turn/journal.rs`.
pub(crate) fn journal(turn: &TurnId) -> String {
    format!("journal:{turn}")
}

// ── Rate buckets ────────────────────────────────────────────────────────────────────────────────

/// Names the bucket of all of a link's messages.
pub(crate) fn link_rate(token: &TokenId) -> String {
    format!("rate:{token}")
}

/// Names the bucket of a link's messages from one address or network. `hash` is a hash
/// in [`Visitor`](crate::visitor::Visitor).
pub(crate) fn rate_from(token: &TokenId, hash: &str) -> String {
    format!("rate:{token}:{hash}")
}

/// Names the bucket that counts what one network has lately taken of a link's rate. `network` is
/// the hash of the network.
pub(crate) fn share(token: &TokenId, network: &str) -> String {
    format!("share:{token}:{network}")
}

/// Names the bucket of the messages that agents add to a conversation unasked.
pub(crate) fn speech_rate(conversation: &ConversationId) -> String {
    format!("rate:{conversation}")
}

// ── Counters ────────────────────────────────────────────────────────────────────────────────────

/// Names the count of the bytes that are kept of a link's messages and their replies. Written by
/// `turn/quota.rs`.
pub(crate) fn kept_of_link(token: &TokenId) -> String {
    format!("kept:link:{token}")
}

/// Names the count of the bytes that are kept of a tenant: messages and replies (counted by
/// `turn/quota.rs`), links' logos (`looks.rs`) and links' texts (`token.rs`).
pub(crate) fn kept_of_tenant(root: &str) -> String {
    format!("kept:tenant:{root}")
}

/// Names a count of a link and a day. Written by `turn/daily.rs`, `turn/budget.rs`,
/// `turn/rating.rs` and `refused.rs`, and deleted by the day's due item.
pub(crate) fn of_day(token: &TokenId, day: Day, what: &str) -> String {
    format!("day:{token}:{}:{what}", day.number())
}

// ── Topics ──────────────────────────────────────────────────────────────────────────────────────

/// Names the topic of a conversation's new frames, of responses to a webhook's sender, of people's
/// notes, and of its deletion. Published by `conversation.rs`, `turn/reply.rs`, `turn/note.rs` and
/// `turn/retention.rs`.
pub(crate) fn conversation_topic(id: &ConversationId) -> String {
    format!("conversation:{id}")
}

/// Names the topic of changes of a folder's queue and of its assigned conversations. Published by
/// `queue.rs`.
pub(crate) fn queue_topic(folder: &FolderName) -> String {
    format!("ready:{folder}")
}

/// Names the topic of [`Notice`](crate::session::Notice)s to the stream that speaks for a session.
pub(crate) fn session_topic(id: &SessionId) -> String {
    format!("session:{id}")
}

/// Names the topic on which `token/revocation.rs` and `token/edit.rs` tell that a token has ended or
/// is paused.
pub(crate) fn token_topic(id: &TokenId) -> String {
    format!("token:{id}")
}

/// Names the topic of a key's end and changes. Published by `key.rs` and `key/rotation.rs`.
pub(crate) fn key_topic(id: &KeyId) -> String {
    format!("key:{id}")
}

/// The topic of the partition's events, for `arizuko tail`. Published by `audit.rs`.
pub(crate) const TAIL: &str = "tail";

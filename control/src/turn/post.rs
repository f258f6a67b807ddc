//! A message is taken: the one place where a turn begins and its folder is decided.

use super::{Status, Turn, input, make_ready, record};
use crate::{
    conversation::{self, Conversation},
    credential::{hash, is_random_id, random_id},
    frame::Body,
    limits::Limits,
    store::Millis,
    token::{self, Kind, Token},
    transaction::{Decision, Refusal, Tx},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a repeat is recognised by its idempotency key.
const KEEP_KEYS: Duration = Duration::from_secs(86_400);

/// A message on its way in.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    /// Empty: a new one.
    pub(crate) conversation: String,
    pub(crate) content: Vec<u8>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// Empty: none.
    pub(crate) idempotency_key: String,
    /// Empty: unknown.
    pub(crate) client_address: String,
    pub(crate) traceparent: String,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) turn: Turn,
    pub(crate) content: String,
}

/// The record of a message as it came.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Input {
    pub(crate) content: Blob,
    pub(crate) headers: Vec<(String, Blob)>,
}

/// Bytes that are text most of the time, and then readable in the store.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Blob {
    Text(String),
    Base64(String),
}

impl Blob {
    fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(BASE64.encode(bytes)),
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            // We wrote it, so it decodes; a record that somebody broke reads as empty.
            Self::Base64(text) => BASE64.decode(text).unwrap_or_default(),
        }
    }
}

/// Remembers which turn an idempotency key made.
#[derive(Debug, Serialize, Deserialize)]
struct Repeat {
    turn: String,
    content_hash: String,
    at: Millis,
}

/// Takes a message.
pub(crate) fn post(
    tx: &mut Tx<'_>,
    limits: &Limits,
    token: &Token,
    post: &Post,
) -> Decision<Posted> {
    let text = check(limits, token, post)?;
    let repeat = (!post.idempotency_key.is_empty()).then(|| repeat_record(token, post));
    if let Some(repeat) = &repeat
        && let Some(first) = first_turn(tx, repeat, post)?
    {
        return Ok(Posted {
            turn: first,
            content: text,
        });
    }

    // The ids are the same each time that this is decided. If the message is there by now, the
    // first commit was applied after all, though no answer came.
    let id = random_id(tx.random());
    if tx.get_unlikely::<Input>(&input(&id))?.is_some()
        && let Some(turn) = tx.get(&record(&id))?
    {
        return Ok(Posted {
            turn,
            content: text,
        });
    }
    let mut conversation = match post.conversation.as_str() {
        "" => Conversation::new(random_id(tx.random()), token, tx.now),
        id => conversation::of_token(tx.get(&conversation::record(id))?, token)?,
    };
    if conversation.open.len() >= limits.conversation_turns as usize {
        let (what, retry_after) = ("conversation", 5_000);
        return Err(Refusal::TooManyTurns { what, retry_after }.into());
    }
    let bucket = format!("rate:{}", token.id);
    tx.limit_rate(bucket.clone(), limits.link_rate);
    if !post.client_address.is_empty() {
        let address = hash(format!("{} {}", token.id, post.client_address));
        tx.limit_rate(format!("{bucket}:{}", &address[..16]), limits.address_rate);
    }
    tx.limit_members(token::open_turns(&token.id), limits.link_turns);

    let mut turn = begin(tx, limits, token, (id, &conversation), post);
    let body = Body::User {
        id: turn.user_message(),
        content: text.clone(),
    };
    conversation.append(tx, &turn.id, 0, body)?;
    turn.first_seq = conversation.head;
    turn.last_seq = conversation.head;
    conversation.open.push(turn.id.clone());
    conversation.active_at = tx.now;
    conversation.put(tx, limits)?;
    turn.put(tx, limits)?;
    if let Some(repeat) = repeat {
        let (turn, content_hash, at) = (turn.id.clone(), hash(&post.content), tx.now);
        tx.put(
            &repeat,
            &Repeat {
                turn,
                content_hash,
                at,
            },
            Some(KEEP_KEYS),
        )?;
    }
    let headers = post
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), Blob::new(value)));
    let message = Input {
        content: Blob::new(&post.content),
        headers: headers.collect(),
    };
    tx.put(
        &input(&turn.id),
        &message,
        Some(conversation::lifetime(limits)),
    )?;

    tx.add(
        conversation::turns(&conversation.id),
        &turn.id,
        turn.first_seq,
    );
    tx.add(token::open_turns(&token.id), &turn.id, tx.now);
    tx.schedule(super::due(&turn.id), turn.deadline);
    if conversation.open.len() == 1 {
        make_ready(tx, &turn, tx.now);
    }
    turn.tell(tx, "message", "")?;
    Ok(Posted {
        turn,
        content: text,
    })
}

/// Refuses what can't be a message; returns a chat's text.
fn check(limits: &Limits, token: &Token, post: &Post) -> Result<String, Refusal> {
    let limit = match token.kind {
        Kind::Chat => limits.chat_bytes,
        Kind::Hook => limits.hook_bytes,
    };
    if post.content.len() > limit {
        return Err(Refusal::TooLarge { limit });
    }
    if !post.conversation.is_empty() && !is_random_id(&post.conversation) {
        return Err(Refusal::invalid("that is not a conversation's id"));
    }
    let key = post.idempotency_key.chars().count();
    if key > 255 {
        return Err(Refusal::invalid(
            "an Idempotency-Key has at most 255 characters",
        ));
    }
    // Whoever guesses a key of a new conversation would be let into it.
    if post.conversation.is_empty() && (1..22).contains(&key) && token.kind == Kind::Chat {
        return Err(Refusal::invalid(
            "for a new conversation an Idempotency-Key has at least 22 characters",
        ));
    }
    if token.kind == Kind::Hook {
        return Ok(String::new());
    }
    let text = std::str::from_utf8(&post.content)
        .map_err(|_| Refusal::invalid("the content is not UTF-8"))?;
    if text.trim().is_empty() {
        return Err(Refusal::invalid("the content is empty"));
    }
    Ok(text.to_owned())
}

fn repeat_record(token: &Token, post: &Post) -> String {
    let scope = format!(
        "{} {} {}",
        token.id, post.conversation, post.idempotency_key
    );
    format!("repeat:{}", hash(scope))
}

/// The turn that this idempotency key made before.
fn first_turn(tx: &mut Tx<'_>, repeat: &str, post: &Post) -> Decision<Option<Turn>> {
    let Some(first) = tx.get_unlikely::<Repeat>(repeat)? else {
        return Ok(None);
    };
    if first.at + (KEEP_KEYS.as_millis() as Millis) < tx.now {
        return Ok(None);
    }
    if first.content_hash != hash(&post.content) {
        return Err(Refusal::IdempotencyMismatch.into());
    }
    tx.get(&record(&first.turn))
}

/// The new turn. Routes, when they come, decide here which folder answers.
fn begin(
    tx: &Tx<'_>,
    limits: &Limits,
    token: &Token,
    (id, conversation): (String, &Conversation),
    post: &Post,
) -> Turn {
    Turn {
        id,
        conversation: conversation.id.clone(),
        token: token.id.clone(),
        kind: token.kind,
        jid: token.jid.clone(),
        folder: token.folder.clone(),
        sender: token.source.clone().unwrap_or_else(|| "visitor".to_owned()),
        traceparent: post.traceparent.clone(),
        created_at: tx.now,
        deadline: tx.now + limits.turn_deadline.as_millis() as Millis,
        status: Status::Queued,
        attempt: 0,
        session: None,
        accept_by: None,
        next_seq: 1,
        n: 0,
        bytes: 0,
        first_seq: 0,
        last_seq: 0,
        strikes: 0,
        ended_at: None,
        finished: false,
        error: String::new(),
        detail: String::new(),
    }
}

//! A message is taken: the one place where a visitor's turn begins and its folder is decided.

use super::{
    Status, Turn,
    aside::{Context, context, count_dropped, observe},
    end_at_once, make_ready, record,
    repeat::Repeated,
};
use crate::{
    conversation::{self, Conversation},
    credential::{hash, is_random_id, random_id},
    frame::Body,
    jid::Folder,
    limits::Limits,
    route::{self, Mode, Route, Step},
    store::Millis,
    token::{self, Kind, Token},
    transaction::{Decision, Refusal, Tx},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

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
    pub(crate) route: Plan,
    pub(crate) context: Context,
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

/// What the turn's route says, as it was when the turn began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) persona: String,
    pub(crate) topic: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) give_up_say: String,
}

/// Takes a message.
pub(crate) fn post(
    tx: &mut Tx<'_>,
    limits: &Limits,
    token: &Token,
    post: &Post,
) -> Decision<Posted> {
    let text = check(limits, token, post)?;
    let posted = |turn| Ok(Posted { turn, content: text.clone() });
    let scope = format!("{} {}", token.id, post.conversation);
    let repeat = match Repeated::find(tx, &scope, &post.idempotency_key, &post.content)? {
        Repeated::Before(turn) => return posted(*turn),
        Repeated::Not(repeat) => repeat,
    };

    // The ids are the same each time that this is decided. If the message is there by now, the
    // first commit was applied after all, though no answer came.
    let id = random_id(tx.random());
    if tx.get_unlikely::<Turn>(&record(&id))?.is_some()
        && let Some(turn) = tx.get(&record(&id))?
    {
        return posted(turn);
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

    let route = route::resolve(tx, &token.jid, &token.folder)?;
    let mode = route.mode();
    let mut turn = begin(tx, limits, token, (id, &conversation), route.route.clone());
    turn.traceparent.clone_from(&post.traceparent);
    let body = Body::User { id: turn.user_message(), content: text.clone() };
    conversation.append(tx, &turn.id, 0, body)?;
    turn.first_seq = conversation.head;
    turn.last_seq = conversation.head;
    conversation.active_at = tx.now;
    tx.add(conversation::turns(&conversation.id), &turn.id, turn.first_seq);
    repeat.remember(tx, &turn.id)?;

    let mut input = Input {
        content: Blob::new(&post.content),
        headers: post
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), Blob::new(value)))
            .collect(),
        route: plan(route.route),
        context: Context::default(),
    };
    match mode {
        Mode::Trigger => {
            turn.handed = conversation.handed.take();
            input.context = context(tx, &mut conversation, &turn.folder)?;
            tx.limit_members(token::open_turns(&token.id), limits.link_turns);
            tx.add(token::open_turns(&token.id), &turn.id, tx.now);
            conversation.open.push(turn.id.clone());
            super::pass::await_step(&mut turn, input.route.steps.first());
            turn.schedule(tx);
            if conversation.open.len() == 1 {
                make_ready(tx, &turn, tx.now);
            }
            turn.tell(tx, "message", "")?;
        }
        Mode::Observe => {
            observe(tx, limits, &turn, &mut conversation, size(post))?;
            let end = (Status::Observed, Vec::new());
            end_at_once(tx, limits, &mut turn, &mut conversation, end)?;
            turn.tell(tx, "observed", "")?;
        }
        Mode::Drop => {
            // A webhook's body is seen by nobody from here on; a visitor's message by the visitor.
            if token.kind == Kind::Hook {
                input.content = Blob::new(b"");
                input.headers.clear();
            }
            count_dropped(tx, limits, token)?;
            let end = (Status::Dropped, Vec::new());
            end_at_once(tx, limits, &mut turn, &mut conversation, end)?;
        }
    }
    let lifetime = Some(conversation::lifetime(limits));
    tx.put(&super::input(&turn.id), &input, lifetime)?;
    conversation.put(tx, limits)?;
    turn.put(tx, limits)?;
    posted(turn)
}

/// What a message takes when it is handed out.
fn size(post: &Post) -> usize {
    let headers = post.headers.iter().map(|(name, value)| name.len() + value.len());
    post.content.len() + headers.sum::<usize>()
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

/// A new turn that the route decides, unless the conversation is assigned to a folder.
fn begin(
    tx: &Tx<'_>,
    limits: &Limits,
    token: &Token,
    (id, conversation): (String, &Conversation),
    route: Route,
) -> Turn {
    let home = route.target.clone().unwrap_or_else(|| token.folder.clone());
    let mut turn = Turn::new(tx, limits, token, (id, conversation), home);
    if let Some(assigned) = &conversation.assigned {
        turn.folder = assigned.clone();
    }
    turn.deadline = tx.now + patience(limits, &route);
    turn
}

/// How long a turn of this route may be open: long enough for all who are to be asked.
fn patience(limits: &Limits, route: &Route) -> Millis {
    if let Some(give_up) = &route.give_up {
        return give_up.after;
    }
    let steps = route.escalation.iter().flatten();
    let times = steps.flat_map(|step| [step.after, step.unfinished_after]);
    let last = times.flatten().max().unwrap_or(0);
    last + limits.turn_deadline.as_millis() as Millis
}

fn plan(route: Route) -> Plan {
    Plan {
        persona: route.persona.unwrap_or_default(),
        topic: route.topic.unwrap_or_default(),
        steps: route.escalation.unwrap_or_default(),
        give_up_say: route.give_up.map(|give_up| give_up.say).unwrap_or_default(),
    }
}

impl Turn {
    /// A turn as it begins.
    pub(super) fn new(
        tx: &Tx<'_>,
        limits: &Limits,
        token: &Token,
        (id, conversation): (String, &Conversation),
        home: Folder,
    ) -> Self {
        Self {
            id,
            conversation: conversation.id.clone(),
            token: token.id.clone(),
            kind: token.kind,
            jid: token.jid.clone(),
            folder: home.clone(),
            home,
            unasked: false,
            sender: token.source.clone().unwrap_or_else(|| "visitor".to_owned()),
            traceparent: String::new(),
            created_at: tx.now,
            deadline: tx.now + limits.turn_deadline.as_millis() as Millis,
            status: Status::Queued,
            attempt: 0,
            session: None,
            person: None,
            spoke: false,
            handed: None,
            step: 0,
            passes: 0,
            silence: None,
            silent_until: None,
            unfinished_until: None,
            keep: false,
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
}

//! Takes a message of a visitor or a webhook: the one place where its turn begins and the turn's
//! folder is decided.

use super::{
    Escalation, Origin, Place, State, Turn, budget, caps, deadlines, dedupe,
    end::end_new,
    exchange::Exchange,
    frames::FrameWriter,
    input::{Context, Input, Plan, Post},
    journal::What,
    observe, proof, quota,
    repeat::{Kept, Key, Repeated},
};
use crate::{
    conversation::{self, Conversation, Handoff, Head},
    frame::{Body, Outcome},
    hook_request::Blob,
    identity::Identity,
    ids::{ConversationId, TurnId},
    jid::FolderName,
    limits::Limits,
    names, queue,
    refusal::Refusal,
    route::{self, Mode, Route},
    time::Time,
    token::{Kind, Token},
    transaction::{Decision, Tracked, Tx},
    visitor::Visitor,
};

/// How many characters the idempotency key of a chat message that begins a conversation has, at
/// least: whoever guesses the key is let into the conversation.
const MIN_KEY: usize = 22;

/// The turn that a message began.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) turn: Turn,
    /// A chat's text; empty for a webhook.
    pub(crate) content: String,
    /// Whether this is a repeat, whose turn an earlier call began.
    pub(crate) repeated: bool,
}

/// Takes a message: begins its turn, or finds the turn that it began when it came before. The site
/// vouches for the visitor's `identity`.
pub(crate) fn post(
    tx: &mut Tx<'_>,
    token: &Token,
    post: &Post,
    identity: Option<&Identity>,
) -> Decision<Posted> {
    let text = check(tx.limits, token, post)?;
    let posted = |turn| Ok(Posted { turn, content: text.clone(), repeated: false });
    let in_conversation = post.conversation.as_ref().map_or("", ConversationId::as_str);
    let scope = format!("{} {in_conversation}", token.id);
    let (key, repeated) = key(token, post);
    let repeat = match Repeated::find(tx, &scope, &key)? {
        Repeated::Before(turn) => return Ok(Posted { repeated, ..posted(*turn)? }),
        Repeated::Not(repeat) => repeat,
    };
    // The ids are the same each time that this is decided. If the turn exists already, an earlier
    // commit of this message was applied, though no answer came.
    let id = TurnId::new(tx.new_id());
    if let Some(turn) = tx.get_unlikely::<Turn>(&id)? {
        return posted(turn);
    }
    token.must_run()?;
    let (mut conversation, head) = conversation(tx, token, post.conversation.as_ref())?;
    if let Some(identity) = identity {
        conversation.identify(tx, identity)?;
    }
    let visitor = match token.kind {
        Kind::Chat => Visitor::at(&token.id, &post.client_address),
        Kind::Hook => None,
    };
    let proof = proof::check(tx, token, &post.proof)?;
    caps::limit_rates(tx, token, visitor.as_ref(), proof);
    caps::check_conversation(tx, token, &conversation)?;

    let route = route::resolve(tx, &token.jid, &token.folder)?;
    let (mode, observe_for) = (route.mode(), route.route.observe_for);
    let was_active = match post.conversation {
        Some(_) => conversation.active_at,
        None => Time::default(),
    };
    if let Some(replaced) = &post.supersedes {
        supersede(tx, replaced, &conversation, &head, &id)?;
    }
    conversation.touch(tx);
    let mut turn = begin(tx, token, id, &conversation, &route.route);
    turn.origin.traceparent.clone_from(&post.traceparent);
    turn.origin.visitor = visitor;
    turn.supersedes.clone_from(&post.supersedes);
    if token.kind == Kind::Hook {
        turn.origin.delivery = dedupe::name(&token.options.hook.dedupe, post);
    }
    let mut frames = FrameWriter::begin(turn.id.clone(), turn.conversation.clone(), head);
    let body = Body::User {
        id: turn.user_message(),
        content: text.clone(),
        supersedes: post.supersedes.clone(),
    };
    turn.first_seq = frames.append_message(tx, body)?;
    tx.add(&names::turns(&turn.conversation), &turn.id, turn.first_seq);
    conversation.last = Some(turn.id.clone());
    repeat.remember(tx, &turn.id)?;

    let mut exchange = Exchange { turn: Tracked::new(turn), conversation, frames };
    let mut input = Input {
        content: Blob::new(&post.content),
        headers: post.headers.clone(),
        request: post.request.clone(),
        identity: identity.cloned(),
        page: post.page.clone(),
        plan: Plan::from(route.route),
        context: Context::default(),
    };
    match mode {
        Mode::Trigger => {
            budget::charge(tx, token, &mut exchange.turn, was_active)?;
            trigger(tx, token, &mut exchange, &mut input)?;
        }
        Mode::Observe => {
            let Exchange { turn, conversation, .. } = &mut exchange;
            observe::observe(tx, turn, conversation, input.size(), observe_for)?;
            end_new(tx, &mut exchange, Outcome::Observed, Vec::new())?;
            exchange.turn.tell(tx, "observed", "")?;
        }
        Mode::Drop => drop(tx, token, &mut exchange, &mut input)?,
    }
    quota::charge(tx, &mut exchange, input.size());
    tx.put(&exchange.turn.id, &input)?;
    posted(exchange.store(tx)?)
}

/// Returns the key by which a repeat of the message is recognised, and whether the sender of a
/// repeat is told that the message came before.
fn key(token: &Token, post: &Post) -> (Key, bool) {
    let delivery = match token.kind {
        Kind::Chat => None,
        Kind::Hook if post.is_replay => None,
        Kind::Hook => dedupe::delivery(&token.options.hook.dedupe, post),
    };
    // If a webhook's delivery has no name, its key is the gateway's own. If that key came before,
    // the gateway has retried, and the sender has not repeated the delivery.
    let is_named = token.kind == Kind::Chat || delivery.is_some();
    let key = delivery.unwrap_or_else(|| Key {
        text: post.idempotency_key.clone(),
        content: post.content.clone(),
        kept: Kept::Message,
    });
    (key, is_named)
}

/// Returns the conversation that the message is for, or a new one, with the head of its log.
fn conversation(
    tx: &mut Tx<'_>,
    token: &Token,
    id: Option<&ConversationId>,
) -> Decision<(Tracked<Conversation>, Tracked<Head>)> {
    let Some(id) = id else {
        let conversation = Conversation::new(ConversationId::new(tx.new_id()), token, tx.now);
        return Ok((Tracked::new(conversation), Tracked::new(Head::default())));
    };
    let conversation = conversation::of_token(tx.get(id)?, token)?;
    let head = tx.get_tracked::<Head>(id)?.unwrap_or_else(|| Tracked::new(Head::default()));
    Ok((Tracked::new(conversation), head))
}

/// Notes that a turn's message is replaced. The turn must be the conversation's last one, so that
/// the history that agents get has no gap.
fn supersede(
    tx: &mut Tx<'_>,
    replaced: &TurnId,
    conversation: &Conversation,
    head: &Head,
    by: &TurnId,
) -> Decision<()> {
    let turn = tx.get::<Turn>(replaced)?;
    let turn = turn.filter(|turn| turn.conversation == conversation.id && !turn.origin.unasked);
    let mut turn = turn.ok_or(Refusal::NotFound("turn to supersede"))?;
    let Some(end) = turn.end() else {
        let why = "a turn that has not ended can't be superseded: cancel it first";
        return Err(Refusal::invalid(why).into());
    };
    let is_last = match &conversation.last {
        Some(last) => last == replaced,
        // An older control began the turn. It is the last if no frame has come since its end.
        None => end.last_seq == head.seq,
    };
    if !is_last {
        let why = "only the last turn of a conversation can be superseded";
        return Err(Refusal::invalid(why).into());
    }
    turn.superseded_by = Some(by.clone());
    tx.put(replaced, &turn)
}

/// Adds the turn to the conversation's open turns, and queues it if it is the first of them.
fn trigger(
    tx: &mut Tx<'_>,
    token: &Token,
    exchange: &mut Exchange,
    input: &mut Input,
) -> Decision<()> {
    let Exchange { turn, conversation, .. } = exchange;
    if let Some(handoff) = conversation.handoff.take() {
        turn.receive(tx, handoff)?;
    }
    input.context = observe::take(tx, turn, conversation)?;
    caps::limit_open_turns(tx, token, turn);
    conversation.open.push(turn.id.clone());
    turn.await_step(input.plan.steps.first());
    turn.schedule(tx);
    if conversation.open.len() == 1 {
        queue::enter(tx, turn);
    }
    turn.tell(tx, "message", "")
}

/// Ends the turn at once, since the route wants no message of this JID.
fn drop(
    tx: &mut Tx<'_>,
    token: &Token,
    exchange: &mut Exchange,
    input: &mut Input,
) -> Decision<()> {
    // Nobody will read the body of a dropped webhook. A visitor can still read their message.
    if token.kind == Kind::Hook {
        input.content = Blob::default();
        input.headers.clear();
        input.request = None;
    }
    observe::count_dropped(tx, token)?;
    end_new(tx, exchange, Outcome::Dropped, Vec::new())
}

/// Checks a message's size, key and text. Returns a chat's text; an empty text for a webhook.
fn check(limits: &Limits, token: &Token, post: &Post) -> Result<String, Refusal> {
    let limit = match token.kind {
        Kind::Chat => limits.chat_bytes,
        Kind::Hook => limits.hook_bytes,
    };
    let encoded = post.request.as_ref().map_or(0, |request| request.encoded_content.size());
    if post.content.len() + encoded > limit {
        return Err(Refusal::TooLarge { limit });
    }
    if token.kind == Kind::Hook {
        return Ok(String::new());
    }
    let key = post.idempotency_key.chars().count();
    if post.conversation.is_none() && (1..MIN_KEY).contains(&key) {
        return Err(Refusal::invalid(format!(
            "for a new conversation an Idempotency-Key has at least {MIN_KEY} characters"
        )));
    }
    let text = std::str::from_utf8(&post.content)
        .map_err(|_| Refusal::invalid("the content is not UTF-8"))?;
    if text.trim().is_empty() {
        return Err(Refusal::invalid("the content is empty"));
    }
    Ok(text.to_owned())
}

/// Makes a turn. Its home is the route's target, or the token's folder if the route has none. If
/// the conversation is assigned to a folder, the turn starts there instead.
fn begin(
    tx: &Tx<'_>,
    token: &Token,
    id: TurnId,
    conversation: &Conversation,
    route: &Route,
) -> Turn {
    let home = route.target.as_ref().unwrap_or(&token.folder).clone();
    let deadline = tx.now + deadlines::patience(tx.limits, route);
    let mut turn = Turn::begin(id, conversation.id.clone(), token, home, tx.now, deadline);
    if let Some(assigned) = &conversation.assigned {
        turn.place.folder = assigned.clone();
    }
    turn
}

impl Turn {
    /// Notes which folder had the turn's conversation before, and its note for the next agent.
    pub(super) fn receive(&mut self, tx: &mut Tx<'_>, handoff: Handoff) -> Decision<()> {
        let (to, note) = (self.place.folder.clone(), handoff.note.clone());
        self.note(tx, handoff.from.clone(), What::Assigned { to, note })?;
        self.place.handoff = Some(handoff);
        Ok(())
    }

    /// Makes a turn for its home folder, in the state [`State::Queued`].
    pub(super) fn begin(
        id: TurnId,
        conversation: ConversationId,
        token: &Token,
        home: FolderName,
        now: Time,
        deadline: Time,
    ) -> Self {
        let origin = Origin {
            token: token.id.clone(),
            kind: token.kind,
            jid: token.jid.clone(),
            sender: token.source.clone().unwrap_or_else(|| "visitor".to_owned()),
            visitor: None,
            traceparent: String::new(),
            delivery: String::new(),
            unasked: false,
            created_at: now,
        };
        let folder = home.clone();
        let place = Place { folder, home, handoff: None, moves: 0, spoke: false };
        Self {
            id,
            conversation,
            origin,
            place,
            escalation: Escalation::default(),
            deadline,
            attempt: 0,
            strikes: 0,
            keep: false,
            back_at: None,
            delivery: None,
            events: 0,
            first_frame_at: None,
            first_seq: 0,
            kept: 0,
            reserved_tokens: 0,
            supersedes: None,
            superseded_by: None,
            rating: None,
            state: State::Queued,
        }
    }
}

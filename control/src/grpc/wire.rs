//! Converts between protos and the domain, where more than one service needs it.

use crate::{
    conversation::Note,
    frame::{self, Body, Frame, Outcome, Thumb, Transcript},
    hook_request::{Blob, Header},
    identity::{Identity, Page},
    ids::TurnId,
    link_limits::{LinkLimits, MessageRate, ProofOfWork},
    refusal::Refusal,
    route::Step,
    time::Time,
    token::{Kind, Token},
    turn::{State, Turn},
};
use arizuko_proto::v1;
use prost_types::{Duration, Timestamp};
use std::time;

pub(super) mod hook;
pub(super) mod looks;

pub(super) fn timestamp(at: Time) -> Timestamp {
    let at = at.as_millis();
    Timestamp { seconds: (at / 1000) as i64, nanos: (at % 1000) as i32 * 1_000_000 }
}

/// Returns the meaning of an enum's number.
///
/// # Errors
/// [`Refusal::Invalid`] for a number that this version doesn't know. In a later version it may
/// stand for something stricter than the default.
pub(super) fn known<T: TryFrom<i32>>(number: i32, what: &str) -> Result<T, Refusal> {
    T::try_from(number).map_err(|_| Refusal::invalid(format!("there is no {what} {number}")))
}

/// Parses a duration, if there is one.
///
/// # Errors
/// [`Refusal::Invalid`] for a negative duration.
pub(super) fn parse_duration(
    duration: Option<Duration>,
) -> Result<Option<time::Duration>, Refusal> {
    let duration = duration.map(time::Duration::try_from).transpose();
    duration.map_err(|_| Refusal::invalid("a duration must not be negative"))
}

/// Parses an instant, if there is one. Parts of a millisecond are dropped.
///
/// # Errors
/// [`Refusal::Invalid`] for an instant before 1970.
pub(super) fn parse_timestamp(at: Option<Timestamp>) -> Result<Option<Time>, Refusal> {
    let millis = |at: Timestamp| {
        let seconds = u64::try_from(at.seconds).ok()?;
        seconds.checked_mul(1_000)?.checked_add(u64::try_from(at.nanos).ok()? / 1_000_000)
    };
    let parse = |at| millis(at).map(Time::from_millis);
    at.map(|at| parse(at).ok_or_else(|| Refusal::invalid("a time must not be before 1970")))
        .transpose()
}

pub(super) fn duration(duration: time::Duration) -> Option<Duration> {
    Duration::try_from(duration).ok()
}

pub(super) fn kind(kind: Kind) -> v1::TokenKind {
    match kind {
        Kind::Chat => v1::TokenKind::Chat,
        Kind::Hook => v1::TokenKind::Hook,
    }
}

/// Parses a kind of link; `None` for all kinds.
///
/// # Errors
/// [`Refusal::Invalid`] for an unknown one.
pub(super) fn parse_kind(kind: i32) -> Result<Option<Kind>, Refusal> {
    match v1::TokenKind::try_from(kind) {
        Ok(v1::TokenKind::Unspecified) => Ok(None),
        Ok(v1::TokenKind::Chat) => Ok(Some(Kind::Chat)),
        Ok(v1::TokenKind::Hook) => Ok(Some(Kind::Hook)),
        Err(_) => Err(Refusal::invalid("there is no such kind of links")),
    }
}

pub(super) fn outcome(outcome: Outcome) -> v1::TurnStatus {
    match outcome {
        Outcome::Done => v1::TurnStatus::Done,
        Outcome::Failed => v1::TurnStatus::Failed,
        Outcome::Cancelled => v1::TurnStatus::Cancelled,
        Outcome::Expired => v1::TurnStatus::Expired,
        Outcome::Observed => v1::TurnStatus::Observed,
        Outcome::Dropped => v1::TurnStatus::Dropped,
    }
}

pub(super) fn thumb(thumb: Option<Thumb>) -> v1::Thumb {
    match thumb {
        None => v1::Thumb::Unspecified,
        Some(Thumb::Up) => v1::Thumb::Up,
        Some(Thumb::Down) => v1::Thumb::Down,
    }
}

/// Parses a thumb; `None` withdraws an earlier one.
///
/// # Errors
/// [`Refusal::Invalid`] for an unknown one.
pub(super) fn parse_thumb(thumb: i32) -> Result<Option<Thumb>, Refusal> {
    match v1::Thumb::try_from(thumb) {
        Ok(v1::Thumb::Unspecified) => Ok(None),
        Ok(v1::Thumb::Up) => Ok(Some(Thumb::Up)),
        Ok(v1::Thumb::Down) => Ok(Some(Thumb::Down)),
        Err(_) => Err(Refusal::invalid("this thumb is unknown")),
    }
}

pub(super) fn status(turn: &Turn) -> v1::TurnStatus {
    match &turn.state {
        State::Queued => v1::TurnStatus::Queued,
        State::Running(_) => v1::TurnStatus::Running,
        State::Ended(end) => outcome(end.outcome),
    }
}

pub(super) fn token(token: Token) -> v1::Token {
    let visitor_keys = token.options.visitor_keys.iter();
    v1::Token {
        token_id: token.id.to_string(),
        kind: kind(token.kind).into(),
        jid: token.jid,
        folder: token.folder.into(),
        source: token.source.unwrap_or_default(),
        suffix: token.suffix.unwrap_or_default(),
        owner_folder: token.owner.into(),
        options: Some(v1::LinkOptions {
            name: token.options.name,
            greeting: token.options.greeting,
            context: token.options.context,
            allowed_origins: token.options.allowed_origins,
            lifetime: None,
            limits: (!token.options.limits.is_default()).then(|| limits(token.options.limits)),
            hook: (!token.options.hook.is_default()).then(|| hook::options(token.options.hook)),
            looks: looks::looks(token.options.looks),
            paused: token.options.paused,
            visitor_keys: visitor_keys.map(|key| key.algorithm.name().to_owned()).collect(),
        }),
        created_at: Some(timestamp(token.created_at)),
        expires_at: token.expires_at.map(timestamp),
        created_by: token.created_by.to_string(),
    }
}

pub(super) fn identity(identity: Identity) -> v1::VisitorIdentity {
    let Identity { id, name, email, page, claims } = identity;
    v1::VisitorIdentity { id, name, email, page, claims }
}

pub(super) fn page(page: Page) -> v1::VisitorPage {
    let Page { url, title, language, data } = page;
    v1::VisitorPage { url, title, language, data: data.into_iter().collect() }
}

fn limits(limits: LinkLimits) -> v1::LinkLimits {
    let rate = limits.rate.map(|rate| v1::Rate { count: rate.count, per: duration(rate.per) });
    v1::LinkLimits {
        rate,
        burst: limits.burst.unwrap_or_default(),
        max_open_turns: limits.max_open_turns.unwrap_or_default(),
        proof_of_work: match limits.proof_of_work {
            None => v1::ProofOfWork::Unspecified,
            Some(ProofOfWork::On) => v1::ProofOfWork::On,
            Some(ProofOfWork::Auto) => v1::ProofOfWork::Auto,
        }
        .into(),
        turns_per_day: limits.turns_per_day.unwrap_or_default(),
        visitor_turns_per_day: limits.visitor_turns_per_day.unwrap_or_default(),
        tokens_per_day: limits.tokens_per_day.unwrap_or_default(),
    }
}

/// Parses a link's own limits.
///
/// # Errors
/// [`Refusal::Invalid`] for a negative duration, or an unknown `proof_of_work`.
pub(super) fn parse_limits(limits: v1::LinkLimits) -> Result<LinkLimits, Refusal> {
    let proof_of_work = match v1::ProofOfWork::try_from(limits.proof_of_work) {
        Ok(v1::ProofOfWork::Unspecified) => None,
        Ok(v1::ProofOfWork::On) => Some(ProofOfWork::On),
        Ok(v1::ProofOfWork::Auto) => Some(ProofOfWork::Auto),
        Err(_) => return Err(Refusal::invalid("this proof_of_work is unknown")),
    };
    let rate = limits.rate.map(|v1::Rate { count, per }| {
        Ok(MessageRate { count, per: parse_duration(per)?.unwrap_or_default() })
    });
    let own = |value: u32| (value > 0).then_some(value);
    Ok(LinkLimits {
        rate: rate.transpose()?,
        burst: own(limits.burst),
        max_open_turns: own(limits.max_open_turns),
        proof_of_work,
        turns_per_day: own(limits.turns_per_day),
        visitor_turns_per_day: own(limits.visitor_turns_per_day),
        tokens_per_day: (limits.tokens_per_day > 0).then_some(limits.tokens_per_day),
    })
}

/// Returns a step of a route's escalation.
pub(super) fn step(step: Step) -> v1::EscalationStep {
    v1::EscalationStep {
        after: step.after.and_then(duration),
        unfinished_after: step.unfinished_after.and_then(duration),
        to: step.to.into(),
        say: step.say,
    }
}

/// Returns the headers of a request or response.
pub(super) fn headers(headers: Vec<Header>) -> Vec<v1::Header> {
    let headers = headers.into_iter();
    headers.map(|h| v1::Header { name: h.name, value: h.value.into_bytes().into() }).collect()
}

/// Reads the headers of a request or response.
pub(super) fn parse_headers(headers: Vec<v1::Header>) -> Vec<Header> {
    let headers = headers.into_iter();
    headers.map(|h| Header { name: h.name, value: Blob::new(&h.value) }).collect()
}

/// Returns the visitor's message of a turn.
pub(super) fn user_message(turn: &Turn, content: String) -> v1::Message {
    v1::Message {
        id: turn.user_message(),
        turn_id: turn.id.to_string(),
        author: v1::Author::User.into(),
        content,
        created_at: Some(timestamp(turn.origin.created_at)),
        name: String::new(),
        supersedes: id_or_empty(turn.supersedes.as_ref()),
    }
}

pub(super) fn reply_message(turn: &TurnId, message: frame::Message) -> v1::Message {
    v1::Message {
        id: message.id,
        turn_id: turn.to_string(),
        author: author(message.by.as_ref()).into(),
        content: message.content,
        created_at: Some(timestamp(message.at)),
        name: message.by.unwrap_or_default(),
        supersedes: String::new(),
    }
}

/// Returns the id of a turn; empty if there is none.
pub(super) fn id_or_empty(turn: Option<&TurnId>) -> String {
    turn.map(TurnId::to_string).unwrap_or_default()
}

pub(super) fn note(note: Note) -> v1::ConversationNote {
    let Note { at, by: name, text } = note;
    v1::ConversationNote { name, text, created_at: Some(timestamp(at)) }
}

/// Returns who wrote a message of a reply.
fn author(by: Option<&String>) -> v1::Author {
    by.map_or(v1::Author::Assistant, |_| v1::Author::Person)
}

pub(super) fn frame(seq: u64, frame: Frame) -> v1::Frame {
    use v1::frame as f;
    let Frame { tag, turn, n, at, body } = frame;
    let message = |author: v1::Author, id, content| v1::Message {
        id,
        turn_id: turn.to_string(),
        author: author.into(),
        content,
        created_at: Some(timestamp(at)),
        name: String::new(),
        supersedes: String::new(),
    };
    let body = match body {
        Body::User { id, content, supersedes } => f::Body::User(v1::Message {
            supersedes: id_or_empty(supersedes.as_ref()),
            ..message(v1::Author::User, id, content)
        }),
        Body::Message { id, content, by } => f::Body::Message(v1::Message {
            name: by.clone().unwrap_or_default(),
            ..message(author(by.as_ref()), id, content)
        }),
        Body::Delta { id, text } => f::Body::Delta(f::Delta { id, text }),
        Body::Status { text } => f::Body::Status(f::Status { text }),
        Body::Title { text } => f::Body::Title(f::Title { text }),
        Body::Restart { attempt, keep } => f::Body::Restart(f::Restart { attempt, keep }),
        Body::Rated { thumb } => f::Body::Rated(f::Rated { thumb: self::thumb(thumb).into() }),
        Body::TurnDone(done) => f::Body::TurnDone(f::TurnDone {
            status: outcome(done.outcome).into(),
            error: done.error,
            traceparent: done.traceparent,
        }),
    };
    v1::Frame {
        cursor: Some(v1::Cursor { seq, tag }),
        turn_id: turn.to_string(),
        n,
        body: Some(body),
    }
}

/// Describes a turn as of its transcript's last frame. The turn's record may be older or newer than
/// that frame.
pub(super) fn turn(turn: &Turn, content: String, transcript: Transcript) -> v1::ConversationTurn {
    let (shown, error) = match transcript.end {
        Some(done) => (outcome(done.outcome), done.error),
        None if turn.is_queued() => (v1::TurnStatus::Queued, String::new()),
        None => (v1::TurnStatus::Running, String::new()),
    };
    let is_open = matches!(shown, v1::TurnStatus::Queued | v1::TurnStatus::Running);
    let end = turn.end().filter(|_| !is_open);
    let messages = transcript.messages.into_iter();
    let kept = u32::try_from(transcript.kept).unwrap_or(u32::MAX);
    v1::ConversationTurn {
        turn_id: turn.id.to_string(),
        status: shown.into(),
        user: (!turn.origin.unasked).then(|| user_message(turn, content)),
        assistant: messages.map(|message| reply_message(&turn.id, message)).collect(),
        n: transcript.n,
        attempt: turn.attempt,
        status_text: transcript.status_text,
        steps: transcript.steps,
        error,
        ended_at: end.map(|end| timestamp(end.at)),
        kept,
        superseded_by: id_or_empty(turn.superseded_by.as_ref()),
        thumb: thumb(turn.rating.as_ref().and_then(|rating| rating.thumb)).into(),
    }
}

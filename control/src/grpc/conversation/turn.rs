//! Reads turns in detail, for operators, viewers, and agents that may read.

use crate::{
    control::Control,
    frame::Transcript,
    grpc::{gateway::read::transcript, wire},
    hook_request::{Blob, HookRequest},
    ids::{ConversationId, TurnId},
    jid::FolderName,
    key::Caller,
    ledger::Error,
    names,
    store::Partition,
    time::Time,
    token::Kind,
    turn::{
        Turn,
        input::Input,
        journal::{Delivery, Entry, What},
        response::HttpResponse,
    },
};
use arizuko_proto::{
    public_id,
    v1::{self, TurnEventKind},
};
use std::mem;

/// A page ends early once its messages have this many bytes.
const PAGE_BYTES: usize = 4 << 20;
/// How many turns are read at a time.
const AT_ONCE: usize = 8;

/// Which turns are wanted, and how much of each.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) caller: &'a Caller,
    /// Only turns that began then or later.
    pub(super) since: Time,
    /// How many bytes of each message, at most.
    pub(super) cut: usize,
    /// Whether headers of webhooks are wanted.
    pub(super) headers: bool,
}

impl<'a> Wanted<'a> {
    /// Selects all turns, with at most `cut` bytes of each message, and without headers.
    pub(super) fn cut(caller: &'a Caller, cut: usize) -> Self {
        Self { caller, since: Time::default(), cut, headers: false }
    }
}

/// Reads turns of a conversation after a seq, the oldest first; also returns the seq after which
/// the next page begins, if there is one.
pub(super) async fn page(
    control: &Control,
    partition: Partition,
    conversation: &ConversationId,
    after: u64,
    size: usize,
    wanted: &Wanted<'_>,
) -> Result<(Vec<v1::TurnDetail>, Option<u64>), Error> {
    let (set, range) = (names::turns(conversation), after.saturating_add(1)..=u64::MAX);
    // Reads one turn more than the page holds: the next page begins with that turn.
    let members = control.ledger.members(partition, &set, range, size as u32 + 1).await?;
    let (mut details, mut bytes) = (Vec::new(), 0);
    let shown = members.len().min(size);
    let mut next = members.get(size).map(|(_, seq)| seq - 1);
    for (index, chunk) in members[..shown].chunks(AT_ONCE).enumerate() {
        if bytes > PAGE_BYTES {
            next = members.get(index * AT_ONCE).map(|(_, seq)| seq - 1);
            break;
        }
        let ids: Vec<TurnId> = chunk.iter().map(|(id, _)| id.clone()).collect();
        let turns = control.ledger.records::<Turn>(partition, &ids).await?;
        let turns = turns.into_iter().flatten();
        let turns = turns.filter(|turn| turn.origin.created_at >= wanted.since).collect();
        let read = self::details(control, partition, turns, wanted).await?;
        let messages = read.iter().flat_map(|turn| &turn.messages);
        bytes += messages.map(|message| message.content.len()).sum::<usize>();
        details.extend(read);
    }
    Ok((details, next))
}

/// Reads turns in detail: their messages, what their routes said, and their journals.
pub(super) async fn details(
    control: &Control,
    partition: Partition,
    turns: Vec<Turn>,
    wanted: &Wanted<'_>,
) -> Result<Vec<v1::TurnDetail>, Error> {
    let _permit = control.texts.acquire().await;
    let ids = turns.iter().map(|turn| &turn.id);
    let inputs = control.ledger.records::<Input>(partition, ids).await?;
    let mut details = Vec::new();
    for (turn, input) in turns.into_iter().zip(inputs) {
        let transcript = transcript(control, partition, &turn, u64::MAX).await?;
        let mut journal = Vec::new();
        if turn.events > 0 {
            let log = names::journal(&turn.id);
            for (_, entry) in control.ledger.entries(partition, log, 0, u32::MAX).await? {
                journal.push(Entry::parse(&entry)?);
            }
        }
        let mut detail = to_wire(&turn, transcript);
        detail.events = journal.into_iter().map(event).collect();
        let url = wanted.headers.then(|| control.hook_url(&turn));
        add_input(&mut detail, &turn, input, url.as_deref());
        if wanted.headers && turn.origin.kind == Kind::Hook {
            let response = control.ledger.record::<HttpResponse>(partition, &turn.id).await?;
            detail.response = response.map(wire::hook::response);
        }
        detail.messages.iter_mut().for_each(|message| cut(message, wanted.cut));
        hide_beyond(&mut detail, wanted.caller);
        details.push(detail);
    }
    Ok(details)
}

fn to_wire(turn: &Turn, transcript: Transcript) -> v1::TurnDetail {
    let end = turn.end();
    let replies = transcript.messages.into_iter().map(|message| {
        let author = message.by.as_ref().map_or(v1::Author::Assistant, |_| v1::Author::Person);
        v1::TurnMessage {
            author: author.into(),
            name: message.by.unwrap_or_default(),
            bytes: message.content.len() as u64,
            content: message.content,
            created_at: Some(wire::timestamp(message.at)),
        }
    });
    let public = |id: &TurnId| public_id::turn(id.as_str());
    v1::TurnDetail {
        turn_id: public(&turn.id),
        status: wire::status(turn).into(),
        created_at: Some(wire::timestamp(turn.origin.created_at)),
        delivered_at: turn.delivery.as_ref().map(|delivery| wire::timestamp(delivery.at)),
        first_frame_at: turn.first_frame_at.map(wire::timestamp),
        ended_at: end.map(|end| wire::timestamp(end.at)),
        deadline: Some(wire::timestamp(turn.deadline)),
        attempt: turn.attempt,
        strikes: turn.strikes,
        folder: turn.place.folder.to_string(),
        home: turn.place.home.to_string(),
        agent: turn.delivery.as_ref().map(agent),
        sender: turn.origin.sender.clone(),
        messages: replies.collect(),
        error: transcript.end.map(|done| done.error).unwrap_or_default(),
        detail: end.map(|end| end.detail.clone()).unwrap_or_default(),
        rating: turn.rating.clone().map(|rating| v1::Rating {
            thumb: wire::thumb(rating.thumb).into(),
            comment: rating.comment,
            at: Some(wire::timestamp(rating.at)),
        }),
        superseded_by: turn.superseded_by.as_ref().map(public).unwrap_or_default(),
        trace_id: turn.origin.traceparent.split('-').nth(1).unwrap_or_default().to_owned(),
        ..v1::TurnDetail::default()
    }
}

/// Adds the message, its visitor's identity and page, and the persona, topic and escalation from
/// its route. With `url`, the URL of a webhook, also adds the webhook's headers and request.
fn add_input(detail: &mut v1::TurnDetail, turn: &Turn, input: Option<Input>, url: Option<&str>) {
    let Some(Input { content, headers, request, plan, identity, page, .. }) = input else { return };
    detail.identity = identity.map(wire::identity);
    detail.page = page.map(wire::page);
    detail.persona = plan.persona;
    detail.topic = plan.topic;
    detail.escalation = plan.steps.into_iter().map(wire::step).collect();
    if let Some(url) = url {
        detail.headers = wire::headers(headers);
        let shown = |request| HookRequest { encoded_content: Blob::default(), ..request };
        detail.request = request.map(|request| wire::hook::request(shown(request), url));
    }
    if turn.origin.unasked {
        return;
    }
    let content = content.into_bytes();
    let message = v1::TurnMessage {
        author: v1::Author::User.into(),
        name: String::new(),
        bytes: content.len() as u64,
        content: String::from_utf8(content).unwrap_or_default(),
        created_at: Some(wire::timestamp(turn.origin.created_at)),
    };
    detail.messages.insert(0, message);
}

fn agent(delivery: &Delivery) -> v1::TurnAgent {
    let Delivery { agent, person, key, .. } = delivery;
    v1::TurnAgent { name: agent.clone(), person: *person, key_id: key.to_string() }
}

fn event(entry: Entry) -> v1::TurnEvent {
    let (kind, to, note, detail) = match entry.what {
        What::Requeued { why } => (TurnEventKind::Requeued, None, String::new(), why),
        What::HandedOff { to, note } => (TurnEventKind::HandedOff, Some(to), note, String::new()),
        What::Escalated { to } => {
            (TurnEventKind::Escalated, Some(to), String::new(), String::new())
        }
        What::Assigned { to, note } => (TurnEventKind::Assigned, Some(to), note, String::new()),
    };
    v1::TurnEvent {
        at: Some(wire::timestamp(entry.at)),
        kind: kind.into(),
        folder: entry.folder.into(),
        attempt: entry.attempt,
        agent: entry.delivery.as_ref().map(agent),
        delivered_at: entry.delivery.map(|delivery| wire::timestamp(delivery.at)),
        to: to.map(Into::into).unwrap_or_default(),
        note,
        detail,
    }
}

fn cut(message: &mut v1::TurnMessage, most: usize) {
    let end = message.content.floor_char_boundary(most);
    message.content.truncate(end);
}

/// Leaves out the folders beyond the caller's reach, and who answers there.
fn hide_beyond(detail: &mut v1::TurnDetail, caller: &Caller) {
    let is_reached = |folder: &str| {
        FolderName::parse(folder).is_ok_and(|folder| caller.must_reach(&folder).is_ok())
    };
    let hide = |folder: &mut String| {
        let is_hidden = !is_reached(folder);
        if is_hidden {
            folder.clear();
        }
        is_hidden
    };
    detail.escalation.retain(|step| is_reached(&step.to));
    hide(&mut detail.home);
    if hide(&mut detail.folder) {
        detail.agent = None;
    }
    for event in &mut detail.events {
        hide(&mut event.to);
        if hide(&mut event.folder) {
            mem::take(&mut event.agent);
        }
    }
}

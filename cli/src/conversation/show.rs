//! `arizuko conversation show`: shows a conversation and its turns.

use crate::{
    console::{Console, printable, word},
    control::Control,
    time,
};
use arizuko_proto::v1::{
    Author, Conversation, ConversationNote, ShowConversationRequest, ShowConversationResponse,
    Thumb, TurnAgent, TurnDetail, TurnEvent, TurnEventKind, TurnMessage, VisitorIdentity,
    VisitorPage,
};
use prost_types::Timestamp;

#[derive(clap::Args)]
pub(crate) struct Show {
    /// Id of the conversation
    #[arg(value_name = "cnv_…", value_parser = super::id, allow_hyphen_values = true)]
    conversation_id: String,
}

impl Show {
    pub(super) async fn run(
        self,
        control: &Control,
        json: bool,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        let all = whole(control, &self.conversation_id).await?;
        if json {
            return console.message(&all);
        }
        let conversation = all.conversation.unwrap_or_default();
        show_head(&conversation, console)?;
        console.text(&conversation.notes.iter().map(noted).collect::<String>())?;
        for turn in all.turns {
            console.line("")?;
            show_turn(&turn, console)?;
        }
        Ok(())
    }
}

/// Reads a conversation with all its turns.
pub(crate) async fn whole(
    control: &Control,
    conversation_id: &str,
) -> anyhow::Result<ShowConversationResponse> {
    let mut conversations = control.conversations().await?;
    let mut all = ShowConversationResponse::default();
    loop {
        let request = ShowConversationRequest {
            conversation_id: conversation_id.into(),
            page_size: 0,
            page_token: all.next_page_token,
        };
        let page = control.answer(conversations.show_conversation(request).await)?;
        all.conversation = page.conversation;
        all.turns.extend(page.turns);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            return Ok(all);
        }
    }
}

/// Describes a note. Further lines of its text are indented.
pub(crate) fn noted(note: &ConversationNote) -> String {
    let ConversationNote { name, text, created_at } = note;
    block(&Said { at: *created_at, who: format!("note by {name}"), text: text.clone() })
}

/// Returns what was said in a turn and what happened to it, in chronological order.
pub(crate) fn told(turn: &TurnDetail) -> String {
    course(turn).iter().map(block).collect()
}

/// Shows a field and its value, unless the value is empty.
pub(crate) fn field(name: &str, value: &str, console: &mut Console<'_>) -> anyhow::Result<()> {
    if value.is_empty() { Ok(()) } else { console.line(&format!("{name:12}  {value}")) }
}

fn show_head(conversation: &Conversation, console: &mut Console<'_>) -> anyhow::Result<()> {
    let Conversation { conversation_id, jid, token_id, folder, with, assigned, .. } = conversation;
    field("conversation", conversation_id, console)?;
    field("address", &format!("{jid}, link {token_id}"), console)?;
    field("title", &conversation.title, console)?;
    field("visitor", &conversation.identity.as_ref().map(verified).unwrap_or_default(), console)?;
    field("folder", folder, console)?;
    field("with", with, console)?;
    field("assigned to", assigned, console)?;
    let (began, active) = (conversation.created_at, conversation.active_at);
    field("began", &time::brief(began), console)?;
    field("active", &format!("{}, {} ago", time::brief(active), time::age(active)), console)
}

/// Describes a visitor for whom their site vouches, on one line.
pub(crate) fn verified(visitor: &VisitorIdentity) -> String {
    let VisitorIdentity { id, name, email, claims, .. } = visitor;
    let email = if email.is_empty() { String::new() } else { format!("<{email}>") };
    let id = format!("(verified: {id})");
    let parts = [name.clone(), email, id, claims.clone()];
    parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" ")
}

/// Describes where a visitor wrote, on one line.
pub(crate) fn place(page: &VisitorPage) -> String {
    let VisitorPage { url, title, language, data } = page;
    let mut parts: Vec<_> =
        [title, url, language].into_iter().filter(|t| !t.is_empty()).cloned().collect();
    let mut data: Vec<_> = data.iter().map(|(name, value)| format!("{name}={value}")).collect();
    data.sort();
    parts.append(&mut data);
    parts.join(", ")
}

/// Shows a turn: its status, then its messages and what happened to it, in chronological order.
fn show_turn(turn: &TurnDetail, console: &mut Console<'_>) -> anyhow::Result<()> {
    let status = word(turn.status().as_str_name());
    let tries =
        if turn.attempt > 1 { format!(", attempt {}", turn.attempt) } else { String::new() };
    let superseded = match turn.superseded_by.as_str() {
        "" => String::new(),
        by => format!(", superseded by {by}"),
    };
    console.line(&format!("{}  {status}{tries}{superseded}", turn.turn_id))?;
    if let Some(page) = &turn.page {
        console.line(&format!("  (unverified: on {})", place(page)))?;
    }
    show_course(turn, console)
}

/// Shows a turn's messages and what happened to it, in chronological order.
pub(crate) fn show_course(turn: &TurnDetail, console: &mut Console<'_>) -> anyhow::Result<()> {
    console.text(&told(turn))
}

/// Something that was said, or that happened.
pub(super) struct Said {
    pub(super) at: Option<Timestamp>,
    /// Who said it, or what happened.
    pub(super) who: String,
    pub(super) text: String,
}

/// Returns a turn's messages and what happened to it, in chronological order.
pub(super) fn course(turn: &TurnDetail) -> Vec<Said> {
    let messages = turn.messages.iter().map(|said| message(turn, said));
    let mut course: Vec<Said> = messages.chain(turn.events.iter().map(happened)).collect();
    // Of a message and an event at the same moment, the message comes first.
    course.sort_by_key(|said| said.at.map_or((0, 0), |at| (at.seconds, at.nanos)));
    if let Some(rating) = &turn.rating {
        let who = match rating.thumb() {
            Thumb::Up => "thumb up",
            Thumb::Down => "thumb down",
            Thumb::Unspecified => "no thumb",
        };
        course.push(Said { at: rating.at, who: who.into(), text: rating.comment.clone() });
    }
    let told = [&turn.error, &turn.detail].into_iter().filter(|text| !text.is_empty());
    let text = told.map(String::as_str).collect::<Vec<_>>().join(" ");
    if !text.is_empty() {
        course.push(Said { at: turn.ended_at, who: word(turn.status().as_str_name()), text });
    }
    course
}

fn message(turn: &TurnDetail, message: &TurnMessage) -> Said {
    let who = match message.author() {
        Author::User => turn.sender.clone(),
        Author::Person => format!("{}, a person", message.name),
        Author::Assistant | Author::Unspecified => "agent".into(),
    };
    let TurnMessage { content, bytes, .. } = message;
    let missing = bytes.saturating_sub(content.len() as u64);
    let text = match (content.is_empty(), missing) {
        (_, 0) => content.clone(),
        (true, bytes) => format!("({bytes} bytes that are not text)"),
        (false, bytes) => format!("{content}… ({bytes} more bytes)"),
    };
    Said { at: message.created_at, who, text }
}

fn happened(event: &TurnEvent) -> Said {
    let what = match event.kind() {
        TurnEventKind::Requeued => "queued again",
        TurnEventKind::HandedOff => "handed off",
        TurnEventKind::Escalated => "escalated",
        TurnEventKind::Assigned => "assigned",
        TurnEventKind::Unspecified => "happened",
    };
    let TurnEvent { folder, to, note, detail, .. } = event;
    let mut text = match to.as_str() {
        "" => String::new(),
        to => format!("from {folder} to {to}"),
    };
    let mut add = |words: String| {
        if !text.is_empty() {
            text += ", ";
        }
        text += &words;
    };
    if let Some(agent) = &event.agent {
        let by = by(agent);
        add(format!(
            "attempt {} of {by}, delivered {}",
            event.attempt,
            time::brief(event.delivered_at)
        ));
    }
    if !detail.is_empty() {
        add(detail.clone());
    }
    if !note.is_empty() {
        add(format!("note: {note}"));
    }
    Said { at: event.at, who: format!("({what})"), text }
}

/// Describes the agent of an attempt.
pub(crate) fn by(agent: &TurnAgent) -> String {
    let name = if agent.name.is_empty() { "an unnamed agent" } else { &agent.name };
    let person = if agent.person { ", a person" } else { "" };
    format!("{name}{person} ({})", agent.key_id)
}

/// Returns when something was said, by whom, and its text, if there is one. Further lines of the
/// text are indented, so that nobody can imitate another's message.
fn block(said: &Said) -> String {
    let Said { at, who, text } = said;
    let text = text.trim_end().replace('\n', "\n      ");
    let colon = if text.is_empty() { "" } else { ": " };
    format!("  {}  {}{colon}{text}\n", time::brief(*at), printable(who))
}

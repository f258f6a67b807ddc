//! Draws the desk: what waits on the left, the conversation in the middle, and who the visitor is
//! on the right.

use super::Desk;
use crate::{
    console::printable,
    conversation::show::{place, verified},
    inbox::{entry::Entry, log, screen, work::Work},
    wrap::{columns, cut, wrap, wrap_help},
};
use arizuko_proto::v1::Message;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    text::Line,
    widgets::{Block, Borders, Paragraph},
};

const KEYS: &str =
    "F1 help  ↑↓ Enter open  F2 watch  F3 take  PgUp PgDn scroll  Alt-Enter new line  Ctrl-C leave";
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const ITALIC: Style = Style::new().add_modifier(Modifier::ITALIC);
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);
/// How many lines of what is typed are shown, at most.
const MAX_INPUT: usize = 8;

/// Draws everything, and records in `desk` where each conversation of the list is.
pub(super) fn draw(frame: &mut Frame<'_>, desk: &mut Desk, work: &mut Work<'_, '_>) {
    let width = frame.area().width;
    let typed = wrap(desk.input.text(), usize::from(width).saturating_sub(3));
    let lines = u16::try_from(typed.len().min(MAX_INPUT)).unwrap_or(1);
    let rows = [1, 0, log::LINES, lines + 2, 1].map(Constraint::Length);
    let [top, body, told, input, keys] =
        Layout::vertical([rows[0], Constraint::Min(1), rows[2], rows[3], rows[4]])
            .areas(frame.area());
    let side = Constraint::Length((width / 4).clamp(20, 40));
    let [left, middle, right] = Layout::horizontal([side, Constraint::Min(1), side]).areas(body);

    let waiting = work.entries().iter().filter(|entry| entry.waits()).count();
    let title = format!(" {}: {}, {waiting} waiting", work.name(), work.folders());
    let title = Line::styled(cut(&title, usize::from(width)), REVERSED);
    frame.render_widget(Paragraph::new(title).style(REVERSED), top);
    draw_list(frame, left, desk, work);
    draw_conversation(frame, middle, desk, work);
    let about = about(work, usize::from(right.width).saturating_sub(1));
    frame.render_widget(Paragraph::new(about).block(Block::new().borders(Borders::LEFT)), right);
    let log = desk.log.borrow();
    let said = log.last().map(|line| Line::styled(cut(line, usize::from(width)), ITALIC));
    let said: Vec<_> = said.collect();
    frame.render_widget(Paragraph::new(said), told);
    draw_input(frame, input, desk, &work.prompt(), &typed);
    frame.render_widget(Line::styled(KEYS, DIM), keys);
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, desk: &mut Desk, work: &mut Work<'_, '_>) {
    let (width, height) = (usize::from(area.width) - 1, usize::from(area.height));
    let mut rows = Vec::new();
    let entries = work.entries();
    for (number, folder) in work.folder_names().into_iter().enumerate() {
        let here = || entries.iter().filter(|entry| entry.place == number);
        let waiting = here().filter(|entry| entry.waits()).count();
        rows.push((Line::styled(cut(&format!("{folder} ({waiting})"), width), BOLD), None));
        for entry in here() {
            let is_selected = desk.selected.as_ref() == Some(&entry.conversation);
            let style = if is_selected { REVERSED } else { Style::new() };
            let [first, second] = described(entry, width);
            rows.push((Line::styled(first, style), Some(entry.number)));
            rows.push((Line::styled(second, style.patch(DIM)), Some(entry.number)));
        }
    }
    let selected = entries.iter().find(|entry| desk.selected.as_ref() == Some(&entry.conversation));
    let selected = selected.map(|entry| Some(entry.number));
    let last = rows.iter().rposition(|(_, number)| selected == Some(*number));
    let hidden = last.map_or(0, |last| (last + 1).saturating_sub(height));
    let shown: Vec<_> = rows.into_iter().skip(hidden).take(height).collect();
    desk.list = area;
    desk.rows = shown.iter().map(|(_, number)| *number).collect();
    let lines: Vec<_> = shown.into_iter().map(|(line, _)| line).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::new().borders(Borders::RIGHT)), area);
}

/// Describes a conversation in two lines of the list, padded so that the chosen one is a full bar.
fn described(entry: &Entry, width: usize) -> [String; 2] {
    let Entry { number, state, at, who, jid, text, .. } = entry;
    let said = match (who.as_str(), text.as_str()) {
        ("", "") => jid.clone(),
        ("", text) => text.to_owned(),
        (who, "") => who.to_owned(),
        (who, text) => format!("{who}: {text}"),
    };
    [format!("{number} {state}, {}", screen::age(*at)), format!("  {said}")].map(|line| {
        let line = cut(&line, width);
        let room = width.saturating_sub(columns(&line));
        line + &" ".repeat(room)
    })
}

fn draw_conversation(frame: &mut Frame<'_>, area: Rect, desk: &mut Desk, work: &Work<'_, '_>) {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let page = desk.log.borrow().page().map(|page| wrap_help(page, width));
    if let Some(page) = page {
        desk.scroll = desk.scroll.min(page.len().saturating_sub(height));
        let lines: Vec<_> =
            page.into_iter().skip(desk.scroll).take(height).map(Line::raw).collect();
        frame.render_widget(Paragraph::new(lines), area);
        return;
    }
    let Some(thread) = work.thread() else {
        let hint = Line::styled("Choose a conversation on the left.", DIM);
        frame.render_widget(Paragraph::new(hint), area);
        return;
    };
    let mut lines: Vec<_> =
        thread.messages.iter().flat_map(|message| said(message, width)).collect();
    if !thread.status.is_empty() {
        lines.push(Line::styled(format!("({})", printable(&thread.status)), ITALIC));
    }
    // The end shows, unless the person has scrolled up from there.
    let above = lines.len().saturating_sub(height);
    desk.scroll = desk.scroll.min(above);
    let lines: Vec<_> = lines.into_iter().skip(above - desk.scroll).take(height).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn said(message: &Message, width: usize) -> Vec<Line<'static>> {
    let who = cut(&screen::who_said(message), width);
    let text = wrap(message.content.trim_end(), width);
    [Line::styled(who, BOLD)].into_iter().chain(text.into_iter().map(Line::raw)).collect()
}

/// Says who the visitor is, what the route says, and what people have noted.
fn about(work: &Work<'_, '_>, width: usize) -> Vec<Line<'static>> {
    let Some(thread) = work.thread() else { return Vec::new() };
    let mut parts = vec![("Visitor", visitor(work)), ("Address", thread.about.jid.clone())];
    parts.push(("Title", thread.about.title.clone()));
    if let Some(turn) = work.answered_turn() {
        parts.push(("Unverified, is on", turn.page.as_ref().map(place).unwrap_or_default()));
        for (what, text) in
            [("Persona", &turn.persona), ("Topic", &turn.topic), ("Context", &turn.context)]
        {
            parts.push((what, text.clone()));
        }
        let handed = turn.handed.as_ref();
        parts.push(("Handed off", handed.map(screen::handed).unwrap_or_default()));
    }
    let notes: String = thread.about.notes.iter().map(screen::note).collect();
    parts.push(("Notes", notes.trim_end().to_owned()));
    let mut lines = Vec::new();
    for (what, text) in parts.into_iter().filter(|(_, text)| !text.is_empty()) {
        lines.push(Line::styled(what, BOLD));
        lines.extend(wrap(&text, width).into_iter().map(Line::raw));
    }
    lines
}

fn visitor(work: &Work<'_, '_>) -> String {
    let identity = work.thread().and_then(|thread| thread.about.identity.as_ref());
    identity.map_or_else(|| "unknown".into(), verified)
}

fn draw_input(frame: &mut Frame<'_>, area: Rect, desk: &Desk, prompt: &str, typed: &[String]) {
    let block = Block::bordered().title(prompt.trim_end().to_owned());
    let inner = block.inner(area);
    let hidden = typed.len().saturating_sub(usize::from(inner.height));
    let lines: Vec<_> = typed.iter().skip(hidden).map(|line| Line::raw(line.clone())).collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
    let before = wrap(desk.input.before(), usize::from(inner.width).saturating_sub(1));
    let column = columns(before.last().map_or("", String::as_str));
    let row = (before.len() - 1).saturating_sub(hidden);
    let [column, row] = [column, row].map(|at| u16::try_from(at).unwrap_or(0));
    frame.set_cursor_position((inner.x + column, inner.y + row));
}

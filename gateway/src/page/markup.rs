//! HTML made by the gateway: the filled-in template, and messages for browsers without scripts.

use crate::{document::is_open, language::Language, markdown, renderer::Rendered};
use arizuko_proto::v1::{Author, ConversationTurn, ResolveTokenResponse, TurnStatus};
use http::HeaderValue;
use std::{borrow::Cow, fmt::Write as _};

pub(super) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// The names, words and settings with which messages are shown.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    /// The link's name, shown as the name of agents.
    pub(super) name: &'a str,
    pub(super) agent_attached: bool,
    /// What is said to those who wait outside the link's hours.
    pub(super) away: Option<&'a str>,
    pub(super) language: &'static Language,
}

/// Renders the messages as the page's script shows them. `waiting` takes the place of the first
/// replies that are still to come, and of all that follows them.
pub(super) fn messages(
    turns: &[ConversationTurn],
    rendered: &[Vec<Rendered>],
    shown: Shown<'_>,
    waiting: Option<&str>,
) -> String {
    let mut html = String::new();
    let mut before = None;
    for (turn, rendered) in turns.iter().zip(rendered) {
        html.push_str(r#"<div class="turn">"#);
        let is_earlier = !turn.superseded_by.is_empty();
        if is_earlier {
            let summary = shown.language.scripts("earlier_version");
            let _ = write!(html, r#"<details class="trail"><summary>{summary}</summary>"#);
        }
        if let Some(user) = &turn.user {
            before = None;
            let words = markdown::words(&user.content);
            article(&mut html, "user", &user.id, shown.language.scripts("you"), &words);
        }
        if let Some(waiting) = waiting.filter(|_| is_open(turn.status())) {
            let _ = write!(html, "{waiting}</div>");
            break;
        }
        for (message, body) in turn.assistant.iter().zip(rendered) {
            let body: String = body.iter().map(|html| block(html)).collect();
            let (class, author) = match message.author() {
                Author::Person => ("assistant person", &*message.name),
                _ => ("assistant", shown.name),
            };
            // The page names no author twice in a row.
            let by = Some((class, author));
            let class = if before == by { format!("{class} again") } else { class.to_owned() };
            before = by;
            article(&mut html, &class, &message.id, author, &body);
        }
        let (tone, foot) = foot(turn, shown);
        if !foot.is_empty() {
            let foot = escape(foot);
            let _ = write!(
                html,
                r#"<div class="foot" data-tone="{tone}"><span class="foot-text">{foot}</span></div>"#
            );
        }
        html.push_str(if is_earlier { "</details></div>" } else { "</div>" });
    }
    html
}

/// Returns the line above the composer. The page's script shows its own notices there.
pub(super) fn notice(resolved: &ResolveTokenResponse, shown: Shown<'_>) -> String {
    let (kind, text) = match shown.away {
        _ if resolved.paused => ("paused", shown.language.page("paused")),
        Some(away) => ("away", away),
        None => return r#"<div class="notice" id="notice" hidden></div>"#.to_owned(),
    };
    let text = escape(text);
    format!(r#"<div class="notice" id="notice" data-kind="{kind}" dir="auto">{text}</div>"#)
}

/// Returns the tone and the words of the line under a turn, as the page's script does.
fn foot<'a>(turn: &'a ConversationTurn, shown: Shown<'a>) -> (&'static str, &'a str) {
    use TurnStatus::{Cancelled, Done, Dropped, Expired, Failed, Observed, Queued};
    let words = |name| shown.language.scripts(name);
    match (turn.status(), turn.status_text.as_str()) {
        _ if !turn.error.is_empty() => ("bad", &*turn.error),
        (Observed | Dropped, _) => ("received", words("received")),
        (Failed, _) => ("bad", words("failed")),
        (Expired, _) => ("bad", words("expired")),
        (Cancelled, _) => ("", words("cancelled")),
        (Done, _) if turn.assistant.is_empty() => ("", words("silent")),
        (Done, _) => ("", ""),
        (Queued, _) if !shown.agent_attached => ("", shown.away.unwrap_or(words("unattended"))),
        (_, "") => ("", shown.language.page("waiting")),
        (_, text) => ("", text),
    }
}

fn block(html: &str) -> String {
    format!(r#"<div class="block" dir="auto">{html}</div>"#)
}

/// A link to other messages of the conversation: `query` says which, `words` names them.
pub(super) fn more(conversation: &str, query: &str, words: &str) -> String {
    let conversation = escape(conversation);
    format!(r#"<p class="more"><a href="./?conversation={conversation}{query}">{words}</a></p>"#)
}

fn article(html: &mut String, class: &str, id: &str, author: &str, body: &str) {
    let initials = if class.contains("person") {
        format!(r#" data-initials="{}""#, initials(author))
    } else {
        String::new()
    };
    let (id, author) = (escape(id), escape(author));
    let _ = write!(
        html,
        r#"<article class="message {class}" data-id="{id}"><h2 class="author"{initials}>{author}</h2><div class="body" dir="auto">{body}</div></article>"#
    );
}

/// Returns the first letters of a name's first and last word, as the page's script does.
fn initials(name: &str) -> String {
    let letters =
        name.split_whitespace().filter_map(|word| word.chars().find(|c| c.is_alphanumeric()));
    let letters: Vec<char> = letters.collect();
    let ends = letters.first().into_iter().chain(letters.get(1..).and_then(<[char]>::last));
    ends.flat_map(|letter| letter.to_uppercase()).collect()
}

/// Replaces each `{{name}}` with its value, in one pass: values are not searched for names.
pub(super) fn fill<'a>(template: &str, value: impl Fn(&str) -> Cow<'a, str>) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else {
            break;
        };
        filled.push_str(before);
        filled.push_str(&value(name));
        rest = after;
    }
    filled + rest
}

pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return text.into();
    }
    text.chars()
        .fold(String::new(), |mut escaped, character| {
            match character {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                '\'' => escaped.push_str("&#39;"),
                other => escaped.push(other),
            }
            escaped
        })
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initials_are_of_the_first_and_the_last_word() {
        let names =
            [("Ana", "A"), ("ana de souza", "AS"), ("Ben <b>", "BB"), ("李 雷", "李雷"), ("…", "")];
        for (name, expected) in names {
            assert_eq!(initials(name), expected);
        }
    }

    #[test]
    fn a_value_that_looks_like_a_placeholder_stays_as_it_is() {
        let filled = fill("<{{a}}|{{b}}>", |name| match name {
            "a" => "{{b}}".into(),
            _ => "x".into(),
        });
        assert_eq!(filled, "<{{b}}|x>");
    }
}

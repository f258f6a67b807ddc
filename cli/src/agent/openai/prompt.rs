//! Makes the messages of a chat completion from a turn: one from the system, then the visitor's and
//! the agent's in alternation, since many models' templates take no others.

use crate::attach::Turn;
use arizuko_proto::v1::{Author, Header, Message, Observed};
use serde_json::{Value, json};

/// Returns the messages to complete. `instructions` are the operator's.
pub(super) fn messages(instructions: &str, turn: &Turn) -> Vec<Value> {
    let mut chat = Chat::default();
    for message in &turn.history {
        match message.author() {
            Author::User => chat.add("user", &message.content),
            _ => chat.add("assistant", &by(message)),
        }
    }
    for Observed { sender, headers, content, .. } in &turn.observed {
        chat.add("user", &request(sender, headers, content));
    }
    chat.add("user", &request(&turn.sender, &turn.headers, &turn.content));

    let system = system(instructions, turn);
    let system = (!system.is_empty()).then(|| json!({"role": "system", "content": system}));
    let chat = chat.0.into_iter();
    let chat = chat.map(|(role, content)| json!({"role": role, "content": content}));
    system.into_iter().chain(chat).collect()
}

/// Returns the system's message: what the operator says, and who had the turn before. It contains
/// nothing that a visitor or a webhook's caller wrote.
fn system(instructions: &str, turn: &Turn) -> String {
    let mut parts = Vec::new();
    let mut add = |label: &str, text: &str| {
        let text = text.trim();
        if !text.is_empty() {
            parts.push(format!("{label}{text}"));
        }
    };
    add("", instructions);
    add("Your persona: ", &turn.persona);
    add("The topic of this conversation: ", &turn.topic);
    add("About the link that it came by: ", &turn.context);
    if let Some(handed) = &turn.handed {
        let how = match handed.escalated {
            true => "You take this over, since no answer came in time, from ",
            false => "This was handed off to you by ",
        };
        add(how, &handed.folder);
        add("The note that came with it: ", &handed.note);
    }
    let said: Vec<_> = turn.said.iter().map(by).collect();
    add("The last message was answered so far, and it stays said, with:\n", &said.join("\n\n"));
    parts.join("\n\n")
}

/// Returns an answer's text, after the name of the person if one wrote it.
fn by(Message { name, content, .. }: &Message) -> String {
    match name.as_str() {
        "" => content.clone(),
        name => format!("[Written by {name}, a person]\n{content}"),
    }
}

/// Returns a visitor's message, or a webhook's with its headers, which may name the event.
fn request(sender: &str, headers: &[Header], content: &[u8]) -> String {
    let text = match std::str::from_utf8(content) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("[{} bytes that are no text]", content.len()),
    };
    if sender == "visitor" {
        return text;
    }
    let headers = headers.iter().map(|header| {
        let value = String::from_utf8_lossy(&header.value);
        format!("{}: {value}\n", header.name)
    });
    format!("[From {sender}]\n{}\n{text}", headers.collect::<String>())
}

/// The messages so far: role and content.
#[derive(Default)]
struct Chat(Vec<(&'static str, String)>);

impl Chat {
    /// Adds a message, or appends it to the last one if that has the same role.
    fn add(&mut self, role: &'static str, content: &str) {
        match self.0.last_mut() {
            Some((last, text)) if *last == role => *text += &format!("\n\n{content}"),
            _ => self.0.push((role, content.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arizuko_proto::v1::Handed;

    fn message(author: Author, name: &str, content: &str) -> Message {
        Message {
            author: author.into(),
            name: name.into(),
            content: content.into(),
            ..Message::default()
        }
    }

    fn turn(content: &'static str) -> Turn {
        Turn { sender: "visitor".into(), content: content.into(), ..Turn::default() }
    }

    #[test]
    fn a_first_message_is_the_only_one() {
        let only = json!([{"role": "user", "content": "hello"}]);
        assert_eq!(json!(messages(" \n", &turn("hello"))), only);
    }

    #[test]
    fn roles_alternate_and_a_person_is_named() {
        let history = vec![
            message(Author::User, "", "hello"),
            message(Author::User, "", "anybody?"),
            message(Author::Assistant, "", "yes"),
            message(Author::Person, "Ana", "me too"),
        ];
        let turn = Turn {
            history,
            observed: vec![Observed {
                sender: "github".into(),
                headers: vec![Header { name: "x-event".into(), value: "push".into() }],
                content: vec![0xff, 0].into(),
                ..Observed::default()
            }],
            ..turn("good")
        };
        let said = json!([
            {"role": "user", "content": "hello\n\nanybody?"},
            {"role": "assistant", "content": "yes\n\n[Written by Ana, a person]\nme too"},
            {"role": "user",
             "content": "[From github]\nx-event: push\n\n[2 bytes that are no text]\n\ngood"},
        ]);
        assert_eq!(json!(messages("", &turn)), said);
    }

    #[test]
    fn the_system_message_has_the_route_the_link_and_the_handoff() {
        let turn = Turn {
            persona: "concierge".into(),
            topic: "leads".into(),
            context: "the pricing page".into(),
            said: vec![message(Author::Assistant, "", "let me ask")],
            handed: Some(Handed {
                folder: "acme/bot".into(),
                note: "wants money back".into(),
                escalated: false,
            }),
            ..turn("hello")
        };
        let messages = messages("Be brief.\n", &turn);
        assert_eq!(messages.len(), 2);
        assert_eq!(
            messages[0]["content"],
            "Be brief.\n\n\
             Your persona: concierge\n\n\
             The topic of this conversation: leads\n\n\
             About the link that it came by: the pricing page\n\n\
             This was handed off to you by acme/bot\n\n\
             The note that came with it: wants money back\n\n\
             The last message was answered so far, and it stays said, with:\nlet me ask"
        );
    }
}

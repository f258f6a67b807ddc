//! A turn as the messages of a chat: one from the system, and then the visitor's and the agent's by
//! turns, since many models' templates take no others.

use crate::attach::Turn;
use arizuko_proto::v1::{Author, Header, Message, Observed};
use serde_json::{Value, json};

/// The messages to complete. `instructions` are the operator's own.
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
    let said = chat.0.into_iter();
    let said = said.map(|(role, content)| json!({"role": role, "content": content}));
    system.into_iter().chain(said).collect()
}

/// What comes from those who run the agent, and from those who had the turn before it. Nothing
/// that a visitor or a webhook's caller says is in it.
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
            false => "This was handed over to you by ",
        };
        add(how, &handed.folder);
        add("The note that came with it: ", &handed.note);
    }
    let said: Vec<_> = turn.said.iter().map(by).collect();
    add("The last message was answered so far, and it stays said, with:\n", &said.join("\n\n"));
    parts.join("\n\n")
}

/// A message, and whose it is where a person wrote it in the agent's place.
fn by(Message { name, content, .. }: &Message) -> String {
    match name.as_str() {
        "" => content.clone(),
        name => format!("[Written by {name}, a person]\n{content}"),
    }
}

/// A visitor's message, or what a webhook was sent with its headers: they may say what it is about.
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

/// What was said, by turns.
#[derive(Default)]
struct Chat(Vec<(&'static str, String)>);

impl Chat {
    /// Adds a message: as one with what the same side said just before.
    fn add(&mut self, role: &'static str, content: &str) {
        match self.0.last_mut() {
            Some((last, said)) if *last == role => *said += &format!("\n\n{content}"),
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
    fn a_first_message_is_all_there_is_to_say() {
        let only = json!([{"role": "user", "content": "hello"}]);
        assert_eq!(json!(messages(" \n", &turn("hello"))), only);
    }

    #[test]
    fn sides_take_turns_and_a_person_is_named() {
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
    fn the_system_message_has_what_routes_links_and_predecessors_say() {
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
             This was handed over to you by acme/bot\n\n\
             The note that came with it: wants money back\n\n\
             The last message was answered so far, and it stays said, with:\nlet me ask"
        );
    }
}

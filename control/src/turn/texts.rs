//! The texts of turns, which searches look at.

use super::input::Input;
use crate::{frame::Transcript, names, store::sqlite::Texts};

/// The texts that the embedded store has an index of.
pub(crate) const INDEXED: Texts = Texts { endings: &[names::INPUT, names::REPLY], text };

/// Returns the texts of a turn: its own message, and those of its reply.
pub(crate) fn of(input: Option<Input>, reply: Option<Transcript>) -> Vec<String> {
    let messages = reply.map(|reply| reply.messages).unwrap_or_default();
    let messages = messages.into_iter().map(|message| message.content);
    input.map(|input| input.content.into_text()).into_iter().chain(messages).collect()
}

/// Returns the texts of a record in lower case. A record that can't be read has none, and can't be
/// found.
fn text(name: &str, body: &str) -> String {
    let texts = if name.ends_with(names::INPUT) {
        serde_json::from_str(body).map(|input| of(Some(input), None))
    } else {
        serde_json::from_str(body).map(|reply| of(None, Some(reply)))
    };
    texts.unwrap_or_default().join("\n").to_lowercase()
}

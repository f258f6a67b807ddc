//! Earlier messages that a client sends along with a new one.

use crate::{link::ConversationId, problem::Problem};
use serde_json::Value;
use std::fmt::Write as _;

/// How many bytes of earlier messages go with a message that begins a conversation, at most.
const ROOM: usize = 16 * 1024;

/// A message as the client reports it.
pub(super) struct Said {
    pub(super) role: String,
    pub(super) text: String,
}

/// Returns the conversation that the messages' metadata name; if several are named, the newest
/// message with one counts. If none is named, returns `thread` if that is a conversation's id, and
/// otherwise an empty text.
pub(super) fn conversation<'a>(
    metadata: impl DoubleEndedIterator<Item = &'a Value>,
    thread: &str,
) -> String {
    let named = |metadata: &Value| Some(metadata.get("conversation")?.as_str()?.to_owned());
    let of_thread = || ConversationId::parse(thread.to_owned()).map(|ConversationId(id)| id);
    metadata.rev().find_map(named).unwrap_or_else(|| of_thread().unwrap_or_default())
}

/// Returns the text to post: that of the last message, which must be the user's. In a new
/// conversation, the earlier messages go before it; in an existing one, the agent knows them
/// already. `list` names the client's field with the messages, for the error.
pub(super) fn newest(
    mut all: Vec<Said>,
    conversation: &str,
    list: &'static str,
) -> Result<String, Problem> {
    let last = all.pop().filter(|last| last.role == "user");
    let Some(Said { text, .. }) = last else {
        let detail = format!("The last of `{list}` must have the role `user`.");
        return Err(Problem::invalid(detail));
    };
    Ok(if conversation.is_empty() { add_to(text, &all) } else { text })
}

/// Returns the problem of a message that has parts of this type.
pub(super) fn only_text(other: &str) -> Problem {
    Problem::invalid(format!("This link takes only text, not parts of type `{other}`."))
}

/// Adds the newest of the earlier messages to a message that begins a conversation. They become a
/// part of what the visitor says, so a text that the client attributes to the assistant doesn't
/// count as the agent's own.
fn add_to(content: String, earlier: &[Said]) -> String {
    let mut room = ROOM;
    let fits = |said: &&Said| {
        let left = room.checked_sub(said.role.len() + ": ".len() + said.text.len());
        room = left.unwrap_or_default();
        left.is_some()
    };
    let newest = earlier.iter().rev().take_while(fits).count();
    if newest == 0 {
        return content;
    }
    let mut text = String::from("Earlier messages, as my program reports them:\n\n");
    for Said { role, text: said } in &earlier[earlier.len() - newest..] {
        let _ = write!(text, "{role}: {said}\n\n");
    }
    let _ = write!(text, "My message now:\n\n{content}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_messages_that_fit_are_added() {
        let said = |role: &str, text: String| Said { role: role.to_owned(), text };
        let all = [
            said("system", "Be brief.".to_owned()),
            said("user", "x".repeat(ROOM - 30)),
            said("assistant", "I did.".to_owned()),
        ];
        assert_eq!(add_to("And?".to_owned(), &[]), "And?");
        let added = add_to("And?".to_owned(), &all);
        assert!(added.ends_with("\n\nassistant: I did.\n\nMy message now:\n\nAnd?"));
        assert!(added.contains("user: xx") && !added.contains("Be brief."));
        assert!(!add_to("And?".to_owned(), &[said("user", "x".repeat(ROOM))]).contains('x'));
    }
}

//! Earlier messages that a client sends along with a new one.

use std::fmt::Write as _;

/// How many bytes of earlier messages go with a message that begins a conversation, at most.
const ROOM: usize = 16 * 1024;

/// A message as the client tells it.
pub(super) struct Said {
    pub(super) role: String,
    pub(super) text: String,
}

/// Adds the newest of the earlier messages to a message that begins a conversation. They become a
/// part of what the visitor says, so a text that the client attributes to the assistant doesn't
/// count as the agent's own.
pub(super) fn add_to(content: String, earlier: &[Said]) -> String {
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

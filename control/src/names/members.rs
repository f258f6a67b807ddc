//! The types of members of sets, where a member is more than an id. Members are stored as text, and
//! read back from it.

use crate::{
    ids::{ConversationId, EventId, KeyId, SessionId, SubscriptionId, TokenId, TurnId},
    time::Day,
};
use std::fmt;

/// A member of a partition's set of due items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The end of a session's lease.
    Session(SessionId),
    /// The soonest of a turn's timers.
    Turn(TurnId),
    /// A conversation's clean-up.
    Conversation(ConversationId),
    /// A token's expiry, and after the token's end the cancelling of its turns.
    Token(TokenId),
    /// A key's expiry.
    Key(KeyId),
    /// The deletion of a link's counts of a day.
    Day(TokenId, Day),
    /// The deletion of an event that was parked.
    Event(EventId),
    /// The deletion of the events of a subscription that was deleted.
    Subscription(SubscriptionId),
    /// The application of a tenant's changed settings to what is kept already.
    Folder(String),
    /// An item of a newer control, or a broken member.
    Unknown(String),
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(id) => write!(f, "session:{id}"),
            Self::Turn(id) => write!(f, "turn:{id}"),
            Self::Conversation(id) => write!(f, "conversation:{id}"),
            Self::Token(id) => write!(f, "token:{id}"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Day(id, day) => write!(f, "day:{id}:{}", day.number()),
            Self::Event(id) => write!(f, "event:{id}"),
            Self::Subscription(id) => write!(f, "subscription:{id}"),
            Self::Folder(root) => write!(f, "folder:{root}"),
            Self::Unknown(text) => f.write_str(text),
        }
    }
}

impl From<String> for Due {
    fn from(text: String) -> Self {
        let day = |of: &str| {
            let (id, number) = of.split_once(':')?;
            Some(Self::Day(id.to_owned().into(), Day::from_number(number.parse().ok()?)))
        };
        match text.split_once(':') {
            Some(("session", id)) => Self::Session(id.to_owned().into()),
            Some(("turn", id)) => Self::Turn(id.to_owned().into()),
            Some(("conversation", id)) => Self::Conversation(id.to_owned().into()),
            Some(("token", id)) => Self::Token(id.to_owned().into()),
            Some(("key", id)) => Self::Key(id.to_owned().into()),
            Some(("event", id)) => Self::Event(id.to_owned().into()),
            Some(("subscription", id)) => Self::Subscription(id.to_owned().into()),
            Some(("folder", root)) => Self::Folder(root.to_owned()),
            Some(("day", of)) => day(of).unwrap_or(Self::Unknown(text)),
            _ => Self::Unknown(text),
        }
    }
}

/// The id of a token, key or subscription with its folder, so that a listing of one folder reads no
/// records of other folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InFolder {
    /// Empty for keys that are not agents'.
    pub(crate) folder: String,
    pub(crate) id: String,
}

impl fmt::Display for InFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.folder, self.id)
    }
}

impl From<String> for InFolder {
    fn from(text: String) -> Self {
        let (folder, id) = text.split_once(' ').unwrap_or_default();
        Self { folder: folder.to_owned(), id: id.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_due_item_reads_back_as_what_it_was_written() {
        let known = [
            "session:a",
            "turn:b",
            "conversation:c",
            "token:tok_d",
            "key:key_f",
            "day:tok_d:9",
            "event:evt_g",
            "subscription:sub_h",
            "folder:i",
        ];
        let unknown = ["new:e", "odd", "day:tok_d", "day:tok_d:x"];
        for text in known.iter().chain(&unknown) {
            let due = Due::from((*text).to_owned());
            assert_eq!(due.to_string(), *text);
            assert_eq!(matches!(due, Due::Unknown(_)), unknown.contains(text), "{text}");
        }
    }
}

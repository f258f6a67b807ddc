//! Lists what waits, what the person holds, and what is open.

use super::{ClaimedTurn, Work};
use crate::inbox::{board::Holder, screen};
use arizuko_proto::v1::InboxTurn;

impl Work<'_, '_> {
    /// Lists what waits and what is open.
    pub(super) fn listed(&mut self) -> String {
        let mut lines = Vec::new();
        let waiting = self.board.waiting().into_iter();
        let waiting: Vec<_> = waiting.map(|(place, turn)| (place, turn.clone())).collect();
        for (place, turn) in waiting {
            lines.push(self.waits(place, &turn));
        }
        let claimed = self.claimed.values().map(|ClaimedTurn { turn, place, .. }| {
            let (age, text) = (screen::age(turn.created_at), screen::text(&turn.content));
            let (within, preview) = (self.within(*place), screen::preview(&text));
            let line = format!("is yours{within}, {}, {age}: {preview}", turn.jid);
            (turn.conversation.clone(), line)
        });
        let open = self
            .board
            .open()
            .filter(|(_, open)| !self.claimed.contains_key(&open.conversation))
            .filter(|(_, open)| self.board.waiting_in(&open.conversation).is_none())
            .map(|(place, open)| {
                let (within, age) = (self.within(place), screen::age(open.assigned_at));
                let state = match self.colleague(&open.conversation) {
                    None => "open".into(),
                    Some(Holder { name, turn: Some(_) }) => format!("held by {name}"),
                    Some(Holder { name, turn: None }) => format!("open with {name}"),
                };
                let line = format!("{state}{within}, {}, since {age}", open.jid);
                (open.conversation.clone(), line)
            });
        for (conversation, line) in claimed.chain(open).collect::<Vec<_>>() {
            lines.push(format!("{} {line}", self.board.number(&conversation)));
        }
        match lines.is_empty() {
            true => "Nothing waits, and nothing is open.".into(),
            false => lines.join("\n"),
        }
    }

    /// Returns a line about a turn that nobody has claimed.
    pub(super) fn waits(&mut self, place: usize, turn: &InboxTurn) -> String {
        let number = self.board.number(&turn.conversation);
        let (age, preview) = (screen::age(turn.created_at), screen::preview(&turn.preview));
        let who = match turn.identity.as_ref().map(|visitor| [&visitor.name, &visitor.id]) {
            None => String::new(),
            Some([name, id]) => format!(", {}", if name.is_empty() { id } else { name }),
        };
        let whom = self.colleague(&turn.conversation);
        let whom = whom.map(|holder| format!(" for {}", holder.name)).unwrap_or_default();
        format!("{number} waits{whom}{}, {}{who}, {age}: {preview}", self.within(place), turn.jid)
    }
}

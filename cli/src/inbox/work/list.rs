//! Lists what waits, what the person holds, and what is open.

use super::{ClaimedTurn, Work};
use crate::inbox::{
    board::Holder,
    entry::{Entry, State},
    screen,
};
use arizuko_proto::v1::{InboxTurn, VisitorIdentity};

impl Work<'_, '_> {
    /// Lists what waits, from the longest wait to the shortest, and then the rest by number.
    pub(crate) fn entries(&mut self) -> Vec<Entry> {
        let waiting = self.board.waiting().into_iter();
        let waiting: Vec<_> = waiting.map(|(place, turn)| (place, turn.clone())).collect();
        let mut entries: Vec<_> =
            waiting.into_iter().map(|(place, turn)| self.waiting_entry(place, &turn)).collect();
        let claimed = self.claimed.values().map(|ClaimedTurn { turn, place, .. }| Entry {
            number: 0,
            conversation: turn.conversation.clone(),
            place: *place,
            jid: turn.jid.clone(),
            state: State::Yours,
            at: turn.created_at,
            who: who(turn.identity.as_ref()),
            text: screen::preview(&screen::text(&turn.content)),
        });
        let open = self
            .board
            .open()
            .filter(|(_, open)| !self.claimed.contains_key(&open.conversation))
            .filter(|(_, open)| self.board.waiting_in(&open.conversation).is_none())
            .map(|(place, open)| Entry {
                number: 0,
                conversation: open.conversation.clone(),
                place,
                jid: open.jid.clone(),
                state: match self.colleague(&open.conversation) {
                    None => State::Open,
                    Some(Holder { name, turn: Some(_) }) => State::HeldBy(name),
                    Some(Holder { name, turn: None }) => State::OpenWith(name),
                },
                at: open.assigned_at,
                who: String::new(),
                text: String::new(),
            });
        let mut others: Vec<_> = claimed.chain(open).collect();
        for entry in &mut others {
            entry.number = self.board.number(&entry.conversation);
        }
        others.sort_by_key(|entry| entry.number);
        entries.extend(others);
        entries
    }

    /// Lists what waits and what is open, in lines.
    pub(super) fn listed(&mut self) -> String {
        let entries = self.entries();
        match entries.is_empty() {
            true => "Nothing waits, and nothing is open.".into(),
            false => entries.iter().map(|entry| self.line(entry)).collect::<Vec<_>>().join("\n"),
        }
    }

    /// Returns a line about a turn that nobody has claimed.
    pub(super) fn waits(&mut self, place: usize, turn: &InboxTurn) -> String {
        let entry = self.waiting_entry(place, turn);
        self.line(&entry)
    }

    fn waiting_entry(&mut self, place: usize, turn: &InboxTurn) -> Entry {
        let colleague = self.colleague(&turn.conversation);
        Entry {
            number: self.board.number(&turn.conversation),
            conversation: turn.conversation.clone(),
            place,
            jid: turn.jid.clone(),
            state: colleague.map_or(State::Waits, |holder| State::WaitsFor(holder.name)),
            at: turn.created_at,
            who: who(turn.identity.as_ref()),
            text: screen::preview(&turn.preview),
        }
    }

    fn line(&self, entry: &Entry) -> String {
        let Entry { number, place, jid, state, at, who, text, .. } = entry;
        let (within, age) = (self.within(*place), screen::age(*at));
        let who = if who.is_empty() { String::new() } else { format!(", {who}") };
        match state {
            State::Waits | State::WaitsFor(_) | State::Yours => {
                format!("{number} {state}{within}, {jid}{who}, {age}: {text}")
            }
            _ => format!("{number} {state}{within}, {jid}, since {age}"),
        }
    }
}

/// Returns what a visitor is called, or nothing.
fn who(identity: Option<&VisitorIdentity>) -> String {
    let name = |visitor: &VisitorIdentity| match visitor.name.as_str() {
        "" => visitor.id.clone(),
        name => name.to_owned(),
    };
    identity.map(name).unwrap_or_default()
}

//! The turns that wait and the conversations that are open, by number. A conversation keeps its
//! number, so that a command that is being typed keeps its meaning when the list changes.

use arizuko_proto::v1::{Inbox, InboxConversation, InboxTurn, Turn};

/// Control's list of waiting turns and open conversations, with a number for each conversation.
#[derive(Default)]
pub(super) struct Board {
    /// The conversations by number. The first has 1.
    numbers: Vec<String>,
    /// Control's last list; `None` until the first one has come.
    inbox: Option<Inbox>,
}

impl Board {
    /// Takes control's list. Returns the turns that did not wait before.
    pub(super) fn update(&mut self, inbox: Inbox) -> Vec<InboxTurn> {
        for conversation in inbox
            .waiting
            .iter()
            .map(|turn| &turn.conversation)
            .chain(inbox.open.iter().map(|open| &open.conversation))
        {
            if !self.numbers.contains(conversation) {
                self.numbers.push(conversation.clone());
            }
        }
        let waited = |turn: &InboxTurn| {
            let mut before = self.waiting().iter();
            before.any(|before| before.turn_id == turn.turn_id)
        };
        let new = inbox.waiting.iter().filter(|turn| !waited(turn));
        let new = new.cloned().collect();
        self.inbox = Some(inbox);
        new
    }

    /// Says whether control has sent a list.
    pub(super) fn is_known(&self) -> bool {
        self.inbox.is_some()
    }

    /// Returns the turns that nobody has claimed.
    pub(super) fn waiting(&self) -> &[InboxTurn] {
        self.inbox.as_ref().map_or(&[], |inbox| &inbox.waiting)
    }

    /// Returns the conversations that are assigned to the folder.
    pub(super) fn open(&self) -> &[InboxConversation] {
        self.inbox.as_ref().map_or(&[], |inbox| &inbox.open)
    }

    /// Returns the turn that waits in a conversation. There is at most one.
    pub(super) fn waiting_in(&self, conversation: &str) -> Option<&InboxTurn> {
        let mut waiting = self.waiting().iter();
        waiting.find(|turn| turn.conversation == conversation)
    }

    /// Notes that the person has claimed a turn, and with it the conversation, before control's
    /// next list says so.
    pub(super) fn take(&mut self, turn: &Turn) {
        if let Some(inbox) = &mut self.inbox {
            inbox.waiting.retain(|other| other.turn_id != turn.turn_id);
            let mut open = inbox.open.iter();
            if !open.any(|open| open.conversation == turn.conversation) {
                inbox.open.push(InboxConversation {
                    conversation: turn.conversation.clone(),
                    jid: turn.jid.clone(),
                    assigned_at: None,
                });
            }
        }
    }

    /// Notes that the conversation is no longer the folder's, before control's next list says so.
    pub(super) fn give_up(&mut self, conversation: &str) {
        if let Some(inbox) = &mut self.inbox {
            inbox.open.retain(|open| open.conversation != conversation);
        }
    }

    /// Says whether the conversation is assigned to the folder.
    pub(super) fn is_open(&self, conversation: &str) -> bool {
        let mut open = self.open().iter();
        open.any(|open| open.conversation == conversation)
    }

    /// Returns the conversation with this number.
    pub(super) fn conversation(&self, number: usize) -> Option<&str> {
        self.numbers.get(number.checked_sub(1)?).map(String::as_str)
    }

    /// Returns the number of a conversation, which gets one if it has none.
    pub(super) fn number(&mut self, conversation: &str) -> usize {
        let known = self.numbers.iter().position(|known| known == conversation);
        known.unwrap_or_else(|| {
            self.numbers.push(conversation.into());
            self.numbers.len() - 1
        }) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(waiting: &[(&str, &str)], open: &[&str]) -> Inbox {
        let waiting = waiting.iter().map(|(turn, conversation)| InboxTurn {
            turn_id: (*turn).into(),
            conversation: (*conversation).into(),
            ..InboxTurn::default()
        });
        let open = open.iter().map(|conversation| InboxConversation {
            conversation: (*conversation).into(),
            ..InboxConversation::default()
        });
        Inbox { waiting: waiting.collect(), open: open.collect() }
    }

    #[test]
    fn numbers_stay_and_only_new_turns_are_announced() {
        let mut board = Board::default();
        let new = |board: &mut Board, inbox| {
            let new = board.update(inbox).into_iter();
            new.map(|turn| turn.turn_id).collect::<Vec<_>>()
        };
        assert_eq!(new(&mut board, inbox(&[("t1", "a"), ("t2", "b")], &["c"])), ["t1", "t2"]);
        assert_eq!(new(&mut board, inbox(&[("t2", "b"), ("t3", "d")], &["a", "c"])), ["t3"]);
        let conversations = [1, 2, 3, 4].map(|number| board.conversation(number).unwrap());
        assert_eq!(conversations, ["a", "b", "c", "d"]);
        assert_eq!((board.conversation(0), board.conversation(5)), (None, None));
        assert_eq!(board.waiting_in("d").unwrap().turn_id, "t3");
        assert!(board.waiting_in("a").is_none() && board.is_open("a"));
        // A turn that returns to the queue is new again.
        new(&mut board, inbox(&[], &[]));
        assert_eq!(new(&mut board, inbox(&[("t1", "a")], &[])), ["t1"]);
        assert_eq!(board.number("a"), 1);
        let turn = Turn { turn_id: "t1".into(), conversation: "a".into(), ..Turn::default() };
        board.take(&turn);
        assert!(board.is_open("a") && board.waiting().is_empty());
        board.give_up("a");
        assert!(!board.is_open("a"));
    }
}

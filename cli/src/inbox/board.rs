//! What waits and what is open, by numbers that stay: a number is a conversation's from the moment
//! that it is first seen, so that a list that changes changes no meaning of what is being typed.

use arizuko_proto::v1::{Inbox, InboxConversation, InboxTurn, Turn};

/// See the module.
#[derive(Default)]
pub(super) struct Board {
    /// The conversations by number, the first has 1.
    numbers: Vec<String>,
    /// What there is, once control has said so.
    inbox: Option<Inbox>,
}

impl Board {
    /// Takes what control shows. Gives the turns that wait and did not before.
    pub(super) fn show(&mut self, inbox: Inbox) -> Vec<InboxTurn> {
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

    /// Whether control has said what there is.
    pub(super) fn is_known(&self) -> bool {
        self.inbox.is_some()
    }

    /// The turns that nobody has.
    pub(super) fn waiting(&self) -> &[InboxTurn] {
        self.inbox.as_ref().map_or(&[], |inbox| &inbox.waiting)
    }

    /// The folder's conversations.
    pub(super) fn open(&self) -> &[InboxConversation] {
        self.inbox.as_ref().map_or(&[], |inbox| &inbox.open)
    }

    /// The turn that waits in a conversation: there is one at most.
    pub(super) fn waiting_in(&self, conversation: &str) -> Option<&InboxTurn> {
        let mut waiting = self.waiting().iter();
        waiting.find(|turn| turn.conversation == conversation)
    }

    /// This person has the turn now, and the folder its conversation; control will say the same.
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

    /// The conversation is the folder's no more; control will say the same.
    pub(super) fn give_up(&mut self, conversation: &str) {
        if let Some(inbox) = &mut self.inbox {
            inbox.open.retain(|open| open.conversation != conversation);
        }
    }

    /// Whether the conversation is the folder's.
    pub(super) fn is_open(&self, conversation: &str) -> bool {
        let mut open = self.open().iter();
        open.any(|open| open.conversation == conversation)
    }

    /// The conversation of this number.
    pub(super) fn conversation(&self, number: usize) -> Option<&str> {
        self.numbers.get(number.checked_sub(1)?).map(String::as_str)
    }

    /// A conversation's number.
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
    fn numbers_stay_and_only_what_is_new_is_announced() {
        let mut board = Board::default();
        let new = |board: &mut Board, inbox| {
            let new = board.show(inbox).into_iter();
            new.map(|turn| turn.turn_id).collect::<Vec<_>>()
        };
        assert_eq!(new(&mut board, inbox(&[("t1", "a"), ("t2", "b")], &["c"])), ["t1", "t2"]);
        assert_eq!(new(&mut board, inbox(&[("t2", "b"), ("t3", "d")], &["a", "c"])), ["t3"]);
        let conversations = [1, 2, 3, 4].map(|number| board.conversation(number).unwrap());
        assert_eq!(conversations, ["a", "b", "c", "d"]);
        assert_eq!((board.conversation(0), board.conversation(5)), (None, None));
        assert_eq!(board.waiting_in("d").unwrap().turn_id, "t3");
        assert!(board.waiting_in("a").is_none() && board.is_open("a"));
        // What comes back to the queue waits anew.
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

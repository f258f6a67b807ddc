//! The turns that wait and the conversations that are open in all of the person's folders, by
//! number. A conversation keeps its number, so that a command that is being typed keeps its meaning
//! when the list changes.

use arizuko_proto::v1::{Inbox, InboxConversation, InboxTurn, Turn};

/// Control's lists of waiting turns and open conversations, with a number for each conversation. A
/// place is a folder's position in the command line.
pub(super) struct Board {
    /// The conversations by number. The first has 1.
    numbers: Vec<String>,
    /// Control's last list of each place; `None` until the first one has come.
    inboxes: Vec<Option<Inbox>>,
}

impl Board {
    /// Expects a list for each of so many places.
    pub(super) fn new(places: usize) -> Self {
        Self { numbers: Vec::new(), inboxes: vec![None; places] }
    }

    /// Takes control's list of a place. Returns the turns that did not wait there before.
    pub(super) fn update(&mut self, place: usize, inbox: Inbox) -> Vec<InboxTurn> {
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
        let before = self.inboxes[place].replace(inbox.clone()).unwrap_or_default().waiting;
        let waited = |turn: &InboxTurn| before.iter().any(|was| was.turn_id == turn.turn_id);
        inbox.waiting.into_iter().filter(|turn| !waited(turn)).collect()
    }

    /// Says whether control has sent a list for every place.
    pub(super) fn is_known(&self) -> bool {
        self.inboxes.iter().all(Option::is_some)
    }

    /// Returns the turns that nobody has claimed, with their places, from the longest wait to the
    /// shortest.
    pub(super) fn waiting(&self) -> Vec<(usize, &InboxTurn)> {
        let mut waiting: Vec<_> = self.queued().collect();
        let since = |turn: &InboxTurn| turn.created_at.map(|at| (at.seconds, at.nanos));
        waiting.sort_by_key(|(_, turn)| since(turn));
        waiting
    }

    /// Returns the conversations that are assigned to the person's folders, with their places.
    pub(super) fn open(&self) -> impl Iterator<Item = (usize, &InboxConversation)> {
        self.known().flat_map(|(place, inbox)| inbox.open.iter().map(move |open| (place, open)))
    }

    fn queued(&self) -> impl Iterator<Item = (usize, &InboxTurn)> {
        self.known().flat_map(|(place, inbox)| inbox.waiting.iter().map(move |turn| (place, turn)))
    }

    fn known(&self) -> impl Iterator<Item = (usize, &Inbox)> {
        let inboxes = self.inboxes.iter().enumerate();
        inboxes.filter_map(|(place, inbox)| Some((place, inbox.as_ref()?)))
    }

    /// Returns the turn that waits in a conversation, with its place. There is at most one.
    pub(super) fn waiting_in(&self, conversation: &str) -> Option<(usize, &InboxTurn)> {
        self.queued().find(|(_, turn)| turn.conversation == conversation)
    }

    /// Notes that the person has claimed a turn, and with it the conversation, before control's
    /// next list says so.
    pub(super) fn take(&mut self, place: usize, turn: &Turn) {
        if let Some(inbox) = &mut self.inboxes[place] {
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

    /// Notes that the conversation is no longer the person's, before control's next list says so.
    pub(super) fn give_up(&mut self, conversation: &str) {
        for inbox in self.inboxes.iter_mut().flatten() {
            inbox.open.retain(|open| open.conversation != conversation);
        }
    }

    /// Returns the place that the conversation is assigned to.
    pub(super) fn open_in(&self, conversation: &str) -> Option<usize> {
        let mut open = self.open();
        open.find(|(_, open)| open.conversation == conversation).map(|(place, _)| place)
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
        let mut board = Board::new(1);
        let new = |board: &mut Board, inbox| {
            let new = board.update(0, inbox).into_iter();
            new.map(|turn| turn.turn_id).collect::<Vec<_>>()
        };
        assert_eq!(new(&mut board, inbox(&[("t1", "a"), ("t2", "b")], &["c"])), ["t1", "t2"]);
        assert_eq!(new(&mut board, inbox(&[("t2", "b"), ("t3", "d")], &["a", "c"])), ["t3"]);
        let conversations = [1, 2, 3, 4].map(|number| board.conversation(number).unwrap());
        assert_eq!(conversations, ["a", "b", "c", "d"]);
        assert_eq!((board.conversation(0), board.conversation(5)), (None, None));
        assert_eq!(board.waiting_in("d").unwrap().1.turn_id, "t3");
        assert!(board.waiting_in("a").is_none() && board.open_in("a") == Some(0));
        // A turn that returns to the queue is new again.
        new(&mut board, inbox(&[], &[]));
        assert_eq!(new(&mut board, inbox(&[("t1", "a")], &[])), ["t1"]);
        assert_eq!(board.number("a"), 1);
        let turn = Turn { turn_id: "t1".into(), conversation: "a".into(), ..Turn::default() };
        board.take(0, &turn);
        assert!(board.open_in("a") == Some(0) && board.waiting().is_empty());
        board.give_up("a");
        assert_eq!(board.open_in("a"), None);
    }

    #[test]
    fn a_turn_that_moves_to_another_place_is_new_there() {
        let mut board = Board::new(2);
        assert_eq!(board.update(0, inbox(&[("t1", "a")], &["b"])).len(), 1);
        assert!(!board.is_known());
        assert_eq!(board.update(1, inbox(&[], &["c"])).len(), 0);
        assert!(board.is_known());
        board.update(0, inbox(&[], &["b"]));
        assert_eq!(board.update(1, inbox(&[("t1", "a")], &["c"])).len(), 1);
        assert_eq!(board.waiting_in("a").map(|(place, _)| place), Some(1));
        assert_eq!((board.open_in("b"), board.open_in("c")), (Some(0), Some(1)));
        assert_eq!(board.number("a"), 1);
    }
}

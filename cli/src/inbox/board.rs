//! The turns that wait and the conversations that are open in all of the person's folders, by
//! number. A conversation keeps its number, so that a command that is being typed keeps its meaning
//! when the list changes.

use arizuko_proto::{
    public_id,
    v1::{Inbox, InboxConversation, InboxTurn, Turn},
};
use prost_types::Timestamp;
use std::{collections::HashMap, mem};

/// Control's lists of waiting turns and open conversations, with a number for each conversation. A
/// place is a folder's position in the command line.
pub(super) struct Board {
    /// The conversations by number. The first has 1.
    numbers: Vec<String>,
    /// Control's last list of each place; `None` until the first one has come.
    inboxes: Vec<Option<Inbox>>,
    /// The conversations that the person has given up, with their places and the times of their
    /// assignment. Each stays here until control's list no longer has it, since a list may have
    /// been made before the person gave the conversation up.
    given_up: HashMap<(usize, String), Option<Timestamp>>,
}

/// Who has a conversation.
pub(super) struct Holder {
    pub(super) name: String,
    /// The turn that they hold in one of the person's folders.
    pub(super) turn: Option<String>,
}

impl Board {
    /// Returns a board for this many places, whose lists have not come yet.
    pub(super) fn new(places: usize) -> Self {
        Self { numbers: Vec::new(), inboxes: vec![None; places], given_up: HashMap::new() }
    }

    /// Takes control's list of a place. Returns the turns that did not wait there before.
    pub(super) fn update(&mut self, place: usize, mut inbox: Inbox) -> Vec<InboxTurn> {
        let listed = mem::take(&mut inbox.open);
        let is_listed = |id: &String| listed.iter().any(|open| open.conversation == *id);
        self.given_up.retain(|(at, id), _| *at != place || is_listed(id));
        inbox.open = listed.into_iter().filter(|open| !self.is_given_up(place, open)).collect();
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

    /// Whether the person has given up the conversation as it is listed here.
    fn is_given_up(&mut self, place: usize, open: &InboxConversation) -> bool {
        let given_up = self.given_up.get_mut(&(place, open.conversation.clone()));
        // A new assignment has another time.
        given_up.is_some_and(|at| match open.assigned_at {
            Some(listed) => *at.get_or_insert(listed) == listed,
            None => false,
        })
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
    pub(super) fn take(&mut self, place: usize, turn: &Turn, name: &str) {
        if let Some(inbox) = &mut self.inboxes[place] {
            inbox.waiting.retain(|other| other.turn_id != turn.turn_id);
            let is_its = |open: &InboxConversation| open.conversation == turn.conversation;
            let known = inbox.open.iter().position(is_its).map(|at| inbox.open.remove(at));
            inbox.open.push(InboxConversation {
                conversation: turn.conversation.clone(),
                jid: turn.jid.clone(),
                assigned_at: known.and_then(|known| known.assigned_at),
                holder: name.into(),
                held_turn_id: turn.turn_id.clone(),
            });
        }
    }

    /// Returns who has the conversation, if control knows of somebody.
    pub(super) fn holder(&self, conversation: &str) -> Option<Holder> {
        let waiting = self.waiting_in(conversation).map(|(_, turn)| (&turn.holder, ""));
        let mut open = self.open().filter(|(_, open)| open.conversation == conversation);
        let open = open.next().map(|(_, open)| (&open.holder, open.held_turn_id.as_str()));
        let (name, turn) = waiting.or(open)?;
        let turn = (!turn.is_empty()).then(|| turn.to_owned());
        (!name.is_empty()).then(|| Holder { name: name.clone(), turn })
    }

    /// Notes that the conversation is no longer the person's, before control's next list says so.
    pub(super) fn give_up(&mut self, conversation: &str) {
        for (place, inbox) in self.inboxes.iter_mut().enumerate() {
            let Some(inbox) = inbox else { continue };
            let is_its = |open: &mut InboxConversation| open.conversation == conversation;
            for open in inbox.open.extract_if(.., is_its) {
                self.given_up.insert((place, open.conversation), open.assigned_at);
            }
        }
    }

    /// Returns the place that the conversation waits in or is assigned to.
    pub(super) fn place_of(&self, conversation: &str) -> Option<usize> {
        let waiting = self.waiting_in(conversation).map(|(place, _)| place);
        waiting.or_else(|| self.open_in(conversation))
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

    /// Returns the number of the conversation with this public id.
    pub(super) fn number_of_public(&self, id: &str) -> Option<usize> {
        let known = self.numbers.iter().position(|known| public_id::conversation(known) == id);
        known.map(|index| index + 1)
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
        board.take(0, &turn, "Ann");
        assert!(board.open_in("a") == Some(0) && board.waiting().is_empty());
        board.give_up("a");
        assert_eq!(board.open_in("a"), None);
    }

    #[test]
    fn what_was_given_up_stays_away_until_it_is_assigned_again() {
        let at = |seconds| {
            let mut list = inbox(&[], &["a"]);
            list.open[0].assigned_at = Some(Timestamp { seconds, nanos: 0 });
            list
        };
        let mut board = Board::new(1);
        board.update(0, at(1));
        board.give_up("a");
        board.update(0, at(1));
        assert_eq!(board.open_in("a"), None, "the list is older");
        board.update(0, at(2));
        assert_eq!(board.open_in("a"), Some(0));
        board.give_up("a");
        board.update(0, inbox(&[], &[]));
        board.update(0, at(2));
        assert_eq!(board.open_in("a"), Some(0));
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

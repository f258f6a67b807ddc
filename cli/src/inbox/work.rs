//! A person at work: which turns they have, which conversation is open, and what their commands
//! do.

use super::{
    bell::Bell,
    board::{Board, Holder},
    place::{Event, Place},
    replies::Replies,
    screen::Screen,
    thread::Thread,
    typing::Typing,
};
use crate::attach::{Ending, Pen, Turn};
use std::collections::{HashMap, HashSet};
use tokio::sync::mpsc;

mod actions;
mod answer;
mod events;
mod follow;
mod lines;
mod list;
mod open;
mod read;
mod typing;

/// The state of a person's work.
pub(super) struct Work<'a, 'b> {
    /// The person's name, as visitors see it.
    name: String,
    /// The folders whose turns they answer.
    places: Vec<Place>,
    /// The events of each place.
    events: mpsc::UnboundedReceiver<(usize, Event)>,
    screen: Screen<'a, 'b>,
    /// Rings when something arrives; `None` in a pipe, or if it is not wanted.
    pub(super) bell: Option<Bell>,
    /// The canned replies.
    pub(super) replies: Replies,
    board: Board,
    /// The turns that the person has claimed, by conversation.
    claimed: HashMap<String, ClaimedTurn>,
    /// The conversation that answers go to, or that the person watches.
    open: Option<Opened>,
    /// The conversation that a colleague has and that the person was asked about.
    asked: Option<String>,
    /// The conversation that is followed live.
    thread: Option<Thread>,
    /// The answer from control that a command waits for.
    awaited: Awaited,
    /// The places for which control is out of reach. The person was told if there is one.
    out_of_reach: HashSet<usize>,
    typing: Typing,
    /// The lines so far of an answer that continues on the next line.
    draft: String,
    /// Whether a line of the answer is not UTF-8, so that none of it is sent.
    is_garbled: bool,
    /// How many lines were not carried out.
    refused: usize,
}

struct ClaimedTurn {
    turn: Box<Turn>,
    pen: Pen,
    place: usize,
}

#[derive(Clone)]
struct Opened {
    conversation: String,
    /// The place that speaks in it.
    place: usize,
    /// Whether the person only watches, so that no answer goes to it.
    is_watched: bool,
}

/// An answer from control, awaited or received.
#[derive(PartialEq)]
enum Awaited {
    Nothing,
    /// Awaited: the answer to the claim of this turn.
    Claim(String),
    Claimed,
    TooLate,
    /// Awaited: how control ends this turn.
    End(String),
    Ended(Ending),
}

impl<'a, 'b> Work<'a, 'b> {
    pub(super) fn new(
        name: String,
        places: Vec<Place>,
        events: mpsc::UnboundedReceiver<(usize, Event)>,
        screen: Screen<'a, 'b>,
    ) -> Self {
        Self {
            board: Board::new(places.len()),
            name,
            places,
            events,
            screen,
            bell: None,
            replies: Replies::new(),
            claimed: HashMap::new(),
            open: None,
            asked: None,
            thread: None,
            awaited: Awaited::Nothing,
            out_of_reach: HashSet::new(),
            typing: Typing::default(),
            draft: String::new(),
            is_garbled: false,
            refused: 0,
        }
    }

    /// Counts a line that is not carried out, for this reason. Returns the reason.
    fn refuse(&mut self, why: impl Into<String>) -> String {
        self.refused += 1;
        why.into()
    }

    /// Names the person's folders.
    pub(super) fn folders(&self) -> String {
        self.folder_names().join(", ")
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn folder_names(&self) -> Vec<String> {
        self.places.iter().map(|place| place.folder.clone()).collect()
    }

    /// Returns the conversation that is followed live.
    pub(super) fn thread(&self) -> Option<&Thread> {
        self.thread.as_ref()
    }

    /// Returns the turn of the open conversation that the person is to answer.
    pub(super) fn answered_turn(&self) -> Option<&Turn> {
        self.open_turn().map(|claimed| &*claimed.turn)
    }

    /// Shows in the window's title how many turns wait.
    pub(super) fn show_waiting(&mut self) {
        if let Some(bell) = &mut self.bell {
            bell.show_waiting(self.board.waiting().len());
        }
    }

    fn ring(&self, text: &str) {
        if let Some(bell) = &self.bell {
            bell.ring(text);
        }
    }

    /// Returns who else has the conversation.
    fn colleague(&self, conversation: &str) -> Option<Holder> {
        let holder = self.board.holder(conversation)?;
        let is_mine = self.claimed.contains_key(conversation) || holder.name == self.name;
        (!is_mine).then_some(holder)
    }

    /// Names a place, if there are several.
    fn within(&self, place: usize) -> String {
        match self.places.len() {
            1 => String::new(),
            _ => format!(" in {}", self.places[place].folder),
        }
    }

    /// Whether answers go to this conversation.
    fn is_open(&self, conversation: &str) -> bool {
        let open = self.open.as_ref().filter(|open| !open.is_watched);
        open.is_some_and(|open| open.conversation == conversation)
    }

    /// Returns the conversation that answers go to, or says why there is none.
    fn answered(&mut self, none: &str) -> Result<Opened, String> {
        match self.open.clone() {
            Some(open) if open.is_watched => {
                let number = self.board.number(&open.conversation);
                Err(self.refuse(format!("You only watch {number}: /take it to answer.")))
            }
            Some(open) => Ok(open),
            None => Err(self.refuse(none)),
        }
    }

    /// Returns the claimed turn of the open conversation.
    fn open_turn(&self) -> Option<&ClaimedTurn> {
        self.claimed.get(&self.open.as_ref()?.conversation)
    }
}

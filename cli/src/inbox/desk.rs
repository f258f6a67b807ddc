//! A person at work: which turns they have, which conversation is open, and what their commands
//! do.

use super::{
    bell::Bell,
    board::Board,
    keyboard::{Keyboard, Typed},
    place::Place,
    replies::Replies,
    screen::{self, Screen},
    typing::{StatusChange, Typing},
};
use crate::attach::{Ending, Pen, PersonEvent, Turn};
use anyhow::ensure;
use arizuko_proto::v1::{Inbox, InboxTurn};
use std::{
    collections::{HashMap, HashSet},
    future::pending,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

mod actions;

/// The state of a person's work.
pub(super) struct Desk<'a, 'b> {
    /// The person's name, as visitors see it.
    name: String,
    /// The folders whose turns they answer.
    places: Vec<Place>,
    /// The events of each place.
    events: mpsc::UnboundedReceiver<(usize, PersonEvent)>,
    screen: Screen<'a, 'b>,
    /// Rings when something arrives; `None` in a pipe, or if it is not wanted.
    pub(super) bell: Option<Bell>,
    /// The canned replies.
    pub(super) replies: Replies,
    board: Board,
    /// The turns that the person has claimed, by conversation.
    claimed: HashMap<String, ClaimedTurn>,
    /// The conversation that answers go to.
    open: Option<Opened>,
    /// The answer from control that a command waits for.
    awaited: Awaited,
    /// The places for which control is out of reach. The person knows if there is one.
    out_of_reach: HashSet<usize>,
    typing: Typing,
    /// The lines so far of an answer that continues on the next line.
    draft: String,
    /// A line of the answer is not UTF-8, so that none of it is sent.
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

impl<'a, 'b> Desk<'a, 'b> {
    pub(super) fn new(
        name: String,
        places: Vec<Place>,
        events: mpsc::UnboundedReceiver<(usize, PersonEvent)>,
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
            awaited: Awaited::Nothing,
            out_of_reach: HashSet::new(),
            typing: Typing::default(),
            draft: String::new(),
            is_garbled: false,
            refused: 0,
        }
    }

    /// Shows the inbox, then handles events and the person's input until they leave.
    pub(super) async fn work(&mut self, keyboard: &mut Keyboard) -> anyhow::Result<()> {
        self.wait_for(|desk| desk.board.is_known().then_some(())).await?;
        let (folders, name) = (self.folders(), &self.name);
        let greeting = format!("{folders}: visitors know you as {name}. /help lists the commands.");
        self.screen.show(&greeting)?;
        let list = self.listed();
        self.screen.show(&list)?;
        loop {
            keyboard.prompt(self.prompt());
            let line = loop {
                if let Some(bell) = &mut self.bell {
                    bell.show_waiting(self.board.waiting().len());
                }
                let idle_at = self.typing.idle_at();
                tokio::select! {
                    Some((place, event)) = self.events.recv() => self.handle(place, event)?,
                    typed = keyboard.next() => match typed {
                        Typed::Line(line) => break line,
                        Typed::Garbled(line) => {
                            self.is_garbled = true;
                            break line;
                        }
                        Typed::Key { is_answer } => self.key(is_answer).await,
                        Typed::End => return Ok(()),
                    },
                    () = at(idle_at) => self.stop_typing().await,
                }
            };
            if self.obey(&line).await?.is_break() {
                return Ok(());
            }
        }
    }

    /// Shows what becomes of the person's turns and conversations.
    ///
    /// # Errors
    ///
    /// Lines were not carried out, and the input is a pipe, so that nobody may have read why.
    pub(super) fn leave(&mut self) -> anyhow::Result<()> {
        if !self.draft.is_empty() {
            let told = self.refuse("Not sent: the input ended in the middle of an answer.");
            self.screen.show(&told)?;
        }
        let turns = match self.claimed.len() {
            0 => String::new(),
            1 => "1 turn goes back to the queue.\n".into(),
            count => format!("{count} turns go back to the queue.\n"),
        };
        let kept = self.places.iter().enumerate().map(|(place, Place { folder, .. })| {
            match self.board.open().filter(|(other, _)| *other == place).count() {
                0 => String::new(),
                1 => format!("1 conversation stays with {folder}.\n"),
                count => format!("{count} conversations stay with {folder}.\n"),
            }
        });
        let conversations: String = kept.collect();
        self.screen.show(&(turns + &conversations))?;
        let refused = match self.refused {
            1 => "1 line was".into(),
            count => format!("{count} lines were"),
        };
        let is_told = self.refused == 0 || matches!(self.screen, Screen::Terminal(_));
        ensure!(is_told, "{refused} not carried out: standard output says why");
        Ok(())
    }

    /// Counts a line that is not carried out, for this reason. Returns the reason.
    fn refuse(&mut self, why: impl Into<String>) -> String {
        self.refused += 1;
        why.into()
    }

    /// Names the person's folders.
    pub(super) fn folders(&self) -> String {
        let folders: Vec<_> = self.places.iter().map(|place| place.folder.as_str()).collect();
        folders.join(", ")
    }

    fn ring(&self, text: &str) {
        if let Some(bell) = &self.bell {
            bell.ring(text);
        }
    }

    fn prompt(&mut self) -> String {
        match &self.open {
            _ if !self.draft.is_empty() => "... ".into(),
            Some(open) => format!("{}> ", self.board.number(&open.conversation)),
            None => "inbox> ".into(),
        }
    }

    /// Handles events until `of` returns a value. If the session ends first, this waits for ever,
    /// and `inbox::run` reports the end.
    async fn wait_for<T>(&mut self, of: impl Fn(&mut Self) -> Option<T>) -> anyhow::Result<T> {
        loop {
            if let Some(found) = of(self) {
                return Ok(found);
            }
            match self.events.recv().await {
                Some((place, event)) => self.handle(place, event)?,
                None => pending().await,
            }
        }
    }

    fn handle(&mut self, place: usize, event: PersonEvent) -> anyhow::Result<()> {
        match event {
            PersonEvent::Attached => {
                let was_out = self.out_of_reach.remove(&place);
                match was_out && self.out_of_reach.is_empty() {
                    true => self.screen.show("(control answers again)"),
                    false => Ok(()),
                }
            }
            PersonEvent::Outage(problem) => {
                let is_first = self.out_of_reach.is_empty();
                self.out_of_reach.insert(place);
                match is_first {
                    true => self.screen.show(&format!("({problem}; trying until it answers)")),
                    false => Ok(()),
                }
            }
            PersonEvent::Inbox(inbox) => self.announce(place, inbox),
            PersonEvent::Turn(turn, pen) => self.receive(ClaimedTurn { turn, pen, place }),
            PersonEvent::TooLate(turn) => {
                if self.awaited == Awaited::Claim(turn) {
                    self.awaited = Awaited::TooLate;
                }
                Ok(())
            }
            PersonEvent::Ended(turn, ending) => self.end(&turn, ending),
        }
    }

    /// Announces new turns, unless the first lists are still to be shown, and claims those of the
    /// open conversation.
    fn announce(&mut self, place: usize, inbox: Inbox) -> anyhow::Result<()> {
        let first = !self.board.is_known();
        let mut lines = Vec::new();
        for new in self.board.update(place, inbox) {
            if self.is_open(&new.conversation) {
                self.places[place].session.claim(&new.turn_id);
            } else if !first {
                lines.push(self.waits(place, &new));
            }
        }
        // Several that arrive at once ring once.
        match lines.as_slice() {
            [] => {}
            [line] => self.ring(line),
            [line, others @ ..] => self.ring(&format!("{line} (and {} more)", others.len())),
        }
        self.screen.show(&lines.join("\n"))
    }

    /// Returns a line about a turn that nobody has claimed.
    fn waits(&mut self, place: usize, turn: &InboxTurn) -> String {
        let number = self.board.number(&turn.conversation);
        let (age, preview) = (screen::age(turn.created_at), screen::preview(&turn.preview));
        let who = match turn.identity.as_ref().map(|visitor| [&visitor.name, &visitor.id]) {
            None => String::new(),
            Some([name, id]) => format!(", {}", if name.is_empty() { id } else { name }),
        };
        format!("{number} waits{}, {}{who}, {age}: {preview}", self.within(place), turn.jid)
    }

    /// Names a place, if there are several.
    fn within(&self, place: usize) -> String {
        match self.places.len() {
            1 => String::new(),
            _ => format!(" in {}", self.places[place].folder),
        }
    }

    fn is_open(&self, conversation: &str) -> bool {
        self.open.as_ref().is_some_and(|open| open.conversation == conversation)
    }

    /// Takes a turn that the person has claimed.
    fn receive(&mut self, claimed: ClaimedTurn) -> anyhow::Result<()> {
        let ClaimedTurn { turn, place, .. } = &claimed;
        let (conversation, turn_id) = (turn.conversation.clone(), turn.turn_id.clone());
        let (news, place) = (screen::news(turn), *place);
        let number = self.board.number(&conversation);
        self.board.take(place, turn);
        self.claimed.insert(conversation.clone(), claimed);
        if self.awaited == Awaited::Claim(turn_id) {
            self.awaited = Awaited::Claimed;
            Ok(())
        } else if self.is_open(&conversation) {
            self.open = Some(Opened { conversation, place });
            self.ring(&format!("{number}: {}", screen::preview(&news)));
            self.screen.show(&news)
        } else {
            self.screen.show(&format!("{number} is yours: /open {number}"))
        }
    }

    /// Notes that control has ended a turn.
    fn end(&mut self, turn: &str, ending: Ending) -> anyhow::Result<()> {
        if self.awaited == Awaited::End(turn.into()) {
            self.awaited = Awaited::Ended(ending);
            return Ok(());
        }
        let mut claimed = self.claimed.iter();
        let claimed = claimed.find(|(_, claimed)| claimed.turn.turn_id == turn);
        let Some(conversation) = claimed.map(|(conversation, _)| conversation.clone()) else {
            return Ok(());
        };
        self.claimed.remove(&conversation);
        let number = self.board.number(&conversation);
        self.screen.show(&format!("{number} no longer needs an answer: {}", why(&ending)))
    }

    async fn key(&mut self, is_answer: bool) {
        if self.open_turn().is_some() {
            let change = self.typing.key(is_answer, Instant::now());
            self.show_typing(change).await;
        }
    }

    async fn stop_typing(&mut self) {
        let change = self.typing.stop();
        self.show_typing(change).await;
    }

    async fn show_typing(&mut self, change: Option<StatusChange>) {
        let status = match change {
            Some(StatusChange::Typing) => format!("{} is typing…", self.name),
            Some(StatusChange::Nothing) => String::new(),
            None => return,
        };
        if let Some(claimed) = self.open_turn() {
            // An error says that the turn has just ended.
            let _ = claimed.pen.reply.status(status).await;
        }
    }

    /// Returns the claimed turn of the open conversation.
    fn open_turn(&self) -> Option<&ClaimedTurn> {
        self.claimed.get(&self.open.as_ref()?.conversation)
    }
}

/// Says how a turn ended.
fn why(ending: &Ending) -> String {
    match ending {
        Ending::Finished => "it is answered".into(),
        Ending::Cancelled => {
            "the visitor cancelled it, its link ended, its time is up, or the reply grew too long"
                .into()
        }
        Ending::Lost(why) => why.clone(),
        Ending::Unattended(folder) => format!("{folder} has it, where nobody is attached"),
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

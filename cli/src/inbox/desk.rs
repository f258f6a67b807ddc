//! A person at work: which turns they have, which conversation is open, and what their commands
//! do.

use super::{
    board::Board,
    keyboard::{Keyboard, Typed},
    screen::{self, Screen},
    typing::{StatusChange, Typing},
};
use crate::attach::{Ending, Pen, PersonEvent, Session, Turn, speech::Speaker};
use anyhow::ensure;
use arizuko_proto::v1::{Inbox, InboxTurn};
use std::{collections::HashMap, future::pending, sync::Arc};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

mod actions;

/// The person who uses the inbox.
pub(super) struct Person {
    /// The folder whose turns they answer.
    pub(super) folder: String,
    /// The name that visitors see.
    pub(super) name: String,
}

/// The state of a person's work.
pub(super) struct Desk<'a, 'b> {
    person: Person,
    session: Arc<Session>,
    speaker: Speaker,
    events: mpsc::UnboundedReceiver<PersonEvent>,
    screen: Screen<'a, 'b>,
    board: Board,
    /// The turns that the person has claimed, by conversation.
    claimed: HashMap<String, ClaimedTurn>,
    /// The conversation that answers go to.
    open: Option<String>,
    /// The answer from control that a command waits for.
    awaited: Awaited,
    /// Control is out of reach, and the person knows.
    is_outage_shown: bool,
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
        person: Person,
        session: Arc<Session>,
        speaker: Speaker,
        events: mpsc::UnboundedReceiver<PersonEvent>,
        screen: Screen<'a, 'b>,
    ) -> Self {
        Self {
            person,
            session,
            speaker,
            events,
            screen,
            board: Board::default(),
            claimed: HashMap::new(),
            open: None,
            awaited: Awaited::Nothing,
            is_outage_shown: false,
            typing: Typing::default(),
            draft: String::new(),
            is_garbled: false,
            refused: 0,
        }
    }

    /// Shows the inbox, then handles events and the person's input until they leave.
    pub(super) async fn work(&mut self, keyboard: &mut Keyboard) -> anyhow::Result<()> {
        self.wait_for(|desk| desk.board.is_known().then_some(())).await?;
        let Person { folder, name } = &self.person;
        let greeting = format!("{folder}: visitors know you as {name}. /help lists the commands.");
        self.screen.show(&greeting)?;
        let list = self.listed();
        self.screen.show(&list)?;
        loop {
            keyboard.prompt(self.prompt());
            let line = loop {
                let idle_at = self.typing.idle_at();
                tokio::select! {
                    Some(event) = self.events.recv() => self.handle(event)?,
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
    /// In a pipe, where nobody may have read why: lines were not carried out.
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
        let folder = &self.person.folder;
        let conversations = match self.board.open().len() {
            0 => String::new(),
            1 => format!("1 conversation stays with {folder}.\n"),
            count => format!("{count} conversations stay with {folder}.\n"),
        };
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

    fn prompt(&mut self) -> String {
        match &self.open {
            _ if !self.draft.is_empty() => "... ".into(),
            Some(open) => format!("{}> ", self.board.number(open)),
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
                Some(event) => self.handle(event)?,
                None => pending().await,
            }
        }
    }

    fn handle(&mut self, event: PersonEvent) -> anyhow::Result<()> {
        match event {
            PersonEvent::Attached if self.is_outage_shown => {
                self.is_outage_shown = false;
                self.screen.show("(control answers again)")
            }
            PersonEvent::Attached => Ok(()),
            PersonEvent::Outage(problem) => {
                self.is_outage_shown = true;
                self.screen.show(&format!("({problem}; trying until it answers)"))
            }
            PersonEvent::Inbox(inbox) => self.announce(inbox),
            PersonEvent::Turn(turn, pen) => self.receive(turn, pen),
            PersonEvent::TooLate(turn) => {
                if self.awaited == Awaited::Claim(turn) {
                    self.awaited = Awaited::TooLate;
                }
                Ok(())
            }
            PersonEvent::Ended(turn, ending) => self.end(&turn, ending),
        }
    }

    /// Announces new turns, unless this is the first list, and claims those of the open
    /// conversation.
    fn announce(&mut self, inbox: Inbox) -> anyhow::Result<()> {
        let first = !self.board.is_known();
        for new in self.board.update(inbox) {
            if self.open.as_ref() == Some(&new.conversation) {
                self.session.claim(&new.turn_id);
            } else if !first {
                let line = self.waits(&new);
                self.screen.show(&line)?;
            }
        }
        Ok(())
    }

    /// Returns a line about a turn that nobody has claimed.
    fn waits(&mut self, turn: &InboxTurn) -> String {
        let number = self.board.number(&turn.conversation);
        let (age, preview) = (screen::age(turn.created_at), screen::preview(&turn.preview));
        let who = match turn.identity.as_ref().map(|visitor| [&visitor.name, &visitor.id]) {
            None => String::new(),
            Some([name, id]) => format!(", {}", if name.is_empty() { id } else { name }),
        };
        format!("{number} waits, {}{who}, {age}: {preview}", turn.jid)
    }

    /// Takes a turn that the person has claimed.
    fn receive(&mut self, turn: Box<Turn>, pen: Pen) -> anyhow::Result<()> {
        let conversation = turn.conversation.clone();
        let number = self.board.number(&conversation);
        let news = screen::news(&turn);
        let turn_id = turn.turn_id.clone();
        self.board.take(&turn);
        self.claimed.insert(conversation.clone(), ClaimedTurn { turn, pen });
        if self.awaited == Awaited::Claim(turn_id) {
            self.awaited = Awaited::Claimed;
            Ok(())
        } else if self.open == Some(conversation) {
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
            Some(StatusChange::Typing) => format!("{} is typing…", self.person.name),
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
        self.claimed.get(self.open.as_ref()?)
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

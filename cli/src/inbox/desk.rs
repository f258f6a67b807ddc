//! A person at work: what they hold, what is open before them, and what becomes of what they type.

use super::{
    board::Board,
    keyboard::{Keyboard, Typed},
    screen::{self, Screen},
    typing::{Show, Typing},
};
use crate::attach::{
    Ending, Session, Turn,
    person::{Pen, Told},
    speech::Speaker,
};
use arizuko_proto::v1::{Inbox, InboxTurn};
use std::{collections::HashMap, future::pending, sync::Arc};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

mod actions;

use actions::Next;

/// See the module.
pub(super) struct Desk<'a, 'b> {
    folder: String,
    name: String,
    session: Arc<Session>,
    speaker: Speaker,
    told: mpsc::UnboundedReceiver<Told>,
    screen: Screen<'a, 'b>,
    board: Board,
    /// The turns that this person has, by their conversations.
    held: HashMap<String, Held>,
    /// The conversation that answers go to.
    open: Option<String>,
    /// What was asked for and not answered yet.
    awaited: Awaited,
    /// Control is out of reach, and that was told.
    is_away: bool,
    typing: Typing,
    /// The lines of an answer that goes on.
    draft: String,
}

struct Held {
    turn: Box<Turn>,
    pen: Pen,
}

/// An answer of control's that a command waits for.
#[derive(PartialEq)]
enum Awaited {
    Nothing,
    /// To the claim of this turn.
    Claim(String),
    Claimed,
    TooLate,
    /// To the end of this turn.
    End(String),
    Ended(Ending),
}

impl<'a, 'b> Desk<'a, 'b> {
    pub(super) fn new(
        (folder, name): (String, String),
        (session, speaker): (Arc<Session>, Speaker),
        told: mpsc::UnboundedReceiver<Told>,
        screen: Screen<'a, 'b>,
    ) -> Self {
        Self {
            folder,
            name,
            session,
            speaker,
            told,
            screen,
            board: Board::default(),
            held: HashMap::new(),
            open: None,
            awaited: Awaited::Nothing,
            is_away: false,
            typing: Typing::default(),
            draft: String::new(),
        }
    }

    /// Works until the person leaves.
    pub(super) async fn work(&mut self, keyboard: &mut Keyboard) -> anyhow::Result<()> {
        self.hear_until(|desk| desk.board.is_known().then_some(())).await?;
        let (folder, name) = (&self.folder, &self.name);
        let greeting = format!("{folder}: visitors know you as {name}. /help says what to type.");
        self.screen.show(&greeting)?;
        let list = self.listed();
        self.screen.show(&list)?;
        loop {
            keyboard.prompt(self.prompt());
            let line = loop {
                let idle_at = self.typing.idle_at();
                tokio::select! {
                    Some(told) = self.told.recv() => self.hear(told)?,
                    typed = keyboard.next() => match typed {
                        Typed::Line(line) => break line,
                        Typed::Key { is_answer } => self.key(is_answer).await,
                        Typed::End => return Ok(()),
                    },
                    () = at(idle_at) => self.stop_typing().await,
                }
            };
            if self.obey(&line).await? == Next::Leave {
                return Ok(());
            }
        }
    }

    /// Says what is left behind.
    pub(super) fn leave(&mut self) -> anyhow::Result<()> {
        let turns = match self.held.len() {
            0 => String::new(),
            1 => "1 turn goes back to the queue.\n".into(),
            held => format!("{held} turns go back to the queue.\n"),
        };
        let folder = &self.folder;
        let conversations = match self.board.open().len() {
            0 => String::new(),
            1 => format!("1 conversation stays with {folder}.\n"),
            open => format!("{open} conversations stay with {folder}.\n"),
        };
        self.screen.show(&(turns + &conversations))
    }

    fn prompt(&mut self) -> String {
        match &self.open {
            _ if !self.draft.is_empty() => "... ".into(),
            Some(open) => format!("{}> ", self.board.number(open)),
            None => "inbox> ".into(),
        }
    }

    /// Listens until there is what is asked for. When the session is over it never comes: that is
    /// told elsewhere.
    async fn hear_until<T>(&mut self, of: impl Fn(&mut Self) -> Option<T>) -> anyhow::Result<T> {
        loop {
            if let Some(found) = of(self) {
                return Ok(found);
            }
            match self.told.recv().await {
                Some(told) => self.hear(told)?,
                None => pending().await,
            }
        }
    }

    fn hear(&mut self, told: Told) -> anyhow::Result<()> {
        match told {
            Told::Attached if self.is_away => {
                self.is_away = false;
                self.screen.show("(control answers again)")
            }
            Told::Attached => Ok(()),
            Told::Outage(problem) => {
                self.is_away = true;
                self.screen.show(&format!("({problem}; trying until it answers)"))
            }
            Told::Inbox(inbox) => self.look(inbox),
            Told::Turn(turn, pen) => self.take(turn, pen),
            Told::TooLate(turn) => {
                if self.awaited == Awaited::Claim(turn) {
                    self.awaited = Awaited::TooLate;
                }
                Ok(())
            }
            Told::Ended(turn, ending) => self.end(&turn, ending),
        }
    }

    /// Announces what is new; what belongs to the open conversation is taken up by itself.
    fn look(&mut self, inbox: Inbox) -> anyhow::Result<()> {
        let first = !self.board.is_known();
        for new in self.board.show(inbox) {
            if self.open.as_ref() == Some(&new.conversation) {
                self.session.claim(&new.turn_id);
            } else if !first {
                let line = self.waits(&new);
                self.screen.show(&line)?;
            }
        }
        Ok(())
    }

    /// One line on a turn that nobody has.
    fn waits(&mut self, turn: &InboxTurn) -> String {
        let number = self.board.number(&turn.conversation);
        let (age, preview) = (screen::age(turn.created_at), screen::preview(&turn.preview));
        format!("{number} waits, {}, {age}: {preview}", turn.jid)
    }

    fn take(&mut self, turn: Box<Turn>, pen: Pen) -> anyhow::Result<()> {
        let conversation = turn.conversation.clone();
        let number = self.board.number(&conversation);
        let news = screen::news(&turn);
        let turn_id = turn.turn_id.clone();
        self.board.take(&turn);
        self.held.insert(conversation.clone(), Held { turn, pen });
        if self.awaited == Awaited::Claim(turn_id) {
            self.awaited = Awaited::Claimed;
            Ok(())
        } else if self.open == Some(conversation) {
            self.screen.show(&news)
        } else {
            self.screen.show(&format!("{number} is yours: /open {number}"))
        }
    }

    fn end(&mut self, turn: &str, ending: Ending) -> anyhow::Result<()> {
        if self.awaited == Awaited::End(turn.into()) {
            self.awaited = Awaited::Ended(ending);
            return Ok(());
        }
        let mut held = self.held.iter();
        let held = held.find(|(_, held)| held.turn.turn_id == turn);
        let Some(conversation) = held.map(|(conversation, _)| conversation.clone()) else {
            return Ok(());
        };
        self.held.remove(&conversation);
        let number = self.board.number(&conversation);
        self.screen.show(&format!("{number} needs no answer any more: {}", why(&ending)))
    }

    async fn key(&mut self, is_answer: bool) {
        if self.open_turn().is_some() {
            let show = self.typing.key(is_answer, Instant::now());
            self.show_typing(show).await;
        }
    }

    async fn stop_typing(&mut self) {
        let show = self.typing.stop();
        self.show_typing(show).await;
    }

    async fn show_typing(&mut self, show: Option<Show>) {
        let status = match show {
            Some(Show::Writing) => format!("{} is typing…", self.name),
            Some(Show::Nothing) => String::new(),
            None => return,
        };
        if let Some(held) = self.open_turn() {
            // A turn that has just ended shows nothing.
            let _ = held.pen.reply.status(status).await;
        }
    }

    /// The turn that an answer is for.
    fn open_turn(&self) -> Option<&Held> {
        self.held.get(self.open.as_ref()?)
    }
}

/// How a turn ended, for people.
fn why(ending: &Ending) -> String {
    match ending {
        Ending::Finished => "it is answered".into(),
        Ending::Cancelled => {
            "the visitor stopped it, its link was revoked, or its time is up".into()
        }
        Ending::Lost(why) => why.clone(),
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

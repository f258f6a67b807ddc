//! What commands and answers do.

use super::{Awaited, Desk, Held, why};
use crate::{
    attach::{
        Ending, check_handoff,
        speech::{messages, new_key},
    },
    inbox::{
        command::{self, Command, HELP},
        screen,
        typing::Show,
    },
};
use arizuko_proto::v1::Handoff;
use std::mem;
use tokio::time::Instant;

/// How much of a conversation is shown when it is opened without a turn.
const HISTORY: u32 = 50;
/// How long a note may be, in characters.
const MAX_NOTE: usize = 4_000;

/// What comes after a line.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    Stay,
    Leave,
}

impl Desk<'_, '_> {
    /// Does what a line says.
    pub(super) async fn obey(&mut self, line: &str) -> anyhow::Result<Next> {
        let is_answer = !self.draft.is_empty() || command::is_answer(line);
        if let Some(line) = line.strip_suffix('\\').filter(|_| is_answer) {
            self.draft += line;
            self.draft.push('\n');
            return Ok(Next::Stay);
        }
        let line = mem::take(&mut self.draft) + line;
        let answer = match command::read(&line) {
            Ok(None) => return Ok(Next::Stay),
            Ok(Some(Command::Quit)) => return Ok(Next::Leave),
            Ok(Some(Command::List)) => self.listed(),
            Ok(Some(Command::Help)) => HELP.into(),
            Ok(Some(Command::Open(number))) => self.open(number).await?,
            Ok(Some(Command::Say(text))) => self.say(&text).await?,
            Ok(Some(Command::Typing)) => self.write_visibly().await,
            Ok(Some(Command::To { folder, note })) => self.hand_over(&folder, &note).await?,
            Ok(Some(Command::Close)) => self.close().await?,
            Err(wrong) => wrong,
        };
        self.screen.show(&answer)?;
        Ok(Next::Stay)
    }

    /// Everything that there is to do.
    pub(super) fn listed(&mut self) -> String {
        let mut lines = Vec::new();
        for turn in self.board.waiting().to_vec() {
            lines.push(self.waits(&turn));
        }
        let held = self.held.values().map(|Held { turn, .. }| {
            let (age, text) = (screen::age(turn.created_at), screen::text(&turn.content));
            let line = format!("is yours, {}, {age}: {}", turn.jid, screen::preview(&text));
            (turn.conversation.clone(), line)
        });
        let open = self.board.open().iter();
        let open = open
            .filter(|open| !self.held.contains_key(&open.conversation))
            .filter(|open| self.board.waiting_in(&open.conversation).is_none())
            .map(|open| {
                let line = format!("open, {}, since {}", open.jid, screen::age(open.assigned_at));
                (open.conversation.clone(), line)
            });
        for (conversation, line) in held.chain(open).collect::<Vec<_>>() {
            lines.push(format!("{} {line}", self.board.number(&conversation)));
        }
        match lines.is_empty() {
            true => "Nothing waits, and nothing is open.".into(),
            false => lines.join("\n"),
        }
    }

    /// Takes up the turn that waits in a conversation, or goes back to the conversation.
    async fn open(&mut self, number: usize) -> anyhow::Result<String> {
        let Some(conversation) = self.board.conversation(number).map(String::from) else {
            return Ok(format!("There is no {number}: /list shows the numbers."));
        };
        self.stop_typing().await;
        let waiting = self.board.waiting_in(&conversation);
        if let Some(turn) = waiting.map(|turn| turn.turn_id.clone()) {
            self.awaited = Awaited::Claim(turn.clone());
            self.session.claim(&turn);
            let claimed = self.hear_until(|desk| match desk.awaited {
                Awaited::Claimed => Some(true),
                Awaited::TooLate => Some(false),
                _ => None,
            });
            if !claimed.await? {
                return Ok(format!("Somebody else was faster: {number} waits no more."));
            }
        }
        let shown = match self.held.get(&conversation) {
            Some(held) => screen::turn(number, &held.turn),
            None if self.board.is_open(&conversation) => {
                match self.speaker.read(&conversation, HISTORY).await {
                    Ok(messages) => screen::history(&messages),
                    Err(problem) => return Ok(format!("Cannot open it: {problem:#}")),
                }
            }
            None => return Ok(format!("{number} is with somebody else by now.")),
        };
        self.open = Some(conversation);
        Ok(shown)
    }

    /// Answers the open turn, or speaks first where there is none.
    async fn say(&mut self, text: &str) -> anyhow::Result<String> {
        let Some(conversation) = self.open.clone() else {
            return Ok("Nothing is open: /list shows what waits, /open N takes it up.".into());
        };
        if let Some(held) = self.held.remove(&conversation) {
            // The answer ends it.
            self.typing.stop();
            for message in messages(text) {
                // What a turn that is over does not take is told by its end.
                let _ = held.pen.reply.message(message).await;
            }
            return Ok(match self.end_of(held).await? {
                Ending::Finished => "Sent.".into(),
                ending => format!("Not sent: {}.", why(&ending)),
            });
        }
        for message in messages(text) {
            let key = new_key()?;
            let said = self.speaker.say(&conversation, message, &self.name, &key);
            if let Err(problem) = said.await {
                return Ok(format!("Not sent: {problem:#}"));
            }
        }
        Ok("Sent, as a message of its own.".into())
    }

    async fn write_visibly(&mut self) -> String {
        if self.open_turn().is_none() {
            return "No visitor waits here who could see that.".into();
        }
        let show = self.typing.key(true, Instant::now());
        self.show_typing(show.or(Some(Show::Writing))).await;
        "The visitor sees that you are writing.".into()
    }

    /// Hands the open conversation, and the turn if there is one, to another folder.
    async fn hand_over(&mut self, to: &str, note: &str) -> anyhow::Result<String> {
        let Some(conversation) = self.open.clone() else {
            return Ok("Nothing is open that could be handed over.".into());
        };
        let note: String = note.chars().take(MAX_NOTE).collect();
        let whose = match to {
            "" => "the agent's",
            to => match check_handoff(&self.folder, to) {
                Ok(()) => to,
                Err(wrong) => return Ok(format!("Not handed over: {wrong}.")),
            },
        };
        self.stop_typing().await;
        if let Some(held) = self.held.remove(&conversation) {
            let handoff = Handoff { folder: to.into(), note, conversation: true };
            // As with an answer, its end tells.
            let _ = held.pen.reply.hand_off(handoff).await;
            let ending = self.end_of(held).await?;
            if ending == Ending::Cancelled {
                return Ok(format!("Not handed over: {}.", why(&ending)));
            }
        } else if let Err(problem) = self.speaker.assign(&conversation, to, &note).await {
            return Ok(format!("Not handed over: {problem:#}"));
        }
        let number = self.give_up(&conversation);
        Ok(format!("{number} is {whose} now."))
    }

    /// Gives the open conversation up, and ends the turn if there is one.
    async fn close(&mut self) -> anyhow::Result<String> {
        let Some(conversation) = self.open.clone() else {
            return Ok("Nothing is open that could be closed.".into());
        };
        self.stop_typing().await;
        if let Err(problem) = self.speaker.assign(&conversation, "", "").await {
            return Ok(format!("Not closed: {problem:#}"));
        }
        if let Some(held) = self.held.remove(&conversation) {
            self.end_of(held).await?;
        }
        let number = self.give_up(&conversation);
        Ok(format!("{number} is closed."))
    }

    /// The open conversation is no longer the folder's. Gives its number.
    fn give_up(&mut self, conversation: &str) -> usize {
        self.open = None;
        self.board.give_up(conversation);
        self.board.number(conversation)
    }

    /// Ends a turn, and waits until control is done with it.
    async fn end_of(&mut self, Held { turn, pen }: Held) -> anyhow::Result<Ending> {
        self.awaited = Awaited::End(turn.turn_id);
        pen.put_down();
        let ended = self.hear_until(|desk| match &desk.awaited {
            Awaited::Ended(ending) => Some(ending.clone()),
            _ => None,
        });
        ended.await
    }
}

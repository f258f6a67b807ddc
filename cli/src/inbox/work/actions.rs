//! Carries out commands and sends answers.

use super::{Awaited, ClaimedTurn, Opened, Work, events::why};
use crate::{
    attach::{
        Ending,
        speech::{messages, new_key},
    },
    folder::check_handoff,
    inbox::{
        command::{self, Command, HELP},
        screen,
        typing::StatusChange,
    },
};
use arizuko_proto::v1::{Handoff, SendMessageRequest};
use std::{mem, ops::ControlFlow};
use tokio::time::Instant;

/// How many messages of a conversation are shown, at most, if it is opened without a turn.
const HISTORY: u32 = 50;
/// How many characters a note may have. The rest is dropped.
const MAX_NOTE_CHARS: usize = 4_000;
/// The answer to a line that is not UTF-8.
const GARBLED: &str = "Nothing was sent or done: the line is not UTF-8.";

impl Work<'_, '_> {
    /// Carries out a line. `Break`: the person leaves.
    pub(super) async fn obey(&mut self, line: &str) -> anyhow::Result<ControlFlow<()>> {
        let is_answer = !self.draft.is_empty() || command::is_answer(line);
        if let Some(line) = line.strip_suffix('\\').filter(|_| is_answer) {
            self.draft += line;
            self.draft.push('\n');
            return Ok(ControlFlow::Continue(()));
        }
        let line = mem::take(&mut self.draft) + line;
        if mem::take(&mut self.is_garbled) {
            self.stop_typing().await;
            let told = self.refuse(GARBLED);
            self.screen.show(&told)?;
            return Ok(ControlFlow::Continue(()));
        }
        let answer = match command::read(&line) {
            Ok(None) => return Ok(ControlFlow::Continue(())),
            Ok(Some(Command::Quit)) => return Ok(ControlFlow::Break(())),
            Ok(Some(Command::List)) => self.listed(),
            Ok(Some(Command::Help)) => HELP.into(),
            Ok(Some(Command::Open(number))) => self.open(number).await?,
            Ok(Some(Command::Say(text))) => self.say(&text).await?,
            Ok(Some(Command::Reply(name))) => self.reply(&name).await?,
            Ok(Some(Command::Typing)) => self.show_that_typing().await,
            Ok(Some(Command::To { folder, note })) => self.hand_off(&folder, &note).await?,
            Ok(Some(Command::Close)) => self.close().await?,
            Err(wrong) => self.refuse(wrong),
        };
        self.screen.show(&answer)?;
        Ok(ControlFlow::Continue(()))
    }

    /// Lists what waits and what is open.
    pub(super) fn listed(&mut self) -> String {
        let mut lines = Vec::new();
        let waiting = self.board.waiting().into_iter();
        let waiting: Vec<_> = waiting.map(|(place, turn)| (place, turn.clone())).collect();
        for (place, turn) in waiting {
            lines.push(self.waits(place, &turn));
        }
        let claimed = self.claimed.values().map(|ClaimedTurn { turn, place, .. }| {
            let (age, text) = (screen::age(turn.created_at), screen::text(&turn.content));
            let (within, preview) = (self.within(*place), screen::preview(&text));
            let line = format!("is yours{within}, {}, {age}: {preview}", turn.jid);
            (turn.conversation.clone(), line)
        });
        let open = self.board.open();
        let open = open
            .filter(|(_, open)| !self.claimed.contains_key(&open.conversation))
            .filter(|(_, open)| self.board.waiting_in(&open.conversation).is_none())
            .map(|(place, open)| {
                let (within, age) = (self.within(place), screen::age(open.assigned_at));
                let line = format!("open{within}, {}, since {age}", open.jid);
                (open.conversation.clone(), line)
            });
        for (conversation, line) in claimed.chain(open).collect::<Vec<_>>() {
            lines.push(format!("{} {line}", self.board.number(&conversation)));
        }
        match lines.is_empty() {
            true => "Nothing waits, and nothing is open.".into(),
            false => lines.join("\n"),
        }
    }

    /// Opens a conversation, and claims the turn that waits in it.
    async fn open(&mut self, number: usize) -> anyhow::Result<String> {
        let Some(conversation) = self.board.conversation(number).map(String::from) else {
            return Ok(self.refuse(format!("There is no {number}: /list shows the numbers.")));
        };
        self.stop_typing().await;
        let waiting = self.board.waiting_in(&conversation);
        if let Some((place, turn)) = waiting.map(|(place, turn)| (place, turn.turn_id.clone())) {
            self.awaited = Awaited::Claim(turn.clone());
            self.places[place].session.claim(&turn);
            let is_claimed = self.wait_for(|work| match work.awaited {
                Awaited::Claimed => Some(true),
                Awaited::TooLate => Some(false),
                _ => None,
            });
            if !is_claimed.await? {
                return Ok(self.refuse(format!("Somebody else has claimed {number} before you.")));
            }
        }
        let is_open_in = self.board.open_in(&conversation);
        let (place, shown) = match (self.claimed.get(&conversation), is_open_in) {
            (Some(claimed), _) => (claimed.place, screen::turn(number, &claimed.turn)),
            (None, Some(place)) => {
                match self.places[place].speaker.read(&conversation, HISTORY).await {
                    Ok(messages) => (place, screen::history(&messages)),
                    Err(problem) => {
                        return Ok(self.refuse(format!("Cannot open it: {problem:#}")));
                    }
                }
            }
            (None, None) => return Ok(self.refuse(format!("Somebody else has {number} by now."))),
        };
        self.open = Some(Opened { conversation, place });
        Ok(shown)
    }

    /// Answers the open turn, or sends a message if there is none.
    async fn say(&mut self, text: &str) -> anyhow::Result<String> {
        let Some(Opened { conversation, place }) = self.open.clone() else {
            let told = "Nothing is open: /list shows what waits, /open N takes it up.";
            return Ok(self.refuse(told));
        };
        if let Some(claimed) = self.claimed.remove(&conversation) {
            // The answer clears the status.
            self.typing.stop();
            for message in messages(text) {
                // An error means that the turn is over, which `end_turn` then reports.
                let _ = claimed.pen.reply.message(message).await;
            }
            return Ok(match self.end_turn(claimed).await? {
                Ending::Finished => "Sent.".into(),
                ending => self.refuse(format!("Not sent: {}.", why(&ending))),
            });
        }
        for content in messages(text) {
            let message = SendMessageRequest {
                conversation: conversation.clone(),
                content: content.into(),
                name: self.name.clone(),
                idempotency_key: new_key()?,
                ..SendMessageRequest::default()
            };
            if let Err(problem) = self.places[place].speaker.send(message).await {
                return Ok(self.refuse(format!("Not sent: {problem:#}")));
            }
        }
        Ok("Sent, as a message of its own.".into())
    }

    /// Sends the canned reply of this name, or lists them all.
    async fn reply(&mut self, name: &str) -> anyhow::Result<String> {
        if let Some(text) = self.replies.get(name).cloned() {
            self.screen.show(&text)?;
            return self.say(&text).await;
        }
        let line = |(name, text): (&String, &String)| format!("{name}: {}", screen::preview(text));
        let known: Vec<_> = self.replies.iter().map(line).collect();
        Ok(match (known.is_empty(), name) {
            (true, _) => {
                let told = "There are no canned replies: start the inbox with --replies FILE.";
                self.refuse(told)
            }
            (false, "") => known.join("\n"),
            (false, _) => self.refuse(format!("There is no reply {name}: /r lists them.")),
        })
    }

    async fn show_that_typing(&mut self) -> String {
        if self.open_turn().is_none() {
            return self.refuse("No visitor waits here for an answer.");
        }
        let change = self.typing.key(true, Instant::now());
        self.show_typing(change.or(Some(StatusChange::Typing))).await;
        "The visitor sees that you are typing.".into()
    }

    /// Reassigns the open conversation to another folder, and hands off its turn if there is one.
    async fn hand_off(&mut self, to: &str, note: &str) -> anyhow::Result<String> {
        let Some(Opened { conversation, place }) = self.open.clone() else {
            return Ok(self.refuse("Nothing is open."));
        };
        let note: String = note.chars().take(MAX_NOTE_CHARS).collect();
        let whose = match to {
            "" => "the agent's",
            to => match check_handoff(&self.places[place].folder, to) {
                Ok(()) => to,
                Err(wrong) => return Ok(self.refuse(format!("Not handed off: {wrong}."))),
            },
        };
        self.stop_typing().await;
        let mut unattended = None;
        if let Some(claimed) = self.claimed.remove(&conversation) {
            let handoff = Handoff { folder: to.into(), note, conversation: true };
            // An error means that the turn is over, which `end_turn` then reports.
            let _ = claimed.pen.reply.hand_off(handoff).await;
            let ending = self.end_turn(claimed).await?;
            match ending {
                Ending::Cancelled => {
                    return Ok(self.refuse(format!("Not handed off: {}.", why(&ending))));
                }
                Ending::Unattended(folder) => unattended = Some(folder),
                Ending::Finished | Ending::Lost(_) => {}
            }
        } else {
            match self.places[place].speaker.assign(&conversation, to, &note).await {
                Ok(folder) => unattended = folder,
                Err(problem) => return Ok(self.refuse(format!("Not handed off: {problem:#}"))),
            }
        }
        let number = self.give_up(&conversation);
        Ok(match unattended {
            Some(folder) => {
                format!("{number} is {whose} now, but nobody is attached to {folder}: it waits.")
            }
            None => format!("{number} is {whose} now."),
        })
    }

    /// Gives the open conversation back to the agent, and ends its turn if there is one.
    async fn close(&mut self) -> anyhow::Result<String> {
        let Some(Opened { conversation, place }) = self.open.clone() else {
            return Ok(self.refuse("Nothing is open."));
        };
        self.stop_typing().await;
        if let Err(problem) = self.places[place].speaker.assign(&conversation, "", "").await {
            return Ok(self.refuse(format!("Not closed: {problem:#}")));
        }
        if let Some(claimed) = self.claimed.remove(&conversation) {
            self.end_turn(claimed).await?;
        }
        let number = self.give_up(&conversation);
        Ok(format!("{number} is closed."))
    }

    /// Notes that the open conversation is no longer the folder's. Returns its number.
    fn give_up(&mut self, conversation: &str) -> usize {
        self.open = None;
        self.board.give_up(conversation);
        self.board.number(conversation)
    }

    /// Ends a turn, and waits until control has ended it, too.
    async fn end_turn(&mut self, claimed: ClaimedTurn) -> anyhow::Result<Ending> {
        let ClaimedTurn { turn, pen, .. } = claimed;
        self.awaited = Awaited::End(turn.turn_id);
        pen.put_down();
        let ended = self.wait_for(|work| match &work.awaited {
            Awaited::Ended(ending) => Some(ending.clone()),
            _ => None,
        });
        ended.await
    }
}

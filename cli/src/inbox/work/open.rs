//! Takes conversations up, and gives them away.

use super::{Awaited, Opened, Work, events::why};
use crate::{
    attach::Ending,
    folder::check_handoff,
    inbox::{board::Holder, screen},
};
use arizuko_proto::v1::Handoff;
use std::fmt::Display;

/// How many messages of a conversation are shown, at most, if it is opened without a turn.
const HISTORY: u32 = 50;
/// How many characters a note may have. The rest is dropped.
const MAX_NOTE_CHARS: usize = 4_000;
/// The answer to a command from which it isn't clear which conversation is meant.
pub(super) const NOT_MEANT: &str = "Name a number of /list.";

impl Work<'_, '_> {
    /// Opens a conversation, unless a colleague has it, and claims the turn that waits in it.
    pub(super) async fn open(&mut self, number: usize) -> anyhow::Result<String> {
        let Some(conversation) = self.board.conversation(number).map(String::from) else {
            return Ok(self.refuse(unknown(number)));
        };
        if let Some(Holder { name, .. }) = self.colleague(&conversation) {
            self.asked = Some(conversation);
            return Ok(self.refuse(format!("{number} is held by {name}: /take, /watch.")));
        }
        self.stop_typing().await;
        let waiting = self.board.waiting_in(&conversation);
        if let Some((place, turn)) = waiting.map(|(place, turn)| (place, turn.turn_id.clone()))
            && !self.claim(place, &turn, false).await?
        {
            return Ok(self.refuse(format!("Somebody else has claimed {number} before you.")));
        }
        self.enter(number, conversation).await
    }

    /// Takes a conversation from the colleague who has it, with the turn that they hold.
    pub(super) async fn take(&mut self, number: Option<usize>) -> anyhow::Result<String> {
        let Some((number, conversation)) = self.meant(number) else {
            return Ok(self.refuse(NOT_MEANT));
        };
        // The person may hold it in another window.
        let held = self.board.holder(&conversation).and_then(|holder| holder.turn);
        let held = held.filter(|_| !self.claimed.contains_key(&conversation));
        if held.is_none() && self.colleague(&conversation).is_none() {
            return self.open(number).await;
        }
        let Some(place) = self.board.place_of(&conversation) else {
            return Ok(self.refuse(format!("Somebody else has {number} by now.")));
        };
        self.stop_typing().await;
        let waiting = self.board.waiting_in(&conversation).map(|(_, turn)| turn.turn_id.clone());
        if let Some(turn) = held.or(waiting) {
            if !self.claim(place, &turn, true).await? {
                let told = format!("{number} has changed meanwhile: /list shows it.");
                return Ok(self.refuse(told));
            }
        } else if let Err(problem) =
            self.places[place].speaker.take(&conversation, &self.name).await
        {
            return Ok(self.refuse(format!("Not taken: {problem:#}")));
        } else {
            // Waits for a list with this change: an older list would close the conversation again.
            self.wait_for(|work| work.colleague(&conversation).is_none().then_some(())).await?;
        }
        self.enter(number, conversation).await
    }

    /// Returns the conversation with this number. Without a number, returns the one that the person
    /// was asked about or that is open.
    pub(super) fn meant(&mut self, number: Option<usize>) -> Option<(usize, String)> {
        if let Some(number) = number {
            return Some((number, self.board.conversation(number)?.into()));
        }
        let open = self.open.as_ref().map(|open| open.conversation.clone());
        let conversation = self.asked.clone().or(open)?;
        Some((self.board.number(&conversation), conversation))
    }

    /// Claims a turn. `take`: also if a colleague holds it. Returns whether the person has it.
    async fn claim(&mut self, place: usize, turn: &str, take: bool) -> anyhow::Result<bool> {
        self.awaited = Awaited::Claim(turn.into());
        let session = &self.places[place].session;
        match take {
            true => session.take(turn),
            false => session.claim(turn),
        }
        let claimed = self.wait_for(|work| match work.awaited {
            Awaited::Claimed => Some(true),
            Awaited::TooLate => Some(false),
            _ => None,
        });
        claimed.await
    }

    /// Opens a conversation that the person's folders have. Returns what was said and noted in it,
    /// unless the screen shows that anyway.
    async fn enter(&mut self, number: usize, conversation: String) -> anyhow::Result<String> {
        let claimed = self.claimed.get(&conversation);
        let place = claimed.map(|claimed| claimed.place);
        let Some(place) = place.or_else(|| self.board.open_in(&conversation)) else {
            return Ok(self.refuse(format!("Somebody else has {number} by now.")));
        };
        // A claimed turn brings the messages with it.
        let shown = claimed.map(|claimed| screen::turn(number, &claimed.turn));
        let shown = match self.places[place].speaker.read(&conversation, HISTORY).await {
            Ok(said) => {
                let notes: String = said.notes.iter().map(screen::note).collect();
                shown.unwrap_or_else(|| screen::history(&said.messages)) + &notes
            }
            Err(problem) => match shown {
                Some(shown) => shown,
                None => return Ok(self.refuse(format!("Cannot open it: {problem:#}"))),
            },
        };
        (self.thread, self.asked) = (None, None);
        let follows = self.screen.shows_threads();
        if follows {
            self.follow(place, &conversation);
        }
        self.open = Some(Opened { conversation, place, is_watched: false });
        Ok(if follows { String::new() } else { shown })
    }

    /// Reassigns the open conversation to another folder, and hands off its turn if there is one.
    pub(super) async fn hand_off(&mut self, to: &str, note: &str) -> anyhow::Result<String> {
        let Opened { conversation, place, .. } = match self.answered("Nothing is open.") {
            Ok(open) => open,
            Err(told) => return Ok(told),
        };
        let note: String = note.chars().take(MAX_NOTE_CHARS).collect();
        let whose = match to {
            "" => "the agent",
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
                format!(
                    "{number} is with {whose} now, but nobody is attached to {folder}: it waits."
                )
            }
            None => format!("{number} is with {whose} now."),
        })
    }

    /// Gives the open conversation back to the agent, and ends its turn if there is one.
    pub(super) async fn close(&mut self) -> anyhow::Result<String> {
        let Opened { conversation, place, .. } = match self.answered("Nothing is open.") {
            Ok(open) => open,
            Err(told) => return Ok(told),
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
        (self.open, self.thread) = (None, None);
        self.board.give_up(conversation);
        self.board.number(conversation)
    }
}

/// Says that a number is none of /list.
pub(super) fn unknown(number: impl Display) -> String {
    format!("There is no {number}: /list shows the numbers.")
}

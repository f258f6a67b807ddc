//! What control says: what waits, which turns the person gets, and which have ended.

use super::{Awaited, ClaimedTurn, Opened, Work};
use crate::{
    attach::{Ending, PersonEvent},
    inbox::{board::Holder, place::Event, screen},
};
use arizuko_proto::v1::Inbox;
use std::future::pending;
use tokio::time::{Instant, sleep_until};

/// What happens next.
pub(crate) enum Next {
    /// Something at this place.
    Event(usize, Event),
    /// The person has stopped typing.
    Idle,
}

impl Work<'_, '_> {
    /// Waits for what happens next.
    pub(crate) async fn next(&mut self) -> Next {
        let idle_at = self.typing.idle_at();
        tokio::select! {
            Some((place, event)) = self.events.recv() => Next::Event(place, event),
            () = at(idle_at) => Next::Idle,
        }
    }

    /// Handles what has happened.
    pub(crate) async fn react(&mut self, next: Next) -> anyhow::Result<()> {
        match next {
            Next::Event(place, event) => self.handle(place, event),
            Next::Idle => {
                self.stop_typing().await;
                Ok(())
            }
        }
    }

    /// Handles events until `of` returns a value. If the session ends first, this waits for ever,
    /// and `Start::serve` reports the end.
    pub(super) async fn wait_for<T>(
        &mut self,
        of: impl Fn(&mut Self) -> Option<T>,
    ) -> anyhow::Result<T> {
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

    pub(super) fn handle(&mut self, place: usize, event: Event) -> anyhow::Result<()> {
        let event = match event {
            Event::Session(event) => event,
            Event::Followed(conversation, heard) => return self.hear(&conversation, *heard),
        };
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
        let new = self.board.update(place, inbox);
        lines.extend(self.close_if_taken());
        for new in new {
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

    /// Takes a turn that the person has claimed.
    fn receive(&mut self, claimed: ClaimedTurn) -> anyhow::Result<()> {
        let ClaimedTurn { turn, place, .. } = &claimed;
        let (conversation, turn_id) = (turn.conversation.clone(), turn.turn_id.clone());
        let (news, place) = (screen::news(turn), *place);
        let number = self.board.number(&conversation);
        self.board.take(place, turn, &self.name);
        self.claimed.insert(conversation.clone(), claimed);
        if self.awaited == Awaited::Claim(turn_id) {
            self.awaited = Awaited::Claimed;
            Ok(())
        } else if self.is_open(&conversation) {
            self.open = Some(Opened { conversation, place, is_watched: false });
            self.ring(&format!("{number}: {}", screen::preview(&news)));
            match self.screen.shows_threads() {
                true => Ok(()),
                false => self.screen.show(&news),
            }
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
        let told = format!("{number} no longer needs an answer: {}", why(&ending));
        let taken = self.close_if_taken().map(|taken| format!("\n{taken}"));
        self.screen.show(&(told + &taken.unwrap_or_default()))
    }

    /// Closes the open conversation if a colleague has it by now. Control may say so before or
    /// after it says that the turn is lost. Returns what to tell the person.
    fn close_if_taken(&mut self) -> Option<String> {
        let open = self.open.as_ref().filter(|open| !open.is_watched)?.conversation.clone();
        let Holder { name, .. } = self.colleague(&open)?;
        let told = format!("{} is {name}'s now: /take, /watch.", self.board.number(&open));
        (self.open, self.asked) = (None, Some(open));
        Some(told)
    }
}

/// Says how a turn ended.
pub(super) fn why(ending: &Ending) -> String {
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

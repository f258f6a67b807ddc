//! Sends answers.

use super::{Awaited, ClaimedTurn, Opened, Work, events::why};
use crate::{
    attach::{
        Ending,
        speech::{messages, new_key},
    },
    inbox::screen,
};
use arizuko_proto::v1::{ErrorReason, SendMessageRequest};

impl Work<'_, '_> {
    /// Answers the turn that the person holds in the open conversation. If they hold none, sends
    /// the text as a message of its own.
    pub(super) async fn say(&mut self, text: &str) -> anyhow::Result<String> {
        let none = "Nothing is open: /list shows what waits, /open N takes it up.";
        let Opened { conversation, place, .. } = match self.answered(none) {
            Ok(open) => open,
            Err(told) => return Ok(told),
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
                // Otherwise the visitor could read it beside a colleague's reply.
                unless_held: true,
                ..SendMessageRequest::default()
            };
            match self.places[place].speaker.send(message).await {
                Ok(_) => {}
                Err(problem) if problem.reason == Some(ErrorReason::TurnHeld) => {
                    return Ok(self.refuse(format!("Not sent: {problem}: /take, /watch.")));
                }
                Err(problem) => return Ok(self.refuse(format!("Not sent: {problem:#}"))),
            }
        }
        Ok("Sent, as a message of its own.".into())
    }

    /// Sends the canned reply of this name, or lists them all.
    pub(super) async fn reply(&mut self, name: &str) -> anyhow::Result<String> {
        if let Some(text) = self.replies.get(name).cloned() {
            if !self.screen.shows_threads() {
                self.screen.show(&text)?;
            }
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

    /// Ends a turn, and waits until control has ended it, too.
    pub(super) async fn end_turn(&mut self, claimed: ClaimedTurn) -> anyhow::Result<Ending> {
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

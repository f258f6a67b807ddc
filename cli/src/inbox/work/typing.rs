//! What the visitor sees while the person types.

use super::Work;
use crate::inbox::typing::StatusChange;
use tokio::time::Instant;

impl Work<'_, '_> {
    pub(crate) async fn key(&mut self, is_answer: bool) {
        if self.open_turn().is_some() {
            let change = self.typing.key(is_answer, Instant::now());
            self.show_typing(change).await;
        }
    }

    pub(super) async fn stop_typing(&mut self) {
        let change = self.typing.stop();
        self.show_typing(change).await;
    }

    pub(super) async fn show_typing(&mut self, change: Option<StatusChange>) {
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

    pub(super) async fn show_that_typing(&mut self) -> String {
        if self.open_turn().is_none() {
            return self.refuse("No visitor waits here for an answer.");
        }
        let change = self.typing.key(true, Instant::now());
        self.show_typing(change.or(Some(StatusChange::Typing))).await;
        "The visitor sees that you are typing.".into()
    }
}

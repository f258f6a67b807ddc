//! Follows a conversation live.

use super::{Opened, Work, open::NOT_MEANT};
use crate::{
    attach::follow::Followed,
    inbox::{screen, thread::Thread},
};

impl Work<'_, '_> {
    /// Follows a conversation without taking it.
    pub(super) async fn watch(&mut self, number: Option<usize>) -> String {
        let meant = self.meant(number);
        let found = meant.and_then(|(number, id)| Some((number, self.board.place_of(&id)?, id)));
        let Some((number, place, conversation)) = found else {
            return self.refuse(NOT_MEANT);
        };
        self.stop_typing().await;
        self.follow(place, &conversation);
        self.open = Some(Opened { conversation, place, is_watched: true });
        self.asked = None;
        format!("You watch {number}: /take it to answer, /leave it to stop.")
    }

    /// Stops answering or watching a conversation. Its turn stays the person's.
    pub(super) async fn step_back(&mut self) -> String {
        let Some(Opened { conversation, .. }) = self.open.clone() else {
            return self.refuse("Nothing is open.");
        };
        self.stop_typing().await;
        (self.open, self.thread) = (None, None);
        format!("You have left {}.", self.board.number(&conversation))
    }

    /// Begins to follow a conversation, in place of the one that was followed before.
    pub(super) fn follow(&mut self, place: usize, conversation: &str) {
        let following = self.places[place].follow(place, conversation.to_owned());
        self.thread = Some(Thread::new(conversation.to_owned(), following));
    }

    /// Takes news of the conversation that is followed, and shows them.
    pub(super) fn hear(&mut self, conversation: &str, heard: Followed) -> anyhow::Result<()> {
        let thread = self.thread.as_mut();
        let Some(thread) = thread.filter(|thread| thread.conversation == conversation) else {
            return Ok(());
        };
        let before = thread.status.clone();
        match heard {
            Followed::Begun(begun) => thread.begin(begun),
            Followed::Went(went) => thread.go_on(went),
            Followed::Ended(why) => {
                let number = self.board.number(conversation);
                self.thread = None;
                self.open = self.open.take().filter(|open| !open.is_watched);
                return self.screen.show(&format!("({number} can't be followed: {why})"));
            }
        }
        if self.screen.shows_threads() {
            return Ok(());
        }
        let mut text = screen::history(&thread.news());
        if thread.status != before && !thread.status.is_empty() {
            text += &format!("({})\n", thread.status);
        }
        self.screen.show(&text)
    }
}

//! Reads what was said, looks for words in it, and leaves notes.

use super::{
    Opened, Work,
    open::{NOT_MEANT, unknown},
};
use crate::{
    conversation::{
        list::{self, Progress},
        show,
    },
    inbox::screen,
};
use arizuko_proto::{public_id, v1::ListConversationsRequest};
use std::collections::HashSet;

/// How many conversations a search finds in a folder, at most.
const FOUND: u32 = 20;

impl Work<'_, '_> {
    /// Leaves a note in the open conversation.
    pub(super) async fn note(&mut self, text: &str) -> String {
        let Some(Opened { conversation, place, .. }) = self.open.clone() else {
            return self.refuse("Nothing is open.");
        };
        match self.places[place].speaker.note(&conversation, &self.name, text).await {
            Ok(()) => "Noted: your colleagues see it, visitors and agents don't.".into(),
            Err(problem) => self.refuse(format!("Not noted: {problem:#}")),
        }
    }

    /// Shows all that was said, noted and done in a conversation: the open one, or one with this
    /// number or public id.
    pub(super) async fn history(&mut self, which: &str) -> String {
        let public = match which {
            id if id.starts_with(public_id::CONVERSATION) => id.to_owned(),
            "" => match self.meant(None) {
                Some((_, id)) => public_id::conversation(&id),
                None => return self.refuse(NOT_MEANT),
            },
            number => {
                match number.parse().ok().and_then(|number| self.board.conversation(number)) {
                    Some(id) => public_id::conversation(id),
                    None => return self.refuse(unknown(number)),
                }
            }
        };
        match show::whole(&self.places[0].control, &public).await {
            Ok(all) => {
                let turns: Vec<_> = all.turns.iter().map(show::told).collect();
                let notes = all.conversation.unwrap_or_default().notes;
                turns.join("\n") + &notes.iter().map(show::noted).collect::<String>()
            }
            Err(problem) => self.refuse(format!("Cannot show it: {problem:#}")),
        }
    }

    /// Lists the conversations of the person's folders that have a message with all these words.
    pub(super) async fn search(&mut self, words: &str) -> String {
        // A conversation may be in several of the folders.
        let (mut lines, mut seen) = (Vec::new(), HashSet::new());
        for place in &self.places {
            let request = ListConversationsRequest {
                folder: place.folder.clone(),
                search: words.into(),
                ..ListConversationsRequest::default()
            };
            match list::pages(&place.control, request, FOUND, Progress::hidden()).await {
                Ok(found) => {
                    let mut found = found.conversations;
                    found.retain(|found| seen.insert(found.conversation_id.clone()));
                    lines.extend(found.into_iter().map(|found| {
                        let id = found.conversation_id;
                        let number = self.board.number_of_public(&id);
                        let which = number.map_or(id, |number| number.to_string());
                        let age = screen::age(found.active_at);
                        format!("{which}, {}, {age}: {}", found.jid, found.excerpt)
                    }));
                }
                Err(problem) => return self.refuse(format!("Cannot search: {problem:#}")),
            }
        }
        match lines.is_empty() {
            true => "No message has all these words.".into(),
            false => lines.join("\n"),
        }
    }
}

//! Carries out what the person types.

use super::Work;
use crate::inbox::command::{self, Command, HELP};
use std::{mem, ops::ControlFlow};

/// The answer to a line that is not UTF-8.
const GARBLED: &str = "Nothing was sent or done: the line is not UTF-8.";

impl Work<'_, '_> {
    /// Carries out a line. `Break`: the person leaves.
    pub(crate) async fn obey(&mut self, line: &str) -> anyhow::Result<ControlFlow<()>> {
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
            Ok(Some(Command::Take(number))) => self.take(number).await?,
            Ok(Some(Command::Watch(number))) => self.watch(number).await,
            Ok(Some(Command::Leave)) => self.step_back().await,
            Ok(Some(Command::Note(text))) => self.note(&text).await,
            Ok(Some(Command::History(which))) => self.history(&which).await,
            Ok(Some(Command::Search(words))) => self.search(&words).await,
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
}

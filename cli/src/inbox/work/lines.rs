//! The line-based inbox: a prompt, and a line for each command or answer.

use super::Work;
use crate::inbox::{
    keyboard::{Keyboard, Typed},
    place::Place,
    screen::Screen,
};
use anyhow::ensure;

impl Work<'_, '_> {
    /// Shows the inbox, then handles events and the person's input until they leave.
    pub(crate) async fn run(&mut self, keyboard: &mut Keyboard) -> anyhow::Result<()> {
        self.wait_for(|work| work.board.is_known().then_some(())).await?;
        let (folders, name) = (self.folders(), &self.name);
        let greeting = format!("{folders}: visitors know you as {name}. /help lists the commands.");
        self.screen.show(&greeting)?;
        let list = self.listed();
        self.screen.show(&list)?;
        loop {
            keyboard.prompt(self.prompt());
            let line = loop {
                self.show_waiting();
                tokio::select! {
                    next = self.next() => self.react(next).await?,
                    typed = keyboard.next() => match typed {
                        Typed::Line(line) => break line,
                        Typed::Garbled(line) => {
                            self.is_garbled = true;
                            break line;
                        }
                        Typed::Key { is_answer } => self.key(is_answer).await,
                        Typed::End => return Ok(()),
                    },
                }
            };
            if self.obey(&line).await?.is_break() {
                return Ok(());
            }
        }
    }

    /// Shows what becomes of the person's turns and conversations.
    ///
    /// # Errors
    ///
    /// Lines were not carried out, and the input is a pipe, so that nobody may have read why.
    pub(crate) fn leave(&mut self) -> anyhow::Result<()> {
        if !self.draft.is_empty() {
            let told = self.refuse("Not sent: the input ended in the middle of an answer.");
            self.screen.show(&told)?;
        }
        let turns = match self.claimed.len() {
            0 => String::new(),
            1 => "1 turn goes back to the queue.\n".into(),
            count => format!("{count} turns go back to the queue.\n"),
        };
        let kept = self.places.iter().enumerate().map(|(place, Place { folder, .. })| {
            match self.board.open().filter(|(other, _)| *other == place).count() {
                0 => String::new(),
                1 => format!("1 conversation stays with {folder}.\n"),
                count => format!("{count} conversations stay with {folder}.\n"),
            }
        });
        let conversations: String = kept.collect();
        self.screen.show(&(turns + &conversations))?;
        let refused = match self.refused {
            1 => "1 line was".into(),
            count => format!("{count} lines were"),
        };
        let is_told = self.refused == 0 || !matches!(self.screen, Screen::Plain(_));
        ensure!(is_told, "{refused} not carried out: standard output says why");
        Ok(())
    }

    pub(crate) fn prompt(&mut self) -> String {
        match &self.open {
            _ if !self.draft.is_empty() => "... ".into(),
            Some(open) => {
                let watched = if open.is_watched { "watch " } else { "" };
                format!("{watched}{}> ", self.board.number(&open.conversation))
            }
            None => "inbox> ".into(),
        }
    }
}

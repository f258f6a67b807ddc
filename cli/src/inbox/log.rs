//! What the desk tells the person: lines below the conversation, and pages over it.

use crate::console::printable;

/// How many lines are kept. A longer text is a page.
pub(super) const LINES: u16 = 2;

#[derive(Default)]
pub(super) struct Log {
    lines: Vec<String>,
    page: Option<String>,
}

impl Log {
    /// Shows a text: a long one as a page, a short one below the conversation.
    pub(super) fn show(&mut self, text: &str) {
        if text.lines().count() > usize::from(LINES) {
            self.page = Some(text.into());
            return;
        }
        self.lines.extend(text.lines().map(|line| printable(line).into()));
        let surplus = self.lines.len().saturating_sub(usize::from(LINES));
        self.lines.drain(..surplus);
    }

    /// Returns the last lines.
    pub(super) fn last(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    pub(super) fn page(&self) -> Option<&str> {
        self.page.as_deref()
    }

    pub(super) fn close_page(&mut self) {
        self.page = None;
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

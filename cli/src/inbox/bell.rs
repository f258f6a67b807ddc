//! Tells a person at a terminal that something has arrived: by a bell, a notification, and the
//! number of waiting turns in the window's title.

use crate::console::printable;
use std::{
    env,
    io::{self, Write as _},
};

pub(super) struct Bell {
    /// The window's title, before which the number is shown. `None`: the terminal has only a bell.
    title: Option<String>,
    /// The number that is shown.
    waiting: Option<usize>,
}

impl Bell {
    /// Has the terminal save its window's title, which is restored when the bell is dropped.
    pub(super) fn new(folders: &str) -> Self {
        let terminal = env::var("TERM").unwrap_or_default();
        let has_window = !matches!(terminal.as_str(), "" | "dumb");
        let bell =
            Self { title: has_window.then(|| format!("arizuko inbox {folders}")), waiting: None };
        if has_window {
            write("\x1b[22;2t");
        }
        bell
    }

    /// Rings, and shows `text` as the desktop's notification if the terminal can (OSC 9).
    pub(super) fn ring(&self, text: &str) {
        write(&match &self.title {
            None => "\x07".into(),
            Some(_) => format!("\x07{}", notification(text)),
        });
    }

    /// Shows in the title how many turns wait.
    pub(super) fn show_waiting(&mut self, waiting: usize) {
        if let Some(title) = self.title.as_ref().filter(|_| self.waiting != Some(waiting)) {
            let count = if waiting == 0 { String::new() } else { format!("({waiting}) ") };
            write(&format!("\x1b]2;{count}{title}\x07"));
            self.waiting = Some(waiting);
        }
    }
}

impl Drop for Bell {
    /// Restores the window's title.
    fn drop(&mut self) {
        if self.title.is_some() {
            write("\x1b[23;2t");
        }
    }
}

/// Returns the sequence that asks the terminal for a notification. Its text begins with a word of
/// ours, since some terminals read digits there as commands.
fn notification(text: &str) -> String {
    format!("\x1b]9;arizuko: {}\x07", printable(text).trim_end())
}

/// Writes a sequence. It doesn't move the cursor, so it may come while a line is being edited.
fn write(sequence: &str) {
    let mut out = io::stdout().lock();
    // If the terminal is gone, the input ends, too.
    let _ = out.write_all(sequence.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_cannot_end_or_change_the_notification() {
        let shown = notification("1 waits: a\x07\x1b]2;evil\u{9c}\n");
        assert_eq!(shown, "\x1b]9;arizuko: 1 waits: a  ]2;evil\x07");
    }
}

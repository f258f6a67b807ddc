//! The terminal while the desk takes all of its screen.

use anyhow::Context as _;
use ratatui::{
    Frame, Terminal, TerminalOptions, Viewport,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        event::{
            self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste,
            EnableMouseCapture, Event,
        },
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
    layout::Rect,
};
use std::{
    io::{self, Stdout},
    thread,
};
use terminal_size::terminal_size_of;
use tokio::sync::mpsc;

pub(super) struct FullScreen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    area: Rect,
}

impl FullScreen {
    pub(super) fn enter() -> anyhow::Result<Self> {
        let area = area();
        let options = TerminalOptions { viewport: Viewport::Fixed(area) };
        let terminal = Terminal::with_options(CrosstermBackend::new(io::stdout()), options);
        let cannot = "cannot use the terminal";
        let screen = Self { terminal: terminal.context(cannot)?, area };
        enable_raw_mode().context(cannot)?;
        let entered =
            execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture, EnableBracketedPaste);
        entered.context(cannot)?;
        Ok(screen)
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> anyhow::Result<()> {
        let area = area();
        if area != self.area {
            self.area = area;
            self.terminal.resize(area)?;
        }
        self.terminal.draw(draw)?;
        Ok(())
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        // If the terminal is gone, there is nothing to restore.
        let _ = execute!(
            io::stdout(),
            DisableBracketedPaste,
            DisableMouseCapture,
            LeaveAlternateScreen,
            Show
        );
        let _ = disable_raw_mode();
    }
}

/// Returns the size of the terminal on standard output, which need not be this process's
/// controlling terminal.
fn area() -> Rect {
    let size = terminal_size_of(io::stdout());
    let (columns, rows) = size.map_or((80, 24), |(columns, rows)| (columns.0, rows.0));
    // A smaller screen has no room for the parts.
    Rect::new(0, 0, columns.max(50), rows.max(10))
}

/// Reads keys, pastes and the mouse, on a thread of its own.
pub(super) fn keys() -> mpsc::UnboundedReceiver<Event> {
    let (sender, keys) = mpsc::unbounded_channel();
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    keys
}

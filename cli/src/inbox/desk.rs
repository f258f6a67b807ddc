//! `arizuko desk`: the inbox on a full screen, with the same commands.
//!
//! `view.rs` draws; `input.rs` is what is being typed; `full_screen.rs` sets the terminal up.

mod full_screen;
mod input;
mod view;

use self::{full_screen::FullScreen, input::Input};
use super::{PersonOptions, command, log::Log, screen::Screen, work::Work};
use crate::console::Console;
use anyhow::ensure;
use ratatui::{
    crossterm::event::{
        Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent,
        MouseEventKind,
    },
    layout::{Position, Rect},
};
use std::{
    cell::RefCell,
    io::{self, IsTerminal as _},
    ops::ControlFlow,
    rc::Rc,
    time::Duration,
};
use tokio::time::sleep;

/// How many lines a key or the wheel scrolls.
const SCROLL: usize = 5;
/// How often the ages on the screen are brought up to date.
const REDRAW: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
#[command(
    before_help = "Examples:\n  arizuko desk acme/people --name Ana\n  \
                   arizuko desk acme/sales acme/support --name Ana\n",
    after_help = format!("\
Keys:
↑ ↓ Enter          choose a conversation, and open it
F2, F3             watch it, take it
PgUp PgDn, wheel   scroll
Alt-Enter          begin a new line of the answer
Esc                close the help or a history, or drop what is typed
Ctrl-C, Ctrl-D     leave, if nothing is typed
A click opens a conversation, too. What you type is an answer or one of these commands:
{}

{}", command::HELP, super::EXIT_CODES)
)]
pub(crate) struct Args {
    #[command(flatten)]
    options: PersonOptions,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    ensure!(is_terminal, "the desk needs a terminal: in a pipe, use `arizuko inbox`");
    let start = args.options.prepare()?;
    let log = Rc::new(RefCell::new(Log::default()));
    let mut desk = Desk::new(Rc::clone(&log));
    let mut full_screen = FullScreen::enter()?;
    let left = start
        .serve(Screen::Full(Rc::clone(&log)), true, async |work| {
            let worked = desk.run(work, &mut full_screen).await;
            // Lines that are logged from now on are printed when the screen is restored.
            desk.log.borrow_mut().clear();
            worked
        })
        .await;
    drop(full_screen);
    log.borrow().last().try_for_each(|line| console.line(line))?;
    left
}

/// What is on the screen besides the person's work.
struct Desk {
    log: Rc<RefCell<Log>>,
    input: Input,
    /// The conversation that is chosen in the list.
    selected: Option<String>,
    /// How far the conversation is scrolled up from its end, or a page down from its beginning.
    scroll: usize,
    /// Where the list is, and which conversation each of its rows shows.
    list: Rect,
    rows: Vec<Option<usize>>,
}

impl Desk {
    fn new(log: Rc<RefCell<Log>>) -> Self {
        Self {
            log,
            input: Input::default(),
            selected: None,
            scroll: 0,
            list: Rect::default(),
            rows: Vec::new(),
        }
    }

    /// Draws, and handles events, until the person leaves.
    async fn run(
        &mut self,
        work: &mut Work<'_, '_>,
        full_screen: &mut FullScreen,
    ) -> anyhow::Result<()> {
        let mut keys = full_screen::keys();
        loop {
            work.show_waiting();
            full_screen.draw(|frame| view::draw(frame, self, work))?;
            tokio::select! {
                next = work.next() => work.react(next).await?,
                event = keys.recv() => {
                    let Some(event) = event else { return Ok(()) };
                    if self.take(event, work).await?.is_break() {
                        return Ok(());
                    }
                }
                () = sleep(REDRAW) => {}
            }
        }
    }

    async fn take(
        &mut self,
        event: Event,
        work: &mut Work<'_, '_>,
    ) -> anyhow::Result<ControlFlow<()>> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.press(&key, work).await,
            Event::Mouse(mouse) => self.point(&mouse, work).await,
            Event::Paste(text) => {
                self.input.insert(&text.replace("\r\n", "\n").replace('\r', "\n"));
                self.typed(work).await;
                Ok(ControlFlow::Continue(()))
            }
            _ => Ok(ControlFlow::Continue(())),
        }
    }

    async fn press(
        &mut self,
        key: &KeyEvent,
        work: &mut Work<'_, '_>,
    ) -> anyhow::Result<ControlFlow<()>> {
        let is_empty = self.input.text().is_empty();
        let has_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if has_control && is_empty => {
                return Ok(ControlFlow::Break(()));
            }
            KeyCode::Char('c') if has_control => drop(self.input.take()),
            KeyCode::Esc if self.log.borrow().page().is_some() => self.close_page(),
            KeyCode::Esc => drop(self.input.take()),
            KeyCode::Enter if !key.modifiers.contains(KeyModifiers::ALT) => {
                let line = self.input.take();
                return match line.trim().is_empty() {
                    true => self.obey_about_selected("/open", work).await,
                    false => self.obey(&line, work).await,
                };
            }
            KeyCode::F(1) => return self.obey("/help", work).await,
            KeyCode::F(2) => return self.obey_about_selected("/watch", work).await,
            KeyCode::F(3) => return self.obey_about_selected("/take", work).await,
            KeyCode::Up | KeyCode::BackTab => self.choose(work, |at, _| at.saturating_sub(1)),
            KeyCode::Down | KeyCode::Tab => self.choose(work, |at, count| (at + 1).min(count - 1)),
            KeyCode::PageUp => self.scroll(true),
            KeyCode::PageDown => self.scroll(false),
            _ => {
                if !self.input.press(key) {
                    return Ok(ControlFlow::Continue(()));
                }
            }
        }
        self.typed(work).await;
        Ok(ControlFlow::Continue(()))
    }

    async fn point(
        &mut self,
        mouse: &MouseEvent,
        work: &mut Work<'_, '_>,
    ) -> anyhow::Result<ControlFlow<()>> {
        match mouse.kind {
            MouseEventKind::ScrollUp => self.scroll(true),
            MouseEventKind::ScrollDown => self.scroll(false),
            MouseEventKind::Down(MouseButton::Left)
                if self.list.contains(Position::new(mouse.column, mouse.row)) =>
            {
                let row = usize::from(mouse.row - self.list.y);
                if let Some(Some(number)) = self.rows.get(row).copied() {
                    let mut entries = work.entries().into_iter();
                    let clicked = entries.find(|entry| entry.number == number);
                    self.selected = clicked.map(|entry| entry.conversation);
                    return self.obey_about_selected("/open", work).await;
                }
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Notes that what is typed has changed.
    async fn typed(&self, work: &mut Work<'_, '_>) {
        work.key(command::is_answer(self.input.text())).await;
    }

    /// Carries out a line, as the inbox does.
    async fn obey(
        &mut self,
        line: &str,
        work: &mut Work<'_, '_>,
    ) -> anyhow::Result<ControlFlow<()>> {
        self.close_page();
        work.obey(line).await
    }

    async fn obey_about_selected(
        &mut self,
        command: &str,
        work: &mut Work<'_, '_>,
    ) -> anyhow::Result<ControlFlow<()>> {
        if self.log.borrow().page().is_some() {
            self.close_page();
            return Ok(ControlFlow::Continue(()));
        }
        let mut entries = work.entries().into_iter();
        let selected = entries.find(|entry| self.selected.as_ref() == Some(&entry.conversation));
        match selected {
            Some(entry) => self.obey(&format!("{command} {}", entry.number), work).await,
            None => Ok(ControlFlow::Continue(())),
        }
    }

    fn choose(&mut self, work: &mut Work<'_, '_>, next: impl Fn(usize, usize) -> usize) {
        // In the order of the list, which groups them by folder.
        let mut entries = work.entries();
        entries.sort_by_key(|entry| entry.place);
        let mut chosen = entries.iter();
        let at = chosen.position(|entry| self.selected.as_ref() == Some(&entry.conversation));
        let at = at.map_or(0, |at| next(at, entries.len()));
        self.selected = entries.into_iter().nth(at).map(|entry| entry.conversation);
    }

    fn scroll(&mut self, is_up: bool) {
        // A page is scrolled down from its beginning, a conversation up from its end.
        let is_page = self.log.borrow().page().is_some();
        self.scroll = match is_up == is_page {
            true => self.scroll.saturating_sub(SCROLL),
            false => self.scroll + SCROLL,
        };
    }

    fn close_page(&mut self) {
        self.log.borrow_mut().close_page();
        self.scroll = 0;
    }
}

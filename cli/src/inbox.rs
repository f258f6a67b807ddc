//! `arizuko inbox`: a person answers in an agent's place, with lines and prompts, so that it works
//! over ssh, in pipes and with a screen reader.
//!
//! `keyboard.rs` reads lines and `command.rs` parses them; `work.rs` carries them out and handles
//! what control says, also for the full screen of `desk.rs`; `board.rs` numbers what waits;
//! `screen.rs` shows it; `bell.rs` rings; `place.rs` is a folder's session; `replies.rs` reads
//! canned replies; `thread.rs` is a conversation that is followed live; `typing.rs` decides when
//! visitors see that somebody is typing.

mod bell;
mod board;
mod command;
pub(crate) mod desk;
mod entry;
mod keyboard;
mod log;
mod place;
mod replies;
mod screen;
mod thread;
mod typing;
mod work;

use self::{
    bell::Bell, keyboard::Keyboard, place::Place, replies::Replies, screen::Screen, work::Work,
};
use crate::{
    attach::{ControlError, person::serve},
    connect,
    console::Console,
    control::Control,
    folder,
};
use anyhow::Context as _;
use arizuko_proto::signals::Signals;
use std::{collections::HashSet, env, path::PathBuf, sync::Arc};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

const EXIT_CODES: &str = "\
Exit codes: 0 if the input ended, after /quit, or after a signal; 1 if control refuses the session
or, in a pipe, if a line was not carried out; 2 if the command line is wrong.";

#[derive(clap::Args)]
#[command(
    before_help = "Examples:\n  arizuko inbox acme/people --name Ana\n  \
                   arizuko inbox acme/sales acme/support --name Ana\n",
    after_help = format!("Once it runs:\n{}\n\n{EXIT_CODES}", command::HELP)
)]
pub(crate) struct Args {
    #[command(flatten)]
    options: PersonOptions,
}

/// What the inbox and the desk need to know.
#[derive(clap::Args)]
struct PersonOptions {
    #[command(flatten)]
    connection: connect::Options,
    /// Name that visitors see [default: your login name]
    #[arg(long)]
    name: Option<String>,
    /// Ring no bell, and show no notification and no window title, when something arrives
    #[arg(long)]
    no_bell: bool,
    /// TOML file with canned replies, a line `name = "text"` for each; `/r NAME` sends one
    #[arg(long, value_name = "FILE")]
    replies: Option<PathBuf>,
    /// Folders whose messages to answer, for example acme/people
    #[arg(value_name = "FOLDER", required = true, value_parser = folder::parse)]
    folders: Vec<String>,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let start = args.options.prepare()?;
    let (mut keyboard, printer) = Keyboard::open()?;
    let is_terminal = printer.is_some();
    let screen = printer.map_or_else(|| Screen::Plain(console), Screen::Terminal);
    start.serve(screen, is_terminal, async |work| work.run(&mut keyboard).await).await
}

/// All that a person needs to begin.
struct Start {
    name: String,
    rings: bool,
    replies: Replies,
    control: Arc<Control>,
    folders: Vec<String>,
}

impl PersonOptions {
    /// Checks the options before the terminal is touched.
    fn prepare(self) -> anyhow::Result<Start> {
        let Self { connection, name, no_bell, replies, mut folders } = self;
        let replies = replies.map(|file| replies::read(&file)).transpose()?.unwrap_or_default();
        let name = name
            .or_else(|| env::var("USER").ok())
            .filter(|name| !name.trim().is_empty())
            .context("visitors need a name for you: add --name, for example --name Ann")?;
        let mut known = HashSet::new();
        folders.retain(|folder| known.insert(folder.clone()));
        let control = Arc::new(connection.find()?);
        Ok(Start { name, rings: !no_bell, replies, control, folders })
    }
}

impl Start {
    /// Serves the person's sessions until `work` ends, a signal comes, or control refuses a
    /// session.
    async fn serve(
        self,
        screen: Screen<'_, '_>,
        is_terminal: bool,
        work: impl AsyncFnOnce(&mut Work<'_, '_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Self { name, rings, replies, control, folders } = self;
        let stop = CancellationToken::new();
        let (sender, events) = mpsc::unbounded_channel();
        let (mut places, mut serving) = (Vec::new(), JoinSet::new());
        for (number, folder) in folders.into_iter().enumerate() {
            let place = Place::new(folder, &name, number, &control, stop.clone(), sender.clone());
            let (session, control) = (Arc::clone(&place.session), Arc::clone(&control));
            serving.spawn(async move { serve(&session, &control).await });
            places.push(place);
        }

        let mut signals = Signals::listen()?;
        let mut works = Work::new(name, places, events, screen);
        works.replies = replies;
        works.bell = (is_terminal && rings).then(|| Bell::new(&works.folders()));
        let worked = tokio::select! {
            worked = work(&mut works) => worked,
            () = signals.next() => Ok(()),
            // Control refuses a session, and would do so again.
            Some(refused) = serving.join_next() => served(refused),
        };
        // An error is returned only after the sessions have ended.
        let mut left = worked.and_then(|()| works.leave());
        // The sessions end only when the pens are dropped, and `works` has the pens.
        drop(works);
        stop.cancel();
        while let Some(ended) = serving.join_next().await {
            left = left.and(served(ended));
        }
        left
    }
}

/// Returns how a session has ended.
fn served(ended: Result<Result<(), ControlError>, JoinError>) -> anyhow::Result<()> {
    Ok(ended??)
}

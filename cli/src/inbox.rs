//! `arizuko inbox`: a person answers in an agent's place, with lines and prompts, so that it works
//! over ssh, in pipes and with a screen reader.
//!
//! `keyboard.rs` reads lines and `command.rs` parses them; `desk.rs` carries them out; `board.rs`
//! numbers what waits; `screen.rs` shows it; `typing.rs` decides when visitors see that somebody is
//! typing.

mod board;
mod command;
mod desk;
mod keyboard;
mod screen;
mod typing;

use self::{desk::Desk, keyboard::Keyboard, screen::Screen};
use crate::{
    attach::{
        Settings,
        person::{serve, session},
        speech::Speaker,
    },
    connect,
    console::Console,
    folder,
};
use anyhow::Context as _;
use arizuko_proto::signals::Signals;
use std::{env, sync::Arc};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many earlier messages are shown with a claimed turn, at most.
const HISTORY: u32 = 50;

const EXIT_CODES: &str = "\
Exit codes: 0 if the input ended, after /quit, or after a signal; 1 if control refuses the session
or, in a pipe, if a line was not carried out; 2 if the command line is wrong.";

#[derive(clap::Args)]
#[command(
    before_help = "Example:\n  arizuko inbox acme/people --name Ana\n",
    after_help = format!("Once it runs:\n{}\n\n{EXIT_CODES}", command::HELP)
)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
    /// Name that visitors see [default: your login name]
    #[arg(long)]
    name: Option<String>,
    /// Folder whose messages to answer, for example acme/people
    #[arg(value_parser = folder::parse)]
    folder: String,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let Args { name, folder, .. } = args;
    let name = name
        .or_else(|| env::var("USER").ok())
        .filter(|name| !name.trim().is_empty())
        .context("visitors need a name for you: add --name, for example --name Ann")?;
    let control = Arc::new(args.connection.find()?);
    let stop = CancellationToken::new();
    let settings = Settings {
        folder: folder.clone(),
        name: name.clone(),
        concurrency: 0,
        history: HISTORY,
        attached: Arc::default(),
        stop: stop.clone(),
    };
    let (person, events) = mpsc::unbounded_channel();
    let session = session(settings, person);
    let speaker = Speaker::new(Arc::clone(&control), folder.clone());
    let served = Arc::clone(&session);
    let mut serving = tokio::spawn(async move { serve(&served, &control).await });

    let mut signals = Signals::listen()?;
    let (mut keyboard, printer) = Keyboard::open()?;
    let screen = printer.map_or_else(|| Screen::Plain(console), Screen::Terminal);
    let mut desk = Desk::new(desk::Person { folder, name }, session, speaker, events, screen);
    let worked = tokio::select! {
        worked = desk.work(&mut keyboard) => worked,
        () = signals.next() => Ok(()),
        // Control refuses the session, and would do so again.
        refused = &mut serving => return Ok(refused??),
    };
    // An error is returned only after the session has ended.
    let left = worked.and_then(|()| desk.leave());
    // The desk has the pens, and `serving` ends only when they are dropped.
    drop(desk);
    stop.cancel();
    serving.await??;
    left
}

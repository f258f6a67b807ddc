//! `arizuko inbox`: a person in an agent's place. Lines and prompts, so that it works over ssh, in
//! pipes and with a screen reader.
//!
//! `desk.rs` is the person at work; `board.rs` is what waits, `keyboard.rs` what is typed,
//! `command.rs` what that means, `screen.rs` what is shown, `typing.rs` when visitors see that
//! somebody writes.

mod board;
mod command;
mod desk;
mod keyboard;
mod screen;
mod typing;

use self::{desk::Desk, keyboard::Keyboard, screen::Screen};
use crate::{
    attach::{
        Settings, folder,
        person::{serve, session},
        speech::Speaker,
    },
    connect,
    console::Console,
};
use anyhow::Context as _;
use arizuko_proto::signals::Signals;
use std::{env, sync::Arc};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How much of a conversation is shown when its turn is taken up.
const HISTORY: u32 = 50;

#[derive(clap::Args)]
#[command(after_help = format!("Once it runs:\n{}", command::HELP))]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
    /// The name that visitors read; without it, your login's
    #[arg(long)]
    name: Option<String>,
    /// Whose turns to answer, for example acme/people
    #[arg(value_parser = folder)]
    folder: String,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let Args { name, folder, .. } = args;
    let name = name
        .or_else(|| env::var("USER").ok())
        .filter(|name| !name.trim().is_empty())
        .context("say who you are: --name Ann")?;
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
    let (tell, told) = mpsc::unbounded_channel();
    let session = session(settings, tell);
    let speaker = Speaker::new(Arc::clone(&control), folder.clone());
    let served = Arc::clone(&session);
    let mut serving = tokio::spawn(async move { serve(&served, &control).await });

    let mut signals = Signals::listen()?;
    let (mut keyboard, printer) = Keyboard::open()?;
    let screen = printer.map_or_else(|| Screen::Plain(console), Screen::Terminal);
    let mut desk = Desk::new((folder, name), (session, speaker), told, screen);
    let worked = tokio::select! {
        worked = desk.work(&mut keyboard) => worked,
        () = signals.next() => Ok(()),
        // Control refuses us, and would do so again.
        refused = &mut serving => return refused?,
    };
    // Whoever has closed our output is not told.
    let left = worked.and_then(|()| desk.leave());
    // With it go the pens, which turns would be kept for.
    drop(desk);
    stop.cancel();
    serving.await??;
    left
}

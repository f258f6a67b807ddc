//! `arizuko agent`: any program as an agent, or speaking first as one.

mod document;
mod exec;
mod process;
mod say;
mod text;

use crate::console::Console;
use clap::Subcommand;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a program once for each turn: the message comes on its standard input, and what it
    /// prints goes to the visitor as it comes
    Exec(exec::Args),
    /// Say something in a conversation without being asked: the visitor reads it at once, or when
    /// the page is opened again
    Say(say::Args),
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    match args.command {
        Command::Exec(args) => exec::run(args).await,
        Command::Say(args) => say::run(args, console).await,
    }
}

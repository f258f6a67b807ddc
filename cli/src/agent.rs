//! `arizuko agent`: any program as an agent.

mod document;
mod exec;
mod process;
mod text;

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
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Exec(args) => exec::run(args).await,
    }
}

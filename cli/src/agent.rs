//! `arizuko agent`: any program, model or endpoint as an agent, or speaking first as one.

mod document;
mod endpoint;
mod exec;
mod http;
mod metrics;
mod openai;
mod process;
mod say;
mod serve;
mod text;

use crate::console::Console;
use arizuko_proto::telemetry;
use clap::Subcommand;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    pub(crate) telemetry: telemetry::Options,
}

#[derive(Subcommand)]
enum Command {
    /// Run a program once for each turn: the message comes on its standard input, and what it
    /// prints goes to the visitor as it comes
    Exec(exec::Args),
    /// Answer with a model, at any endpoint that speaks the protocol of OpenAI's chat completions
    Openai(openai::Args),
    /// Ask an HTTP endpoint of yours about each turn, with one POST: what it answers goes to the
    /// visitor as it comes
    Http(http::Args),
    /// Say something in a conversation without being asked: the visitor reads it at once, or when
    /// the page is opened again
    Say(say::Args),
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    match args.command {
        Command::Exec(args) => exec::run(args).await,
        Command::Openai(args) => openai::run(args).await,
        Command::Http(args) => http::run(args).await,
        Command::Say(args) => say::run(args, console).await,
    }
}

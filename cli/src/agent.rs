//! `arizuko agent`: runs a program, a model or an HTTP endpoint as an agent, or sends a message as
//! an agent.

mod ansi;
mod cgi;
mod document;
mod endpoint;
mod exec;
mod http;
mod metrics;
mod openai;
mod process;
mod say;
mod script;
mod serve;
mod text;

use crate::console::Console;
use arizuko_proto::telemetry;
use clap::Subcommand;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  arizuko agent exec --folder acme -- ./my-agent.sh
  arizuko agent openai --folder acme --base-url http://127.0.0.1:11434/v1 --model llama3.2
  arizuko agent http --folder acme --url http://127.0.0.1:3000/answer
  arizuko agent say --folder acme CONVERSATION 'Your order has shipped.'
")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    pub(crate) telemetry: telemetry::Options,
}

#[derive(Subcommand)]
enum Command {
    /// Run a program for each message: it reads the message and prints the reply
    Exec(exec::Args),
    /// Answer with a model, at any endpoint that speaks OpenAI's chat completions
    Openai(openai::Args),
    /// Post each message to an HTTP endpoint of yours, whose response is the reply
    Http(http::Args),
    /// Send a message that nobody asked for; the visitor sees it now or on the next visit
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

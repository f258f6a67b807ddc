//! The operator's command: mints and revokes links, runs any program as an agent, talks as a
//! visitor, and starts everything in one process. It speaks the same gRPC as everyone else.

mod agent;
mod attach;
mod audit;
mod chat;
mod completions;
mod connect;
mod console;
mod control;
mod demo;
mod folders;
mod inbox;
mod key;
mod route;
mod running;
mod signals;
mod status;
mod tail;
mod time;
mod token;
mod up;

use crate::console::{ClosedPipe, Console};
use clap::{Parser, Subcommand};
use std::{
    ffi::OsString,
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
    time::Duration,
};
use tokio::runtime;
use tracing_subscriber::EnvFilter;

/// Put an AI agent on a web site with one URL.
#[derive(Parser)]
#[command(name = "arizuko", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything in one process on this machine, with a demo agent and a chat link
    Up(up::Args),
    /// Mint, list and revoke chat links and webhooks
    Token(token::Args),
    /// Mint, list and revoke the keys of agents, operators and gateways
    Key(key::Args),
    /// Say what JIDs mean: who answers, as whom, and who does when nobody does
    Route(route::Args),
    /// Run an agent
    Agent(agent::Args),
    /// Answer as a person: see what waits in a folder, and take it up
    Inbox(inbox::Args),
    /// Talk to an agent as a visitor of its chat link
    Chat(chat::Args),
    /// Show the state of control and who is attached
    Status(status::Args),
    /// Show who minted and revoked what
    Audit(audit::Args),
    /// Show what happens from now on
    Tail(tail::Args),
    /// Print the completions for a shell
    Completions(completions::Args),
}

/// Runs the command that `args` say, its own name first, and writes its answer to `out`.
/// Notes and errors go to standard error.
pub fn run(args: impl IntoIterator<Item = OsString>, out: &mut dyn Write) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let program = args.first().map(|name| name.to_string_lossy().into_owned());
    let mut console = Console::new(program.unwrap_or_else(|| "arizuko".into()), out);
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(wrong) if wrong.use_stderr() => return misused(&wrong),
        Err(help) => return conclude(console.text(&help.render().to_string())),
    };
    start_logging(&cli.command);
    // An error says that a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let runtime = match runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return conclude(Err(error.into())),
    };
    let outcome = runtime.block_on(cli.command.run(&mut console));
    // Drops what still runs, agents' processes among it, and waits for no blocked thread.
    runtime.shutdown_timeout(Duration::from_secs(1));
    conclude(outcome)
}

impl Command {
    async fn run(self, console: &mut Console<'_>) -> anyhow::Result<()> {
        match self {
            Self::Up(args) => up::run(args, console).await,
            Self::Token(args) => token::run(args, console).await,
            Self::Key(args) => key::run(args, console).await,
            Self::Route(args) => route::run(args, console).await,
            Self::Agent(args) => agent::run(args, console).await,
            Self::Inbox(args) => inbox::run(args, console).await,
            Self::Chat(args) => chat::run(args, console).await,
            Self::Status(args) => status::run(args, console).await,
            Self::Audit(args) => audit::run(args, console).await,
            Self::Tail(args) => tail::run(args, console).await,
            Self::Completions(args) => completions::run(&args, console),
        }
    }
}

/// Logs to standard error what `RUST_LOG` asks for, or else what suits the command.
fn start_logging(command: &Command) {
    let default = match command {
        Command::Agent(_) => "warn,arizuko=info",
        Command::Up(_) => "warn",
        _ => "error",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // An error says that whoever called `run` has set up logging already.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .try_init();
}

/// Tells an error in one line. A reader that has closed standard output has had enough: that is
/// no failure.
fn conclude(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Err(error) if !error.is::<ClosedPipe>() => {
            if let Some(wrong) = error.downcast_ref() {
                return misused(wrong);
            }
            console::note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Tells what is wrong with the command line.
fn misused(wrong: &clap::Error) -> ExitCode {
    // Nothing is left to try when even standard error is closed.
    let _ = wrong.print();
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

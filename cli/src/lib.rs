//! The operator's command: mints and revokes links, runs any program as an agent, talks as a
//! visitor, and starts everything in one process. It speaks the same gRPC as everyone else.

mod agent;
mod attach;
mod audit;
mod backup;
mod chat;
mod completions;
mod connect;
mod console;
mod control;
mod demo;
mod doctor;
mod folders;
mod http;
mod inbox;
mod key;
mod route;
mod running;
mod sse;
mod status;
mod tail;
mod time;
mod token;
mod up;

use crate::console::{ClosedPipe, Console};
use arizuko_proto::telemetry::{self, Telemetry};
use clap::{Parser, Subcommand};
use std::{ffi::OsString, io::Write, process::ExitCode, time::Duration};
use tokio::runtime::{self, Runtime};

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
    /// Look for what is wrong between here and a visitor, and say what to do
    Doctor(doctor::Args),
    /// Write the embedded store to a file, while it is in use
    Backup(backup::Args),
    /// Put a backup into a data folder that has no store
    Restore(backup::Args),
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
    // An error says that a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let runtime = match runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return conclude(Err(error.into())),
    };
    let telemetry = match cli.command.start_telemetry(&runtime) {
        Ok(telemetry) => telemetry,
        Err(error) => return conclude(Err(error)),
    };
    let outcome = runtime.block_on(cli.command.run(&mut console));
    drop(telemetry);
    // Drops what still runs, agents' processes among it, and waits for no blocked thread.
    runtime.shutdown_timeout(Duration::from_secs(1));
    conclude(outcome)
}

impl Command {
    /// Starts the log and the traces: as they are asked for, or else as suits the command.
    fn start_telemetry(&self, runtime: &Runtime) -> anyhow::Result<Telemetry> {
        let _entered = runtime.enter();
        match self {
            Self::Agent(args) => {
                telemetry::start(&args.telemetry, "arizuko-agent", "warn,arizuko=info")
            }
            Self::Up(args) => telemetry::start(&args.telemetry, "arizuko", "warn"),
            _ => telemetry::start(&telemetry::Options::from_environment()?, "arizuko", "error"),
        }
    }

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
            Self::Doctor(args) => doctor::run(args, console).await,
            Self::Backup(args) => backup::back_up(&args, console),
            Self::Restore(args) => backup::restore(&args, console),
            Self::Audit(args) => audit::run(args, console).await,
            Self::Tail(args) => tail::run(args, console).await,
            Self::Completions(args) => completions::run(&args, console),
        }
    }
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

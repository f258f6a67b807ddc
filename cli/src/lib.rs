//! The `arizuko` command: it issues and revokes links, runs programs as agents, chats as a visitor,
//! and starts everything in one process.

mod agent;
mod audit;
mod backup;
mod calls;
mod chat;
mod completions;
mod connect;
mod console;
mod context;
mod contexts;
mod conversation;
mod delivery;
mod demo;
mod directories;
mod doctor;
mod event;
mod examples;
mod folders;
#[cfg(test)]
mod fuzz;
mod http;
mod inbox;
mod key;
mod man;
mod mcp;
mod open;
mod pager;
mod printable;
mod ready;
mod route;
mod running;
mod sse;
mod status;
mod table;
mod tail;
mod time;
mod token;
mod toml_text;
mod turn;
mod up;
mod watch;
mod wrap;

use crate::{
    calls::Calls,
    console::{ClosedPipe, Console, Manners},
};
use arizuko_agent::{self as attach, control, folder};
use arizuko_proto::{
    telemetry::{self, Telemetry},
    variables,
};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use std::{ffi::OsString, io::Write, process::ExitCode, time::Duration};
use tokio::runtime::{self, Runtime};

/// Put an AI agent on a web site with one URL.
#[derive(Parser)]
#[command(
    name = "arizuko",
    version,
    max_term_width = 100,
    before_help = "\
Examples:
  arizuko up                                            # everything on this machine, and a link
  arizuko token issue acme chat                         # a link for an agent of yours
  arizuko agent exec --folder acme -- ./my-agent.sh     # any program is an agent
"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    manners: Manners,
    /// Name of the context to work in, from `arizuko context add`
    #[arg(long, env = "ARIZUKO_CONTEXT_NAME", value_name = "CONTEXT", help_heading = "Control")]
    context: Option<String>,
}

#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "each run has one, for a moment")]
enum Command {
    /// Start everything in one process, with a demo agent and a chat link
    Up(up::Args),
    /// Chat over a link, as a visitor
    Chat(chat::Args),
    /// Open a link in the browser
    Open(open::Args),
    /// Create, list and revoke chat links and webhooks
    Token(Calls<token::Command>),
    /// Decide who answers: folders, personas, escalation
    Route(Calls<route::Command>),
    /// Answer with a program, a model or an HTTP endpoint
    Agent(agent::Args),
    /// Give a model tools to issue, list and end chat links and webhooks
    Mcp(mcp::Args),
    /// Answer as a person
    Inbox(inbox::Args),
    /// Answer as a person, on a full screen
    Desk(inbox::desk::Args),
    /// List, show, export and delete conversations
    Conversation(Calls<conversation::Command>),
    /// Show one message and what became of it
    Turn(Calls<turn::Command>),
    /// List and show what webhooks' senders have delivered, and take it again
    Delivery(Calls<delivery::Command>),
    /// Post events to your own systems, and replay those that they missed
    Event(Calls<event::Command>),
    /// Show and change the settings of a tenant: how long its messages are kept
    Folder(Calls<folders::Command>),
    /// Create, list, rotate and revoke the keys of agents, operators, viewers and gateways
    Key(Calls<key::Command>),
    /// Show the state of control and who is attached
    Status(status::Args),
    /// Find out what is wrong, and what to do about it
    Doctor(doctor::Args),
    /// Ask a program on this machine whether it can serve
    Ready(ready::Args),
    /// Show events as they happen
    Tail(tail::Args),
    /// Show who issued, changed and revoked what
    Audit(audit::Args),
    /// Keep the addresses and key files of several systems, by name
    Context(context::Args),
    /// Copy the embedded store to a file, while it is in use
    Backup(backup::Args),
    /// Restore a backup to a data folder that has no store
    Restore(backup::Args),
    /// Print the script by which a shell completes this command
    Completions(completions::Args),
    /// Write the manual pages of all programs to a folder, for a package
    #[command(hide = true)]
    Man(man::Args),
}

/// The environment variables that belong to no flag.
const VARIABLES: [&str; 6] = [
    "ARIZUKO_CONTROL",
    "ARIZUKO_KEY",
    "ARIZUKO_KEY_FILE",
    "ARIZUKO_OPENAI_KEY",
    "ARIZUKO_HTTP_SIGNING_SECRET",
    "ARIZUKO_HTTP_TOKEN",
];

/// The commands grouped by purpose, as `--help` lists them.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Try it", &["up", "chat", "open"]),
    ("Links", &["token", "route"]),
    ("Answer", &["agent", "inbox", "desk", "mcp"]),
    ("What was said", &["conversation", "turn", "delivery", "event"]),
    (
        "Operate",
        &[
            "key", "folder", "status", "doctor", "ready", "tail", "audit", "context", "backup",
            "restore",
        ],
    ),
    ("Shell", &["completions", "help"]),
];

/// Returns the command line with its help in groups.
fn command() -> clap::Command {
    let mut command = with_template(Cli::command());
    // Adds the `help` command.
    command.build();
    let mut groups = String::new();
    for (heading, names) in GROUPS {
        groups += &format!("{heading}:\n");
        for subcommand in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
            groups += &format!("  {:12} {about}\n", subcommand.get_name());
        }
        groups.push('\n');
    }
    let command = connect::with_short_forms(with_template(Cli::command()), false);
    examples::pass_down(command, &[], &[]).help_template(format!(
        "{{about-with-newline}}\n{{before-help}}{{usage-heading}} {{usage}}\n\n{groups}\
         Options:\n{{options}}{{after-help}}"
    ))
}

fn with_template(command: clap::Command) -> clap::Command {
    command.help_template(variables::HELP).mut_subcommands(with_template)
}

/// Runs the command in `args`, whose first element is the program's name, and writes its answer to
/// `out`. Notes and errors go to standard error.
pub fn run(args: impl IntoIterator<Item = OsString>, out: &mut dyn Write) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let program = args.first().map(|name| name.to_string_lossy().into_owned());
    let mut console = Console::new(program.unwrap_or_else(|| "arizuko".into()), out);
    if let Some(completed) = completions::complete(&args, &mut console) {
        return completed;
    }
    let parsed = variables::without_empty(command()).try_get_matches_from(args);
    let read = |matches| Ok((Cli::from_arg_matches(&matches)?, connect::context(&matches)));
    let (cli, context) = match parsed.and_then(read) {
        Ok(read) => read,
        Err(error) if error.use_stderr() => return misused(&error),
        Err(help) => return conclude(console.text(&help.render().to_string())),
    };
    cli.manners.adopt();
    if let Some(name) = context.or(cli.context) {
        console.in_context(&name);
        contexts::choose(name);
    }
    // An error says that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let runtime = match runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return conclude(Err(error.into())),
    };
    let telemetry = match cli.command.start_telemetry(&runtime) {
        Ok(telemetry) => telemetry,
        Err(error) => return conclude(Err(error)),
    };
    if matches!(cli.command, Command::Up(_) | Command::Agent(_)) {
        variables::warn_of(&variables::unread(&command(), &VARIABLES));
    }
    let outcome = runtime.block_on(cli.command.run(&mut console));
    // Waits until a pager is quit.
    drop(console);
    drop(telemetry);
    // Ends the tasks that still run, and with them the agents' processes. A blocked thread delays
    // the end by a second at most.
    runtime.shutdown_timeout(Duration::from_secs(1));
    conclude(outcome)
}

impl Command {
    /// Starts logs and traces, by default at the level that suits the command.
    fn start_telemetry(&self, runtime: &Runtime) -> anyhow::Result<Telemetry> {
        let _entered = runtime.enter();
        match self {
            Self::Agent(args) => {
                telemetry::start(&args.telemetry, "arizuko-agent", "warn,arizuko=info")
            }
            Self::Up(args) => telemetry::start(&args.telemetry, "arizuko", "warn"),
            // The other commands have no flags for telemetry. They read the environment.
            _ => telemetry::start(&telemetry::Options::from_environment()?, "arizuko", "error"),
        }
    }

    async fn run(self, console: &mut Console<'_>) -> anyhow::Result<()> {
        match self {
            Self::Up(args) => up::run(args, console).await,
            Self::Token(args) => token::run(args, console).await,
            Self::Conversation(args) => conversation::run(args, console).await,
            Self::Turn(args) => turn::run(args, console).await,
            Self::Delivery(args) => delivery::run(args, console).await,
            Self::Event(args) => event::run(args, console).await,
            Self::Folder(args) => folders::run(args, console).await,
            Self::Key(args) => key::run(args, console).await,
            Self::Route(args) => route::run(args, console).await,
            Self::Agent(args) => agent::run(args, console).await,
            Self::Mcp(args) => mcp::run(args, console).await,
            Self::Inbox(args) => inbox::run(args, console).await,
            Self::Desk(args) => inbox::desk::run(args, console).await,
            Self::Chat(args) => chat::run(args, console).await,
            Self::Open(args) => open::run(&args, console),
            Self::Status(args) => status::run(args, console).await,
            Self::Doctor(args) => doctor::run(args, console).await,
            Self::Ready(args) => ready::run(args, console).await,
            Self::Backup(args) => backup::back_up(&args, console),
            Self::Restore(args) => backup::restore(&args, console),
            Self::Context(args) => context::run(args, console),
            Self::Audit(args) => audit::run(args, console).await,
            Self::Tail(args) => tail::run(args, console).await,
            Self::Completions(args) => completions::run(&args, console),
            Self::Man(args) => man::run(&args, command()),
        }
    }
}

/// Reports an error in one line. It is not an error if the reader of standard output has closed it.
fn conclude(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Err(error) if !error.is::<ClosedPipe>() => {
            if let Some(misuse) = error.downcast_ref() {
                return misused(misuse);
            }
            console::error(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Reports what is wrong with the command line.
fn misused(error: &clap::Error) -> ExitCode {
    // If standard error is closed, nobody reads it.
    let _ = error.print();
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_command_is_in_one_group_of_the_help() {
        let mut command = command();
        command.build();
        let commands = command.get_subcommands().filter(|command| !command.is_hide_set());
        let mut commands: Vec<_> = commands.map(clap::Command::get_name).collect();
        let mut grouped: Vec<_> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        commands.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(commands, grouped);
    }
}

//! `arizuko status`: shows control's version and store, what waits in each folder and who is
//! attached, and how many messages routes have dropped.

use crate::{
    connect,
    console::{Console, Format, note, word},
    table::Spare,
    time,
    watch::Watch,
};
use arizuko_proto::v1::{
    AgentSession, FolderStatus, GetStatusRequest, GetStatusResponse, ServerStatus,
};
use prost_types::Timestamp;
use std::{
    io::{self, IsTerminal as _},
    time::{Duration, SystemTime},
};

/// How long a running control or gateway is silent, at most: a little more than two of the
/// intervals at which it reports.
const SILENT: Duration = Duration::from_secs(35);

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  arizuko status
  arizuko status --watch                   # again every 2 s
")]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    let (json, is_terminal) = (args.format.json, io::stdout().is_terminal());
    let look =
        async || control.answer(control.admin().await?.get_status(GetStatusRequest {}).await);
    let show = |status, console: &mut Console<'_>| match json {
        true => console.message(&status),
        false => show(status, is_terminal, console),
    };
    args.watch.show(json, console, look, show).await
}

fn show(
    status: GetStatusResponse,
    is_terminal: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let (version, since) = (status.version, time::brief(status.started_at));
    console.line(&format!("control     arizuko {version}, up since {since}"))?;
    let schema = match status.schema {
        0 => String::new(), // an older control doesn't say it
        schema => format!(", schema {schema}"),
    };
    let store = format!("{}, {} partitions{schema}", status.store, status.partitions);
    console.hanging("store       ", &store)?;
    for remark in status.store_remarks {
        console.hanging("            ", &remark)?;
    }
    console.line(&format!("public URL  {}", status.public_url))?;
    console.line(&format!("tokens      {} live", status.live_tokens))?;
    if !status.servers.is_empty() {
        console.line("")?;
        show_servers(status.servers, status.now, is_terminal, console)?;
    }
    if !status.folders.is_empty() {
        console.line("")?;
        show_folders(status.folders, is_terminal, console)?;
    }
    if status.sessions.is_empty() {
        note("no agent is attached");
    } else {
        console.line("")?;
        show_sessions(status.sessions, console)?;
    }
    if !status.dropped.is_empty() {
        console.line("")?;
        let rows = status.dropped.into_iter();
        let rows = rows.map(|dropped| [dropped.jid, dropped.messages.to_string()]);
        console.table(["DROPPED FROM", "MESSAGES"], rows.collect(), Spare::default())?;
    }
    Ok(())
}

/// Shows the controls and gateways: in red those that have been silent.
fn show_servers(
    mut servers: Vec<ServerStatus>,
    now: Option<Timestamp>,
    is_terminal: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    servers.sort_by_key(|server| silence(server, now).is_none());
    let silent = servers.iter().take_while(|server| silence(server, now).is_some()).count();
    let rows = servers.into_iter().map(|server| {
        let seen = silence(&server, now).map_or_else(
            || "now".to_owned(),
            |silence| format!("{} ago", time::in_one_unit(silence)),
        );
        let (since, ends) =
            (time::shown(server.started_at), time::shown(server.certificate_ends_at));
        [word(server.kind().as_str_name()), server.name, server.version, since, ends, seen]
    });
    let head = ["SERVER", "NAME", "VERSION", "UP SINCE", "CERTIFICATE ENDS", "SEEN"];
    let spare = Spare { cut: Some("NAME"), drop: &["VERSION"] };
    console.table_with_red(head, rows.collect(), spare, if is_terminal { silent } else { 0 })
}

/// Returns how long a server has been silent, if that is longer than [`SILENT`].
pub(crate) fn silence(server: &ServerStatus, now: Option<Timestamp>) -> Option<Duration> {
    let at = |time: Option<Timestamp>| SystemTime::try_from(time?).ok();
    let silence = at(now)?.duration_since(at(server.seen_at)?).ok()?;
    Some(silence).filter(|silence| *silence > SILENT)
}

/// Shows the folders: in red those where turns wait and nobody is attached.
fn show_folders(
    folders: Vec<FolderStatus>,
    is_terminal: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let alone = folders.iter().take_while(|folder| is_alone(folder)).count();
    let rows = folders.into_iter().map(|folder| {
        let wait = folder.oldest_wait.map(time::rounded).unwrap_or_default();
        [
            folder.folder,
            folder.agents.to_string(),
            format!("{}/{}", folder.credit_used, folder.credit),
            folder.people.to_string(),
            folder.queued.to_string(),
            folder.running.to_string(),
            wait,
        ]
    });
    let head = ["FOLDER", "AGENTS", "CREDIT", "PEOPLE", "QUEUED", "RUNNING", "OLDEST WAIT"];
    let spare = Spare { cut: None, drop: &["CREDIT", "RUNNING"] };
    console.table_with_red(head, rows.collect(), spare, if is_terminal { alone } else { 0 })
}

/// Whether turns wait in the folder and nobody is attached to it.
pub(crate) fn is_alone(folder: &FolderStatus) -> bool {
    folder.queued > 0 && folder.agents + folder.people == 0
}

fn show_sessions(sessions: Vec<AgentSession>, console: &mut Console<'_>) -> anyhow::Result<()> {
    let rows = sessions.into_iter().map(|session| {
        let kind = if session.person { "person" } else { "program" }.into();
        let (turns, attached) = (session.held.to_string(), time::shown(session.attached_at));
        [session.folder, kind, session.name, turns, attached, session.key_id]
    });
    let head = ["AGENT OF", "KIND", "NAME", "TURNS", "ATTACHED", "KEY"];
    console.table(head, rows.collect(), Spare { cut: Some("NAME"), drop: &["KIND"] })
}

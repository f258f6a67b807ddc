//! `arizuko status`: shows control's version and store, who is attached, and how many messages
//! routes have dropped.

use crate::{
    connect,
    console::{Console, Format, note},
    time,
};
use arizuko_proto::v1::{AgentSession, GetStatusRequest};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    let status = control.answer(control.admin().await?.get_status(GetStatusRequest {}).await)?;
    if args.format.json {
        return console.message(&status);
    }
    let (version, since) = (status.version, time::brief(status.started_at));
    console.line(&format!("control     arizuko {version}, up since {since}"))?;
    console.line(&format!("store       {}, {} partitions", status.store, status.partitions))?;
    for remark in status.store_remarks {
        console.line(&format!("            {remark}"))?;
    }
    console.line(&format!("public URL  {}", status.public_url))?;
    console.line(&format!("tokens      {} live", status.live_tokens))?;
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
        console.table(["DROPPED FROM", "MESSAGES"], rows.collect())?;
    }
    Ok(())
}

fn show_sessions(sessions: Vec<AgentSession>, console: &mut Console<'_>) -> anyhow::Result<()> {
    let rows = sessions.into_iter().map(|session| {
        let kind = if session.person { "person" } else { "program" }.into();
        let (turns, attached) = (session.held.to_string(), time::brief(session.attached_at));
        [session.folder, kind, session.name, turns, attached, session.key_id]
    });
    let head = ["AGENT OF", "KIND", "NAME", "TURNS", "ATTACHED", "KEY"];
    console.table(head, rows.collect())
}

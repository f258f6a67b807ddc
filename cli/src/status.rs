//! `arizuko status`: what control is, who is attached, and what was dropped.

use crate::{
    connect,
    console::{Console, note},
    control, time,
};
use arizuko_proto::v1::{AgentSession, GetStatusRequest, admin_service_client::AdminServiceClient};
use serde_json::json;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    let mut admin = AdminServiceClient::new(control.connect().await?)
        .max_decoding_message_size(control::MAX_RESPONSE);
    let status = admin.get_status(GetStatusRequest {}).await;
    let status = status.map_err(|status| control.explain(status))?.into_inner();
    if args.json {
        let sessions = status.sessions.into_iter().map(|session| {
            json!({
                "folder": session.folder,
                "name": session.name,
                "key_id": session.key_id,
                "person": session.person,
                "held": session.held,
                "attached_at": time::rfc3339(session.attached_at),
                "expires_at": time::rfc3339(session.expires_at),
            })
        });
        let dropped = status
            .dropped
            .into_iter()
            .map(|dropped| json!({"jid": dropped.jid, "messages": dropped.messages}));
        return console.document(&json!({
            "version": status.version,
            "store": status.store,
            "public_url": status.public_url,
            "partitions": status.partitions,
            "live_tokens": status.live_tokens,
            "started_at": time::rfc3339(status.started_at),
            "sessions": sessions.collect::<Vec<_>>(),
            "dropped": dropped.collect::<Vec<_>>(),
        }));
    }
    let (version, since) = (status.version, time::brief(status.started_at));
    console.line(&format!("control     arizuko {version}, up since {since}"))?;
    console.line(&format!("store       {}, {} partitions", status.store, status.partitions))?;
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
        let kind = if session.person { "person" } else { "program" };
        let attached = time::brief(session.attached_at);
        [
            session.folder,
            kind.into(),
            session.name,
            session.held.to_string(),
            attached,
            session.key_id,
        ]
    });
    let head = ["AGENT OF", "KIND", "NAME", "TURNS", "ATTACHED", "KEY"];
    console.table(head, rows.collect())
}

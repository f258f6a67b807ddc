//! `arizuko tail`: what happens from now on, a line each.

use crate::{connect, console::Console, time};
use anyhow::bail;
use arizuko_proto::v1::{TailRequest, admin_service_client::AdminServiceClient};
use serde_json::json;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
    /// Only this folder and the folders below it
    folder: Option<String>,
    /// Print one JSON document a line
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    let mut admin = AdminServiceClient::new(control.connect().await?);
    let request = TailRequest { folder: args.folder.unwrap_or_default() };
    let stream = admin.tail(request).await;
    let mut stream = stream.map_err(|status| control.explain(status))?.into_inner();
    while let Some(event) = stream.message().await.map_err(|status| control.explain(status))? {
        if args.json {
            console.document(&json!({
                "at": time::rfc3339(event.at),
                "event": event.event,
                "folder": event.folder,
                "jid": event.jid,
                "conversation": event.conversation,
                "turn_id": event.turn_id,
                "detail": event.detail,
            }))?;
        } else {
            let at = time::brief(event.at);
            let place = if event.jid.is_empty() { event.folder } else { event.jid };
            let line =
                format!("{at}  {:12}  {place}  {}  {}", event.event, event.turn_id, event.detail);
            console.line(line.trim_end())?;
        }
    }
    bail!("control has ended the stream: run this again to go on")
}

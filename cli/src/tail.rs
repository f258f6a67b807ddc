//! `arizuko tail`: shows events as they happen, a line each.

use crate::{
    connect,
    console::{Console, Format},
    time,
};
use anyhow::bail;
use arizuko_proto::v1::TailRequest;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  arizuko tail acme                        # messages, deliveries, ends: as they happen
  arizuko tail --json | jq .event
")]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
    /// Only this folder and the folders below it
    folder: Option<String>,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    let request = TailRequest { folder: args.folder.unwrap_or_default() };
    let mut events = control.answer(control.admin().await?.tail(request).await)?;
    while let Some(event) = events.message().await.map_err(|status| control.explain(status))? {
        if args.format.json {
            console.message(&event)?;
        } else {
            let at = time::brief(event.at);
            let place = if event.jid.is_empty() { event.folder } else { event.jid };
            let line =
                format!("{at}  {:12}  {place}  {}  {}", event.event, event.turn_id, event.detail);
            console.line(line.trim_end())?;
        }
    }
    bail!("control has ended the stream: run this again to continue")
}

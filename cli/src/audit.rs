//! `arizuko audit`: who issued, changed and revoked what.

use crate::{
    connect,
    console::{Console, Format, note},
    time,
};
use arizuko_proto::v1::ListAuditRequest;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
    /// Only this folder and the folders below it
    folder: Option<String>,
    /// How many of the newest entries
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    let request = ListAuditRequest { folder: args.folder.unwrap_or_default(), limit: args.limit };
    let listed = control.answer(control.admin().await?.list_audit(request).await)?;
    if args.format.json {
        return console.message(&listed);
    }
    if listed.entries.is_empty() {
        note("nothing was issued, changed or revoked yet");
        return Ok(());
    }
    let rows = listed.entries.into_iter().map(|entry| {
        let at = time::brief(entry.at);
        [at, entry.actor, entry.action, entry.folder, entry.subject, entry.detail]
    });
    let head = ["AT", "BY", "ACTION", "FOLDER", "SUBJECT", "DETAIL"];
    console.table(head, rows.collect())
}

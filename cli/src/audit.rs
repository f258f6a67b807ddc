//! `arizuko audit`: who minted and revoked what.

use crate::{
    connect,
    console::{Console, note},
    control, time,
};
use arizuko_proto::v1::{ListAuditRequest, admin_service_client::AdminServiceClient};
use serde_json::json;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
    /// Only this folder and the folders below it
    folder: Option<String>,
    /// How many of the newest
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    let mut admin = AdminServiceClient::new(control.connect().await?)
        .max_decoding_message_size(control::MAX_RESPONSE);
    let request = ListAuditRequest { folder: args.folder.unwrap_or_default(), limit: args.limit };
    let listed = admin.list_audit(request).await;
    let entries = listed.map_err(|status| control.explain(status))?.into_inner().entries;
    if args.json {
        let entries = entries.into_iter().map(|entry| {
            json!({
                "at": time::rfc3339(entry.at),
                "actor": entry.actor,
                "action": entry.action,
                "folder": entry.folder,
                "subject": entry.subject,
                "detail": entry.detail,
            })
        });
        return console.document(&json!({"entries": entries.collect::<Vec<_>>()}));
    }
    if entries.is_empty() {
        note("nothing was minted or revoked yet");
        return Ok(());
    }
    let rows = entries.into_iter().map(|entry| {
        let at = time::brief(entry.at);
        [at, entry.actor, entry.action, entry.folder, entry.subject, entry.detail]
    });
    let head = ["AT", "BY", "ACTION", "FOLDER", "SUBJECT", "DETAIL"];
    console.table(head, rows.collect())
}

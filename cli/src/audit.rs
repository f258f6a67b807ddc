//! `arizuko audit`: shows who issued, changed and revoked what.

use crate::{
    connect,
    console::{Console, Format, note},
    table::Spare,
    time,
};
use arizuko_proto::v1::ListAuditRequest;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  arizuko audit acme                       # who issued, changed and read what of a tenant
  arizuko audit --limit 1000 --json        # for a program
")]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
    /// Only this folder and the folders below it
    folder: Option<String>,
    /// How many entries to show, counted back from the newest
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Continue an earlier list from the page token that it printed
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    page: String,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    let folder = args.folder.unwrap_or_default();
    let request = ListAuditRequest {
        folder: folder.clone(),
        limit: args.limit,
        page_token: args.page.clone(),
    };
    let listed = control.answer(control.admin().await?.list_audit(request).await)?;
    if args.format.json {
        return console.message(&listed);
    }
    if listed.entries.is_empty() {
        note("nothing was issued, changed or revoked yet");
        return Ok(());
    }
    if !listed.next_page_token.is_empty() {
        let words = [&format!("audit {folder}"), "--limit", &args.limit.to_string(), "--page"];
        let page = format!("{} {}", words.join(" ").replace("  ", " "), listed.next_page_token);
        let older = console.command(&format!("{page}{}", args.connection.flags()));
        note(&format!("there are older entries: {older}"));
    }
    let rows = listed.entries.into_iter().map(|entry| {
        let at = time::shown(entry.at);
        [at, entry.actor, entry.action, entry.folder, entry.subject, entry.detail]
    });
    let head = ["AT", "BY", "ACTION", "FOLDER", "SUBJECT", "DETAIL"];
    console.table(head, rows.collect(), Spare::default())
}

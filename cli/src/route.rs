//! `arizuko route`: sets, lists, explains and deletes routes.

mod apply;
mod entry;
mod file;
mod set;
mod show;

use crate::{calls::Calls, console::Console, control::Control};
use arizuko_proto::v1::{
    DeleteRouteRequest, ExplainRouteRequest, ListRoutesRequest, ListRoutesResponse,
};
use clap::Subcommand;

#[derive(Subcommand)]
#[command(before_help = "\
Examples:
  arizuko route set web:acme --persona 'friendly concierge'
  arizuko route set web:acme/sales --target acme/sales-bot --topic leads
  arizuko route set web:acme/support --escalate-after 2m --escalate-to acme/people
  arizuko route list acme
  arizuko route explain web:acme/support           # what becomes of a message, and why
  arizuko route export > routes.toml
  arizuko route apply routes.toml --dry-run
  arizuko route delete web:acme/sales
")]
pub(crate) enum Command {
    /// Set the named fields of a prefix's route; the others stay
    Set(Box<set::Set>),
    /// List routes
    List {
        /// Only this folder and the folders below it
        folder: Option<String>,
    },
    /// Show what becomes of a message to a JID, which route says so, and who is attached
    Explain {
        /// Address (JID) that messages come to, for example web:acme/support
        #[arg(value_parser = entry::prefix)]
        jid: String,
    },
    /// Delete a prefix's route
    Delete {
        /// Prefix of the route
        #[arg(value_parser = entry::prefix)]
        prefix: String,
    },
    /// Make the routes exactly those of a file, and show what changes
    Apply(apply::Apply),
    /// Write the routes as the file that `apply` reads
    Export {
        /// Only this folder and the folders below it
        folder: Option<String>,
    },
}

pub(crate) async fn run(args: Calls<Command>, console: &mut Console<'_>) -> anyhow::Result<()> {
    let (json, flags) = (args.format.json, args.connection.flags());
    let control = args.connection.find()?;
    match args.command {
        Command::Set(set) => {
            let request = set.into_request()?;
            let set = control.answer(control.routes().await?.set_route(request).await)?;
            if json { console.message(&set) } else { show::set(set, &flags, console) }
        }
        Command::List { folder } => {
            let listed = list(&control, folder).await?;
            if json { console.message(&listed) } else { show::list(listed.routes, console) }
        }
        Command::Explain { jid } => {
            let request = ExplainRouteRequest { jid: jid.clone() };
            let explained = control.answer(control.routes().await?.explain_route(request).await)?;
            if json {
                return console.message(&explained);
            }
            show::explained(&jid, explained, &flags, console)
        }
        Command::Delete { prefix } => {
            let request = DeleteRouteRequest { prefix: prefix.clone() };
            let deleted = control.answer(control.routes().await?.delete_route(request).await)?;
            show::deleted(&deleted, &prefix, json, console)
        }
        Command::Apply(apply) => apply.run(&control, json, &flags, console).await,
        Command::Export { folder } => {
            let listed = list(&control, folder.clone()).await?;
            match json {
                true => console.message(&listed),
                false => show::exported(folder, listed.routes, console),
            }
        }
    }
}

/// Lists routes, all pages of them.
pub(crate) async fn list(
    control: &Control,
    folder: Option<String>,
) -> anyhow::Result<ListRoutesResponse> {
    let folder = folder.unwrap_or_default();
    let mut request = ListRoutesRequest { folder, ..ListRoutesRequest::default() };
    let (mut client, mut all) = (control.routes().await?, ListRoutesResponse::default());
    loop {
        let page = control.answer(client.list_routes(request.clone()).await)?;
        all.routes.extend(page.routes);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

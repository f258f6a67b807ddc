//! `arizuko route`: what JID prefixes mean.

mod apply;
mod entry;
mod file;
mod set;
mod show;

use crate::{
    connect,
    console::Console,
    control::{self, Control},
};
use arizuko_proto::v1::{
    DeleteRouteRequest, ExplainRouteRequest, ListRoutesRequest, Route,
    route_service_client::RouteServiceClient,
};
use clap::Subcommand;

type Routes = RouteServiceClient<control::Authorized>;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
    /// Print one JSON document
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Set what a prefix says, field by field; what isn't named stays
    Set(Box<set::Set>),
    /// List routes
    List {
        /// Only those of this folder and the folders below it
        folder: Option<String>,
    },
    /// Show what becomes of a message to a JID, which route says so, and who is attached there
    Explain {
        /// What messages come to, for example web:acme/support
        #[arg(value_parser = prefix)]
        jid: String,
    },
    /// Forget what a prefix says
    Delete {
        /// The route's
        #[arg(value_parser = prefix)]
        prefix: String,
    },
    /// Make the routes exactly those of a file: shows the difference, then does it
    Apply(apply::Apply),
    /// Write the routes as the file that `apply` reads
    Export {
        /// Only those of this folder and the folders below it
        folder: Option<String>,
    },
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let (json, flags) = (args.json, args.connection.flags());
    let control = args.connection.find()?;
    let channel = control.connect().await?;
    let mut routes =
        RouteServiceClient::new(channel).max_decoding_message_size(control::MAX_RESPONSE);
    match args.command {
        Command::Set(set) => {
            let set = routes.set_route(set.request()?).await;
            let set = set.map_err(|status| control.explain(status))?.into_inner();
            show::set(set, json, &flags, console)
        }
        Command::List { folder } => {
            let listed = list(&mut routes, &control, folder).await?;
            show::list(listed, json, console)
        }
        Command::Explain { jid } => {
            let request = ExplainRouteRequest { jid: jid.clone() };
            let explained = routes.explain_route(request).await;
            let explained = explained.map_err(|status| control.explain(status))?;
            show::explained(&jid, explained.into_inner(), json, &flags, console)
        }
        Command::Delete { prefix } => {
            let request = DeleteRouteRequest { prefix: prefix.clone() };
            let deleted = routes.delete_route(request).await;
            let deleted = deleted.map_err(|status| control.explain(status))?;
            show::deleted(deleted.into_inner().deleted, &prefix, json, console)
        }
        Command::Apply(apply) => apply.run(&mut routes, &control, json, &flags, console).await,
        Command::Export { folder } => {
            let listed = list(&mut routes, &control, folder).await?;
            show::exported(listed, json, console)
        }
    }
}

async fn list(
    routes: &mut Routes,
    control: &Control,
    folder: Option<String>,
) -> anyhow::Result<Vec<Route>> {
    let folder = folder.unwrap_or_default();
    let listed = routes.list_routes(ListRoutesRequest { folder }).await;
    let listed = listed.map_err(|status| control.explain(status))?;
    Ok(listed.into_inner().routes)
}

/// Control says what else is wrong with a prefix; here it only has to be told from a folder.
fn prefix(text: &str) -> Result<String, String> {
    let path = text.strip_prefix("web:").or(text.strip_prefix("hook:"));
    match path {
        Some(path) if !path.is_empty() && !path.starts_with('/') => Ok(text.to_owned()),
        _ => Err("name a JID or its beginning, such as web:acme or hook:acme/github".into()),
    }
}

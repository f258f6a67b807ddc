//! `arizuko key`: the credentials of agents, operators and gateways.

use crate::{
    connect,
    console::{Console, note},
    control, time,
};
use anyhow::bail;
use arizuko_proto::v1::{
    CreateKeyRequest, Key, KeyKind, KeyReach, ListKeysRequest, RevokeKeyRequest,
    key_service_client::KeyServiceClient,
};
use clap::{ArgGroup, Subcommand};
use serde_json::{Value, json};

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
    /// Mint a key, which is printed this once
    Create(Create),
    /// List live keys
    List {
        /// Only agents' keys of this folder and the folders below it
        folder: Option<String>,
    },
    /// End a key and the streams that were opened with it
    Revoke {
        /// The key's id
        #[arg(value_name = "key_…")]
        key_id: String,
    },
}

#[derive(clap::Args)]
#[command(group = ArgGroup::new("holder").required(true).args(["folder", "operator", "gateway"]))]
struct Create {
    /// The folder of the agent that is to hold it
    folder: Option<String>,
    /// For an operator, who may do everything that operators do
    #[arg(long)]
    operator: bool,
    /// For a gateway
    #[arg(long)]
    gateway: bool,
    /// Let the agent reach the folders below its own, too
    #[arg(long, requires = "folder")]
    subtree: bool,
    /// Don't let the agent mint and revoke tokens
    #[arg(long, requires = "folder")]
    no_mint: bool,
    /// A note for operators
    #[arg(long)]
    name: Option<String>,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    let channel = control.connect().await?;
    let mut keys = KeyServiceClient::new(channel).max_decoding_message_size(control::MAX_RESPONSE);
    match args.command {
        Command::Create(create) => {
            let holder = create.holder();
            let created = keys.create_key(create.request()).await;
            let created = created.map_err(|status| control.explain(status))?.into_inner();
            let (key_id, key) = (created.key_id, created.key);
            if args.json {
                return console.document(&json!({"key_id": key_id, "key": key}));
            }
            console.line(&key)?;
            let revoke = format!("key revoke {key_id}{}", args.connection.flags());
            note(&format!(
                "{key_id}, for {holder}, shown this once. End it with: {}",
                console.command(&revoke)
            ));
            Ok(())
        }
        Command::List { folder } => {
            let folder = folder.unwrap_or_default();
            let listed = keys.list_keys(ListKeysRequest { folder }).await;
            let listed = listed.map_err(|status| control.explain(status))?.into_inner();
            show_list(listed.keys, args.json, console)
        }
        Command::Revoke { key_id } => {
            let request = RevokeKeyRequest { key_id: key_id.clone() };
            let ended = keys.revoke_key(request).await;
            let ended = ended.map_err(|status| control.explain(status))?.into_inner();
            let live = ended.revoked.is_some();
            if args.json {
                console.document(&json!({"revoked": ended.revoked.map(document)}))?;
            } else if live {
                console.line(&format!("revoked {key_id}"))?;
            }
            if !live {
                bail!(
                    "nothing was revoked, as no live key is {key_id}: see {}",
                    console.command("key list")
                );
            }
            Ok(())
        }
    }
}

impl Create {
    fn holder(&self) -> String {
        match &self.folder {
            Some(folder) => format!("an agent of {folder} (it goes into its ARIZUKO_KEY)"),
            None if self.operator => "an operator (it goes into ARIZUKO_KEY)".into(),
            None => "a gateway (it goes into its ARIZUKO_GATEWAY_KEY)".into(),
        }
    }

    fn request(self) -> CreateKeyRequest {
        let (kind, reach) = match (&self.folder, self.operator) {
            (Some(_), _) if self.subtree => (KeyKind::Agent, KeyReach::Subtree),
            (Some(_), _) => (KeyKind::Agent, KeyReach::Self_),
            (None, true) => (KeyKind::Operator, KeyReach::Unspecified),
            (None, false) => (KeyKind::Gateway, KeyReach::Unspecified),
        };
        CreateKeyRequest {
            kind: kind.into(),
            reach: reach.into(),
            may_mint: self.folder.is_some() && !self.no_mint,
            folder: self.folder.unwrap_or_default(),
            name: self.name.unwrap_or_default(),
        }
    }
}

fn show_list(keys: Vec<Key>, json: bool, console: &mut Console<'_>) -> anyhow::Result<()> {
    if json {
        let keys: Vec<_> = keys.into_iter().map(document).collect();
        return console.document(&json!({ "keys": keys }));
    }
    if keys.is_empty() {
        note("no live keys");
        return Ok(());
    }
    let rows = keys.into_iter().map(|key| {
        let (kind, reach) = (kind(&key), reach(&key));
        let mints = if key.may_mint { "yes" } else { "no" };
        let created = time::brief(key.created_at);
        [key.key_id, kind.into(), key.folder, reach.into(), mints.into(), created, key.name]
    });
    let head = ["KEY", "KIND", "FOLDER", "REACH", "MINTS", "CREATED", "NAME"];
    console.table(head, rows.collect())
}

fn document(key: Key) -> Value {
    json!({
        "kind": kind(&key),
        "reach": reach(&key),
        "key_id": key.key_id,
        "folder": key.folder,
        "may_mint": key.may_mint,
        "name": key.name,
        "created_at": time::rfc3339(key.created_at),
    })
}

fn kind(key: &Key) -> &'static str {
    match key.kind() {
        KeyKind::Operator => "operator",
        KeyKind::Agent => "agent",
        KeyKind::Gateway => "gateway",
        KeyKind::Unspecified => "unknown",
    }
}

fn reach(key: &Key) -> &'static str {
    match key.reach() {
        KeyReach::Self_ => "self",
        KeyReach::Subtree => "subtree",
        KeyReach::Unspecified => "",
    }
}

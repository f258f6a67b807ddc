//! `arizuko key`: creates, lists, rotates and revokes keys.

use crate::{
    calls::Calls,
    console::{Console, note, word},
    control::Control,
    table::Spare,
    time,
};
use arizuko_proto::v1::{
    CreateKeyRequest, Key, KeyKind, KeyReach, ListKeysRequest, ListKeysResponse, RevokeKeyRequest,
};
use clap::{ArgGroup, Subcommand};
use prost_types::Duration;
use rotate::Rotate;

mod rotate;

#[derive(Subcommand)]
#[command(before_help = "\
Examples:
  arizuko key create acme                # for an agent of acme; prints the key
  arizuko key create acme/people --speak-as-person --expires 90d
  arizuko key create --gateway --name eu-1
  arizuko key create --viewer --name ana # reads everything that operators read, changes nothing
  arizuko key list
  arizuko key rotate key_…               # prints another secret of the key; both work for a day
  arizuko key revoke key_… --with-links  # and every link that it has issued
")]
pub(crate) enum Command {
    /// Create a key and print it; it is shown only this once
    Create(Create),
    /// List the keys that work, with the hour in which each was last used
    List {
        /// Only agents' keys of this folder and the folders below it
        folder: Option<String>,
    },
    /// Give a key another secret and print it; it is shown only this once, and the old one works
    /// for a while
    Rotate(Rotate),
    /// End a key and every stream that was opened with it
    Revoke {
        /// Id of the key
        #[arg(value_name = "key_…")]
        key_id: String,
        /// Revoke every link that the key has issued, too
        #[arg(long)]
        with_links: bool,
    },
}

#[derive(clap::Args)]
#[command(group = ArgGroup::new("holder").required(true).args(["folder", "operator", "viewer", "gateway"]))]
pub(crate) struct Create {
    /// For an agent of this folder
    folder: Option<String>,
    /// For an operator, who may read and change everything
    #[arg(long)]
    operator: bool,
    /// For somebody who reads everything that operators read, and changes nothing
    #[arg(long)]
    viewer: bool,
    /// For a gateway
    #[arg(long)]
    gateway: bool,
    /// Let the agent reach the folders below its own, too
    #[arg(long, requires = "folder")]
    subtree: bool,
    /// Don't let the agent issue and revoke tokens
    #[arg(long, requires = "folder")]
    no_mint: bool,
    /// Don't let the agent read links, routes, conversations and their history
    #[arg(long, requires = "folder", conflicts_with = "speak_as_person")]
    no_read: bool,
    /// Let the agent set and delete the routes of its folder
    #[arg(long, requires = "folder")]
    routes: bool,
    /// Let the agent answer and write as a person
    #[arg(long, requires = "folder")]
    speak_as_person: bool,
    /// How long the key lives, for example 90d [default: until it is revoked]
    #[arg(long, value_name = "DURATION", value_parser = time::parse)]
    expires: Option<Duration>,
    /// A note for operators
    #[arg(long)]
    name: Option<String>,
}

pub(crate) async fn run(args: Calls<Command>, console: &mut Console<'_>) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    let json = args.format.json;
    match args.command {
        Command::Create(create) => {
            let holder = create.holder();
            let request = create.into_request();
            let created = control.answer(control.keys().await?.create_key(request).await)?;
            if json {
                return console.message(&created);
            }
            console.line(&created.key)?;
            let (key_id, flags) = (created.key_id, args.connection.flags());
            let revoke = console.command(&format!("key revoke {key_id}{flags}"));
            note(&format!(
                "the key {key_id}, for {holder}, shown this once. Revoke it with: {revoke}"
            ));
            Ok(())
        }
        Command::List { folder } => {
            let listed = list(&control, folder.unwrap_or_default()).await?;
            if json { console.message(&listed) } else { show_list(listed.keys, console) }
        }
        Command::Rotate(rotate) => {
            rotate.run(&control, &args.connection.flags(), json, console).await
        }
        Command::Revoke { key_id, with_links } => {
            let request = RevokeKeyRequest { key_id, with_tokens: with_links };
            revoke(&control, request, &args.connection.flags(), json, console).await
        }
    }
}

/// Lists keys, all pages of them.
pub(crate) async fn list(control: &Control, folder: String) -> anyhow::Result<ListKeysResponse> {
    let mut request = ListKeysRequest { folder, ..ListKeysRequest::default() };
    let (mut client, mut all) = (control.keys().await?, ListKeysResponse::default());
    loop {
        let page = control.answer(client.list_keys(request.clone()).await)?;
        all.keys.extend(page.keys);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

impl Create {
    fn holder(&self) -> String {
        match &self.folder {
            Some(folder) => format!("an agent of {folder} (set ARIZUKO_KEY to it)"),
            None if self.operator => "an operator (set ARIZUKO_KEY to it)".into(),
            None if self.viewer => "a viewer (set ARIZUKO_KEY to it)".into(),
            None => "a gateway (set ARIZUKO_GATEWAY_KEY to it)".into(),
        }
    }

    fn into_request(self) -> CreateKeyRequest {
        let (kind, reach) = match &self.folder {
            Some(_) if self.subtree => (KeyKind::Agent, KeyReach::Subtree),
            Some(_) => (KeyKind::Agent, KeyReach::Self_),
            None if self.operator => (KeyKind::Operator, KeyReach::Unspecified),
            None if self.viewer => (KeyKind::Viewer, KeyReach::Unspecified),
            None => (KeyKind::Gateway, KeyReach::Unspecified),
        };
        CreateKeyRequest {
            kind: kind.into(),
            reach: reach.into(),
            may_mint: self.folder.is_some() && !self.no_mint,
            may_read: self.folder.is_some() && !self.no_read,
            folder: self.folder.unwrap_or_default(),
            name: self.name.unwrap_or_default(),
            may_set_routes: self.routes,
            may_speak_as_person: self.speak_as_person,
            lifetime: self.expires,
        }
    }
}

fn show_list(keys: Vec<Key>, console: &mut Console<'_>) -> anyhow::Result<()> {
    if keys.is_empty() {
        note("no live keys");
        return Ok(());
    }
    let rows = keys.into_iter().map(|key| {
        let (kind, reach) = (word(key.kind().as_str_name()), word(key.reach().as_str_name()));
        let may = [
            (key.may_mint, "mint"),
            (key.may_read, "read"),
            (key.may_set_routes, "routes"),
            (key.may_speak_as_person, "speak-as-person"),
        ];
        let may = may.iter().filter(|(may, _)| *may).map(|(_, what)| *what);
        let may = may.collect::<Vec<_>>().join(",");
        let mut rotated = time::shown(key.rotated_at);
        if let Some(at) = key.old_secret_ends_at {
            rotated += &format!(" (old secret until {})", time::shown(Some(at)));
        }
        let expires = key.expires_at.map(|at| time::shown(Some(at))).unwrap_or_default();
        let (created, used) = (time::shown(key.created_at), time::shown(key.last_used_at));
        [key.key_id, kind, key.folder, reach, may, created, rotated, used, expires, key.name]
    });
    let head =
        ["KEY", "KIND", "FOLDER", "REACH", "MAY", "CREATED", "ROTATED", "USED", "EXPIRES", "NAME"];
    let drop = &["REACH", "ROTATED", "CREATED", "MAY", "EXPIRES"];
    console.table(head, rows.collect(), Spare { cut: Some("NAME"), drop })
}

async fn revoke(
    control: &Control,
    request: RevokeKeyRequest,
    flags: &str,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let RevokeKeyRequest { key_id, with_tokens } = request.clone();
    let ended = control.answer(control.keys().await?.revoke_key(request).await)?;
    if json {
        return console.message(&ended);
    }
    let links = match ended.tokens {
        1 => "1 link".to_owned(),
        count => format!("{count} links"),
    };
    if ended.revoked.is_some() {
        console.line(&format!("revoked {key_id}"))?;
    } else {
        // No error: an earlier call may have revoked the key.
        let list = console.command("key list");
        note(&format!("{key_id} is not a live key: nothing to revoke. See {list}"));
    }
    if with_tokens {
        console.line(&format!("revoked {links} that it had issued"))?;
    } else if ended.tokens > 0 {
        let revoke = console.command(&format!("token revoke --issued-by {key_id}{flags}"));
        note(&format!("it has issued {links} that still work. End them with: {revoke}"));
    }
    Ok(())
}

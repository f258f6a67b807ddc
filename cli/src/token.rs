//! `arizuko token`: chat links and webhooks.

use crate::{
    calls::Calls,
    console::{Console, note},
    control::Control,
    table::Spare,
    time,
};
use anyhow::bail;
use arizuko_proto::v1::{
    IssueChatLinkResponse, IssueWebhookRequest, IssueWebhookResponse, LinkOptions,
    ListTokensRequest, ListTokensResponse, SetVisitorKeysRequest, SetWebhookSecretsRequest, Token,
    revoke_token_request, token_target::Target,
};
use clap::Subcommand;
use edit::Edit;
use hook::HookArgs;
use options::{ChatOptions, Given, Options};
use std::path::PathBuf;
use target::NAMES;

mod edit;
mod ended;
mod hook;
mod options;
mod qr;
mod revoke;
mod show;
mod stats;
mod target;
mod visitor;

#[derive(Subcommand)]
#[command(before_help = "\
Examples:
  arizuko token issue acme chat                    # prints the link
  arizuko token issue acme chat --expires 30d --suffix support
  arizuko token issue acme chat --rate 20/m --max-open-turns 5
  arizuko token issue acme chat --max-turns-per-day 200 --budget-tokens 1M/day
  arizuko token issue acme chat --proof-of-work auto   # for a public page under attack
  arizuko token issue acme chat --title 'Acme support' --logo-file logo.svg --accent '#2563eb' \\
      --ask 'Where is my order?' --ask 'I want to return something'
  arizuko token issue acme chat --visitor-key-file key.pem   # your site says who its visitors are
  arizuko token issue acme hook github             # prints a URL for GitHub to post to
  arizuko token issue acme hook github --verify github --secret-file secret.txt
  arizuko token issue acme hook ci --dedupe body   # the same body twice in 72 hours is one message
  arizuko token issue acme hook slack --wait 3s    # the agent's response answers the sender
  arizuko token issue acme hook gh --only x-github-event=pull_request --only-json /action=opened
  arizuko token list acme
  arizuko token list --jid-prefix web:acme/ --expiring 7d
  arizuko token list acme --all                    # what was revoked or has expired, too
  arizuko token show web:acme/support
  arizuko token edit web:acme/support --title 'Acme help' --rate 10/m --clear greeting,logo
  arizuko token stats web:acme/support --days 30
  arizuko token qr https://acme.example/chat/TOKEN/ --svg > link.svg
  arizuko token pause web:acme/support             # takes no messages until it is resumed
  arizuko token resume web:acme/support
  arizuko token secrets tok_… --secret-file new.txt --secret-file old.txt
  arizuko token visitor-keys tok_… --visitor-key-file key.pem
  arizuko token revoke web:acme/support
  arizuko token revoke --dry-run https://acme.example/chat/TOKEN/ tok_… web:acme/old
  arizuko token revoke --issued-by key_…           # every link that the key has issued
")]
pub(crate) enum Command {
    /// Create a chat link or webhook and print its URL, which can't be shown again
    Issue {
        /// Folder: the path that names the agent that answers, for example acme or acme/eng
        folder: String,
        #[command(subcommand)]
        kind: Kind,
    },
    /// List the chat links and webhooks that work
    List {
        /// Only this folder and the folders below it
        folder: Option<String>,
        /// Only addresses (JIDs) that begin with this, for example web:acme/
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        jid_prefix: String,
        /// Only what ends within this time, for example 7d
        #[arg(long, value_name = "DURATION", value_parser = time::parse)]
        expiring: Option<prost_types::Duration>,
        /// Also those that were revoked or expired, as far as the audit log goes back
        #[arg(long, conflicts_with = "expiring")]
        all: bool,
    },
    /// Show everything about chat links or webhooks except their URLs
    Show {
        /// An address (JID) such as web:acme/support, to show every token on it, or the id or URL
        /// of one token
        #[arg(value_name = NAMES, value_parser = target::parse)]
        target: Target,
    },
    /// Show what chat links or webhooks did, by day of UTC
    Stats {
        /// A JID, for all tokens on it together, or the id or URL of one token
        #[arg(value_name = NAMES, value_parser = target::parse)]
        target: Target,
        /// How many days, up to today
        #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=35))]
        days: u32,
    },
    /// Print a link as a QR code
    Qr {
        /// The link's URL, as `issue` printed it
        #[arg(value_parser = qr::url)]
        url: String,
        /// Print an SVG picture, not characters for a terminal
        #[arg(long)]
        svg: bool,
    },
    /// Change chat links or webhooks; their URLs stay
    Edit(Edit),
    /// Pause chat links or webhooks: they take no messages, and their streams end
    Pause {
        /// A JID, to pause every token on it, or the id or URL of one token
        #[arg(value_name = NAMES, value_parser = target::parse)]
        target: Target,
    },
    /// Resume chat links or webhooks that are paused
    Resume {
        /// A JID, to resume every token on it, or the id or URL of one token
        #[arg(value_name = NAMES, value_parser = target::parse)]
        target: Target,
    },
    /// Change the secrets with which a webhook's sender signs
    Secrets {
        /// The token's id or URL
        #[arg(value_name = "tok_…|URL", value_parser = target::id)]
        token: String,
        /// File with a secret; name two files, with the new and the old secret, during a change
        #[arg(long, value_name = "FILE", required = true)]
        secret_file: Vec<PathBuf>,
    },
    /// Change the keys that check who a chat link's visitors are; without a file, remove them
    VisitorKeys {
        /// The link's id or URL
        #[arg(value_name = "tok_…|URL", value_parser = target::id)]
        token: String,
        #[command(flatten)]
        keys: visitor::Keys,
    },
    /// End chat links or webhooks; their URLs answer 401 from then on
    Revoke {
        /// JIDs, to end every token on them, or the ids or URLs of tokens
        #[arg(value_name = NAMES, value_parser = target::parse, required_unless_present = "issued_by")]
        targets: Vec<Target>,
        /// End every token that this key has issued
        #[arg(long, value_name = "key_…", conflicts_with = "targets")]
        issued_by: Option<String>,
        /// Only list what would end
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum Kind {
    /// A chat link: whoever opens it talks to the agent
    Chat {
        #[command(flatten)]
        suffix: Suffix,
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        chat: ChatOptions,
        #[command(flatten)]
        keys: visitor::Keys,
    },
    /// A webhook: whatever is posted to it goes to the agent
    Hook {
        /// Who posts, for example github
        source: String,
        #[command(flatten)]
        hook: HookArgs,
        #[command(flatten)]
        suffix: Suffix,
        #[command(flatten)]
        options: Options,
    },
}

#[derive(clap::Args)]
pub(crate) struct Suffix {
    /// Last part of the address (JID), to tell this URL from the folder's others: with `support`
    /// the address is web:acme/support, for example
    #[arg(long)]
    suffix: Option<String>,
}

pub(crate) async fn run(args: Calls<Command>, console: &mut Console<'_>) -> anyhow::Result<()> {
    if let Command::Qr { url, svg } = &args.command {
        return console.raw(&qr::print(url, *svg)?);
    }
    let control = args.connection.find()?;
    let json = args.format.json;
    match args.command {
        Command::Issue { folder, kind } => {
            let issued = issue(&control, &folder, kind).await?;
            if json {
                console.message(&issued)?;
            } else {
                console.line(&issued.url)?;
            }
            advise(&issued, &folder, &args.connection.flags(), console);
            Ok(())
        }
        Command::List { folder, jid_prefix, expiring, all } => {
            let folder = folder.unwrap_or_default();
            let request =
                ListTokensRequest { folder: folder.clone(), ..ListTokensRequest::default() };
            let mut listed = list(&control, request).await?;
            let ended = match all {
                true if json => {
                    bail!(
                        "--all has no JSON: a program finds what has ended in `arizuko audit --json`"
                    )
                }
                true => ended::rows(&control, &folder, &jid_prefix).await?,
                false => Vec::new(),
            };
            listed.tokens.retain(|token| token.jid.starts_with(&jid_prefix));
            if let Some(until) = expiring.map(time::after_now) {
                let until = (until.seconds, until.nanos);
                let ends = |token: &Token| {
                    token.expires_at.is_some_and(|at| (at.seconds, at.nanos) <= until)
                };
                listed.tokens.retain(ends);
            }
            if json { console.message(&listed) } else { show_list(listed.tokens, ended, console) }
        }
        Command::Show { target } => show::run(target, &control, json, console).await,
        Command::Stats { target, days } => stats::run(target, days, &control, json, console).await,
        Command::Qr { .. } => Ok(()),
        Command::Edit(edit) => edit::run(edit, &control, json, console).await,
        Command::Pause { target } => edit::pause(target, true, &control, json, console).await,
        Command::Resume { target } => edit::pause(target, false, &control, json, console).await,
        Command::Secrets { token, secret_file } => {
            let request =
                SetWebhookSecretsRequest { token_id: token, secrets: hook::read(&secret_file)? };
            let set = control.tokens().await?.set_webhook_secrets(request).await;
            let set = control.answer(set)?;
            if json { console.message(&set) } else { Ok(()) }
        }
        Command::VisitorKeys { token, keys } => {
            let request = SetVisitorKeysRequest { token_id: token, keys: keys.read()? };
            let set = control.answer(control.tokens().await?.set_visitor_keys(request).await)?;
            if json { console.message(&set) } else { Ok(()) }
        }
        Command::Revoke { targets, issued_by, dry_run } => {
            let targets = targets.into_iter().map(target::to_revoke);
            let targets = targets.chain(issued_by.map(revoke_token_request::Target::IssuedBy));
            revoke::run(targets, dry_run, &control, json, console).await
        }
    }
}

/// Lists tokens, all pages of them.
pub(crate) async fn list(
    control: &Control,
    mut request: ListTokensRequest,
) -> anyhow::Result<ListTokensResponse> {
    let (mut client, mut all) = (control.tokens().await?, ListTokensResponse::default());
    loop {
        let page = control.answer(client.list_tokens(request.clone()).await)?;
        all.tokens.extend(page.tokens);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

async fn issue(
    control: &Control,
    folder: &str,
    kind: Kind,
) -> anyhow::Result<IssueChatLinkResponse> {
    match kind {
        Kind::Chat { suffix, options, chat, keys } => {
            let mut given = Given::default();
            options.give(&mut given);
            chat.give(&mut given)?;
            given.options.visitor_keys = keys.read()?;
            let suffix = suffix.suffix.unwrap_or_default();
            Ok(control.issue_chat_link(folder, &suffix, given.options).await?)
        }
        Kind::Hook { source, hook, suffix, options } => {
            let mut given = Given::default();
            options.give(&mut given);
            hook.give(&mut given)?;
            let (jid_suffix, options) = (suffix.suffix.unwrap_or_default(), Some(given.options));
            let folder = folder.to_owned();
            let request = IssueWebhookRequest { folder, source, jid_suffix, options };
            let mut tokens = control.tokens().await?;
            let issued = control.answer(tokens.issue_webhook(request).await)?;
            // The two responses have the same fields.
            let IssueWebhookResponse { token, url, jid, token_id, agent_attached } = issued;
            Ok(IssueChatLinkResponse { token, url, jid, token_id, agent_attached })
        }
    }
}

/// Says how to end a token, and how to attach an agent if there is none.
fn advise(issued: &IssueChatLinkResponse, folder: &str, flags: &str, console: &Console<'_>) {
    let IssueChatLinkResponse { jid, token_id, .. } = issued;
    let revoke = console.command(&format!("token revoke {token_id}{flags}"));
    note(&format!("the URL of {jid}, shown this once. Revoke it with: {revoke}"));
    if !issued.agent_attached {
        console.note_unattended(folder, flags);
    }
}

/// Shows live tokens, and rows of those that have `ended`.
fn show_list(
    tokens: Vec<Token>,
    ended: Vec<[String; 7]>,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    if tokens.is_empty() && ended.is_empty() {
        note("no live tokens");
        return Ok(());
    }
    let rows = tokens.into_iter().map(|token| {
        let LinkOptions { name, paused, .. } = token.options.unwrap_or_default();
        let (issued, expires) = (time::shown(token.created_at), time::shown(token.expires_at));
        let state = if paused { "paused" } else { "" };
        [token.jid, token.token_id, state.to_owned(), issued, expires, token.created_by, name]
    });
    let head = ["JID", "TOKEN", "STATE", "ISSUED", "EXPIRES", "BY", "NAME"];
    let spare = Spare { cut: Some("NAME"), drop: &["BY", "ISSUED"] };
    console.table(head, rows.chain(ended).collect(), spare)
}

//! `arizuko token`: chat links and webhooks.

use crate::{
    connect,
    console::{Console, Format, note},
    control::Control,
    time,
};
use arizuko_proto::v1::{
    IssueChatLinkRequest, IssueChatLinkResponse, IssueWebhookRequest, IssueWebhookResponse,
    LinkLimits, LinkOptions, ListTokensRequest, ProofOfWork, Rate, RevokeTokenRequest,
    SetWebhookSecretsRequest, Token, revoke_token_request::Target,
};
use clap::Subcommand;
use hook::HookArgs;
use std::path::PathBuf;

mod hook;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  arizuko token issue acme chat                    # prints the link
  arizuko token issue acme chat --expires 30d --suffix support
  arizuko token issue acme chat --rate 20/m --max-open-turns 5
  arizuko token issue acme chat --proof-of-work auto   # for a public page under attack
  arizuko token issue acme hook github             # prints a URL for GitHub to post to
  arizuko token issue acme hook github --verify github --secret-file secret.txt
  arizuko token issue acme hook ci --dedupe body   # the same body twice in 72 hours is one message
  arizuko token list acme
  arizuko token revoke web:acme/support
  arizuko token revoke --issued-by key_…           # every link that the key has issued
")]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
    #[command(flatten)]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "each run has one, for a moment")]
enum Command {
    /// Create a chat link or webhook and print its URL, which can't be shown again
    Issue {
        /// Folder of the agent that answers, for example acme or acme/eng
        folder: String,
        #[command(subcommand)]
        kind: Kind,
    },
    /// List the chat links and webhooks that work
    List {
        /// Only this folder and the folders below it
        folder: Option<String>,
    },
    /// Change the secrets with which a webhook's sender signs
    Secrets {
        /// The token's id
        #[arg(value_name = "tok_…")]
        token: String,
        /// File with a secret; name two files, with the new and the old secret, during a change
        #[arg(long, value_name = "FILE", required = true)]
        secret_file: Vec<PathBuf>,
    },
    /// End chat links or webhooks; their URLs answer 401 from then on
    Revoke {
        /// A JID, to end every token on it, or the id of one token
        #[arg(value_name = "JID|tok_…", value_parser = target, required_unless_present = "issued_by")]
        target: Option<Target>,
        /// End every token that this key has issued
        #[arg(long, value_name = "key_…", conflicts_with = "target")]
        issued_by: Option<String>,
    },
}

#[derive(Subcommand)]
enum Kind {
    /// A chat link: whoever opens it talks to the agent
    Chat {
        #[command(flatten)]
        options: Options,
        /// First line of the page, in Markdown
        #[arg(long)]
        greeting: Option<String>,
        /// Site that may embed the page, for example https://acme.com; repeatable
        #[arg(long, value_name = "ORIGIN")]
        origin: Vec<String>,
        /// Take a message only after about a second of work by the visitor's browser: always, or
        /// while the link is near its limits (auto). Needs JavaScript and HTTPS
        #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
        proof_of_work: Proof,
    },
    /// A webhook: whatever is posted to it goes to the agent
    Hook {
        /// Who posts, for example github
        source: String,
        #[command(flatten)]
        hook: HookArgs,
        #[command(flatten)]
        options: Options,
    },
}

/// When a chat link asks for a proof of work.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
enum Proof {
    #[default]
    Off,
    On,
    Auto,
}

impl From<Proof> for ProofOfWork {
    fn from(proof: Proof) -> Self {
        match proof {
            Proof::Off => Self::Unspecified,
            Proof::On => Self::On,
            Proof::Auto => Self::Auto,
        }
    }
}

#[derive(clap::Args)]
struct Options {
    /// Last part of the JID, to tell this URL from the folder's other URLs
    #[arg(long)]
    suffix: Option<String>,
    /// Name, for lists and as the title of a chat page
    #[arg(long)]
    name: Option<String>,
    /// Text that the agent gets with every message and visitors never see
    #[arg(long)]
    context: Option<String>,
    /// How many messages each visitor of a chat link may send, or a webhook takes in all: N/s, N/m
    /// or N/h, for example 20/m
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<Rate>,
    /// How many messages may come at once [default: the number in --rate]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    burst: Option<u32>,
    /// How many messages of each visitor, or of a webhook, may be waiting for the end of their reply
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_open_turns: Option<u32>,
    /// End the token after this long, for example 30d or 12h
    #[arg(long, value_name = "DURATION", value_parser = time::parse)]
    expires: Option<prost_types::Duration>,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
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
        Command::List { folder } => {
            let request = ListTokensRequest { folder: folder.unwrap_or_default() };
            let listed = control.answer(control.tokens().await?.list_tokens(request).await)?;
            if json { console.message(&listed) } else { show_list(listed.tokens, console) }
        }
        Command::Secrets { token, secret_file } => {
            let request =
                SetWebhookSecretsRequest { token_id: token, secrets: hook::read(&secret_file)? };
            let set = control.tokens().await?.set_webhook_secrets(request).await;
            let set = control.answer(set)?;
            if json { console.message(&set) } else { Ok(()) }
        }
        Command::Revoke { target, issued_by } => {
            let target = target.or(issued_by.map(Target::IssuedBy));
            revoke(&control, target, json, console).await
        }
    }
}

async fn issue(
    control: &Control,
    folder: &str,
    kind: Kind,
) -> anyhow::Result<IssueChatLinkResponse> {
    let mut tokens = control.tokens().await?;
    let folder = folder.to_owned();
    match kind {
        Kind::Chat { options, greeting, origin, proof_of_work } => {
            let (jid_suffix, options) = options.into_request(proof_of_work.into());
            let greeting = greeting.unwrap_or_default();
            let options = Some(LinkOptions { greeting, allowed_origins: origin, ..options });
            let request = IssueChatLinkRequest { folder, jid_suffix, options };
            control.answer(tokens.issue_chat_link(request).await)
        }
        Kind::Hook { source, hook, options } => {
            let (jid_suffix, options) = options.into_request(ProofOfWork::Unspecified);
            let options = LinkOptions { hook: hook.into_request()?, ..options };
            let request =
                IssueWebhookRequest { folder, source, jid_suffix, options: Some(options) };
            let issued = control.answer(tokens.issue_webhook(request).await)?;
            // The two responses have the same fields.
            let IssueWebhookResponse { token, url, jid, token_id, agent_attached } = issued;
            Ok(IssueChatLinkResponse { token, url, jid, token_id, agent_attached })
        }
    }
}

impl Options {
    /// Returns the JID's suffix, and the options that both kinds of tokens have.
    fn into_request(self, proof_of_work: ProofOfWork) -> (String, LinkOptions) {
        let limits = LinkLimits {
            rate: self.rate,
            burst: self.burst.unwrap_or_default(),
            max_open_turns: self.max_open_turns.unwrap_or_default(),
            proof_of_work: proof_of_work.into(),
        };
        let options = LinkOptions {
            limits: (limits != LinkLimits::default()).then_some(limits),
            name: self.name.unwrap_or_default(),
            context: self.context.unwrap_or_default(),
            lifetime: self.expires,
            ..LinkOptions::default()
        };
        (self.suffix.unwrap_or_default(), options)
    }
}

/// Says how to end a token, and how to attach an agent if there is none.
fn advise(issued: &IssueChatLinkResponse, folder: &str, flags: &str, console: &Console<'_>) {
    let IssueChatLinkResponse { jid, token_id, .. } = issued;
    let revoke = console.command(&format!("token revoke {token_id}{flags}"));
    note(&format!("{jid}, shown this once. End it with: {revoke}"));
    if !issued.agent_attached {
        console.note_unattended(folder, flags);
    }
}

fn show_list(tokens: Vec<Token>, console: &mut Console<'_>) -> anyhow::Result<()> {
    if tokens.is_empty() {
        note("no live tokens");
        return Ok(());
    }
    let rows = tokens.into_iter().map(|token| {
        let name = token.options.unwrap_or_default().name;
        let (issued, expires) = (time::brief(token.created_at), time::brief(token.expires_at));
        [token.jid, token.token_id, issued, expires, token.created_by, name]
    });
    let head = ["JID", "TOKEN", "ISSUED", "EXPIRES", "BY", "NAME"];
    console.table(head, rows.collect())
}

async fn revoke(
    control: &Control,
    target: Option<Target>,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let request = RevokeTokenRequest { target };
    let ended = control.answer(control.tokens().await?.revoke_token(request).await)?;
    let count = ended.revoked.len();
    if json {
        console.message(&ended)?;
    } else if count > 0 {
        let tokens = if count == 1 { "token" } else { "tokens" };
        console.line(&format!("revoked {count} {tokens}:"))?;
        for token in ended.revoked {
            console.line(&format!("{}  {}", token.token_id, token.jid))?;
        }
    }
    if count == 0 {
        // This is no error: a repeat of the command finds that the tokens have ended already.
        let list = console.command("token list");
        note(&format!("no live token there: nothing to revoke. See {list}"));
    }
    Ok(())
}

/// Parses a rate: a number of messages a second, a minute or an hour.
fn rate(text: &str) -> Result<Rate, String> {
    let wrong =
        || "a rate looks like 20/m: messages a second (s), minute (m) or hour (h)".to_owned();
    let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(wrong()),
    };
    let count = count.parse().map_err(|_| wrong())?;
    if !(1..=1_000 * seconds).contains(&count) {
        return Err("a rate is at least 1 message and at most 1000 a second".to_owned());
    }
    let per = prost_types::Duration { seconds: seconds.into(), nanos: 0 };
    Ok(Rate { count, per: Some(per) })
}

/// Tells a JID from a token's id. Control checks the rest.
fn target(text: &str) -> Result<Target, String> {
    if text.starts_with("tok_") {
        Ok(Target::TokenId(text.into()))
    } else if text.starts_with("web:") || text.starts_with("hook:") {
        Ok(Target::Jid(text.into()))
    } else {
        Err("name a JID, such as web:acme/support, or a token's id, tok_…".into())
    }
}

//! `arizuko token`: the credentials in the public URLs.

mod show;

use crate::{connect, console::Console, control, time};
use arizuko_proto::v1::{
    IssueChatLinkRequest, IssueWebhookRequest, LinkOptions, ListTokensRequest, RevokeTokenRequest,
    revoke_token_request::Target, token_service_client::TokenServiceClient,
};
use clap::Subcommand;

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
    /// Mint a URL, which is printed this once
    Issue {
        /// The agent that answers, for example acme or acme/eng
        folder: String,
        #[command(subcommand)]
        kind: Kind,
    },
    /// List live tokens
    List {
        /// Only those of this folder and the folders below it
        folder: Option<String>,
    },
    /// End tokens: from then on their URLs answer 401
    Revoke {
        /// A JID, for all the tokens on it, or a token's id
        #[arg(value_name = "JID|tok_…", value_parser = target)]
        target: Target,
    },
}

#[derive(Subcommand)]
enum Kind {
    /// A chat link: whoever opens it talks to the agent
    Chat {
        #[command(flatten)]
        link: Link,
        /// The page's first line, Markdown
        #[arg(long)]
        greeting: Option<String>,
        /// A site that may embed the page, for example https://acme.com; repeatable
        #[arg(long, value_name = "ORIGIN")]
        origin: Vec<String>,
    },
    /// A webhook: what is posted to it goes to the agent
    Hook {
        /// Who calls, for example github
        source: String,
        #[command(flatten)]
        link: Link,
    },
}

#[derive(clap::Args)]
struct Link {
    /// Tells this URL from the folder's others: the JID ends with it
    #[arg(long)]
    suffix: Option<String>,
    /// What people call it; a chat page's title
    #[arg(long)]
    name: Option<String>,
    /// What the agent is told with every message; no visitor sees it
    #[arg(long)]
    context: Option<String>,
    /// End by itself after so long, for example 30d or 12h
    #[arg(long, value_name = "DURATION", value_parser = time::lifetime)]
    expires: Option<prost_types::Duration>,
}

/// A minted URL, of either kind.
struct Issued {
    token: String,
    url: String,
    jid: String,
    token_id: String,
    agent_attached: bool,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    let channel = control.connect().await?;
    let mut tokens =
        TokenServiceClient::new(channel).max_decoding_message_size(control::MAX_RESPONSE);
    match args.command {
        Command::Issue { folder, kind } => {
            let issued = issue(&mut tokens, &folder, kind).await;
            let issued = issued.map_err(|status| control.explain(status))?;
            show::issued(&issued, &folder, args.json, &args.connection.flags(), console)
        }
        Command::List { folder } => {
            let folder = folder.unwrap_or_default();
            let request = ListTokensRequest { folder };
            let listed = tokens.list_tokens(request).await;
            let listed = listed.map_err(|status| control.explain(status))?.into_inner();
            show::list(listed.tokens, args.json, console)
        }
        Command::Revoke { target } => {
            let name = match &target {
                Target::Jid(name) | Target::TokenId(name) => name.clone(),
            };
            let target = Some(target);
            let ended = tokens.revoke_token(RevokeTokenRequest { target }).await;
            let ended = ended.map_err(|status| control.explain(status))?.into_inner();
            show::revoked(ended.revoked, &name, args.json, console)
        }
    }
}

async fn issue(
    tokens: &mut TokenServiceClient<control::Authorized>,
    folder: &str,
    kind: Kind,
) -> Result<Issued, tonic::Status> {
    let folder = folder.to_owned();
    Ok(match kind {
        Kind::Chat { link, greeting, origin } => {
            let jid_suffix = link.suffix.clone().unwrap_or_default();
            let options = Some(link.options(greeting.unwrap_or_default(), origin));
            let request = IssueChatLinkRequest { folder, jid_suffix, options };
            let issued = tokens.issue_chat_link(request).await?.into_inner();
            Issued {
                token: issued.token,
                url: issued.url,
                jid: issued.jid,
                token_id: issued.token_id,
                agent_attached: issued.agent_attached,
            }
        }
        Kind::Hook { source, link } => {
            let jid_suffix = link.suffix.clone().unwrap_or_default();
            let options = Some(link.options(String::new(), Vec::new()));
            let request = IssueWebhookRequest { folder, source, jid_suffix, options };
            let issued = tokens.issue_webhook(request).await?.into_inner();
            Issued {
                token: issued.token,
                url: issued.url,
                jid: issued.jid,
                token_id: issued.token_id,
                agent_attached: issued.agent_attached,
            }
        }
    })
}

impl Link {
    fn options(self, greeting: String, allowed_origins: Vec<String>) -> LinkOptions {
        LinkOptions {
            name: self.name.unwrap_or_default(),
            greeting,
            context: self.context.unwrap_or_default(),
            allowed_origins,
            lifetime: self.expires,
        }
    }
}

/// Control says what is wrong with a JID; here it only has to be told from a token's id.
fn target(text: &str) -> Result<Target, String> {
    if text.starts_with("tok_") {
        Ok(Target::TokenId(text.into()))
    } else if text.starts_with("web:") || text.starts_with("hook:") {
        Ok(Target::Jid(text.into()))
    } else {
        Err("name a JID, such as web:acme/support, or a token's id, tok_…".into())
    }
}

//! How tokens are shown: to people, and to programs.

use super::Issued;
use crate::{
    console::{Console, note, quoted},
    time,
};
use anyhow::bail;
use arizuko_proto::v1::{Token, TokenKind};
use serde_json::{Value, json};

pub(super) fn issued(
    issued: &Issued,
    folder: &str,
    json: bool,
    flags: &str,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let Issued { token, url, jid, token_id, .. } = issued;
    if json {
        console.document(&json!({"token": token, "url": url, "jid": jid, "token_id": token_id}))?;
    } else {
        console.line(url)?;
        let revoke = console.command(&format!("token revoke {token_id}{flags}"));
        note(&format!("{jid}, shown this once. End it with: {revoke}"));
    }
    if !issued.agent_attached {
        let folder = quoted(folder);
        let words = format!("agent exec --folder {folder}{flags} -- ./my-agent.sh");
        note(&format!(
            "note: no agent is attached to {folder}. Attach one: {}",
            console.command(&words)
        ));
    }
    Ok(())
}

pub(super) fn list(
    tokens: Vec<Token>,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    if json {
        let tokens: Vec<_> = tokens.into_iter().map(document).collect();
        return console.document(&json!({ "tokens": tokens }));
    }
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

pub(super) fn revoked(
    revoked: Vec<Token>,
    name: &str,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let count = revoked.len();
    if json {
        let revoked: Vec<_> = revoked.into_iter().map(document).collect();
        console.document(&json!({ "revoked": revoked }))?;
    } else if count > 0 {
        console
            .line(&format!("revoked {count} {}:", if count == 1 { "token" } else { "tokens" }))?;
        for token in revoked {
            console.line(&format!("{}  {}", token.token_id, token.jid))?;
        }
    }
    if count == 0 {
        let list = console.command("token list");
        bail!("nothing was revoked, as {name} is no live token or has none: see {list}");
    }
    Ok(())
}

fn document(token: Token) -> Value {
    let options = token.options.unwrap_or_default();
    let kind = match TokenKind::try_from(token.kind) {
        Ok(TokenKind::Chat) => "chat",
        Ok(TokenKind::Hook) => "hook",
        _ => "unknown",
    };
    json!({
        "token_id": token.token_id,
        "kind": kind,
        "jid": token.jid,
        "folder": token.folder,
        "source": token.source,
        "suffix": token.suffix,
        "owner_folder": token.owner_folder,
        "name": options.name,
        "greeting": options.greeting,
        "context": options.context,
        "allowed_origins": options.allowed_origins,
        "created_at": time::rfc3339(token.created_at),
        "expires_at": time::rfc3339(token.expires_at),
        "created_by": token.created_by,
    })
}

//! `arizuko token revoke`: ends tokens, or lists those that would end.

use crate::{
    console::{Console, note},
    control::Control,
};
use arizuko_proto::v1::{RevokeTokenRequest, RevokeTokenResponse, revoke_token_request::Target};
use std::collections::HashSet;

pub(super) async fn run(
    targets: impl Iterator<Item = Target>,
    dry_run: bool,
    control: &Control,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let mut all = RevokeTokenResponse::default();
    let ended = revoke(targets, dry_run, control, &mut all).await;
    // What was revoked before an error is shown too.
    if ended.is_ok() || !all.revoked.is_empty() {
        show(all, dry_run, json, console)?;
    }
    ended
}

async fn revoke(
    targets: impl Iterator<Item = Target>,
    dry_run: bool,
    control: &Control,
    all: &mut RevokeTokenResponse,
) -> anyhow::Result<()> {
    let mut ids = HashSet::new();
    for target in targets {
        let request = RevokeTokenRequest { target: Some(target), dry_run };
        let RevokeTokenResponse { revoked } =
            control.answer(control.tokens().await?.revoke_token(request).await)?;
        // Two targets of a dry run may name the same token.
        all.revoked.extend(revoked.into_iter().filter(|token| ids.insert(token.token_id.clone())));
    }
    Ok(())
}

fn show(
    all: RevokeTokenResponse,
    dry_run: bool,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let count = all.revoked.len();
    if json {
        console.message(&all)?;
    } else if count > 0 {
        let tokens = if count == 1 { "token" } else { "tokens" };
        let revoked = if dry_run { "would revoke" } else { "revoked" };
        console.line(&format!("{revoked} {count} {tokens}:"))?;
        for token in all.revoked {
            console.line(&format!("{}  {}", token.token_id, token.jid))?;
        }
    }
    if count == 0 {
        // This is not an error: a repeat of the command finds that the tokens have ended already.
        let list = console.command("token list");
        note(&format!("no live token there: nothing to revoke. See {list}"));
    }
    Ok(())
}

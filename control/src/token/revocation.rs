//! How tokens end: they are revoked, many at a time, or expire.

use super::{Address, Token, note};
use crate::{
    folder_settings,
    ids::TokenId,
    key::Caller,
    looks::Logo,
    names::{self, Due},
    transaction::{Decision, Record as _, Tx},
};
use std::{collections::BTreeMap, time::Duration};

/// How many tokens one commit ends, at most.
pub(crate) const BATCH: usize = 200;
/// How long other controls wait for the control that revokes tokens to cancel the tokens' turns,
/// before they help.
const CANCEL_WITHIN: Duration = Duration::from_secs(2);
/// How long an ended token's record is kept at least, for operators who look at it.
const KEEP_ENDED: Duration = Duration::from_secs(30 * 86_400);

/// Ends tokens, at most [`BATCH`], and returns the ended ones. Ignores a token that is not live or
/// that the caller may not end: another owner's token looks unknown, so that ids reveal nothing.
pub(crate) fn revoke(tx: &mut Tx<'_>, caller: &Caller, ids: &[TokenId]) -> Decision<Vec<Token>> {
    let mut tokens = revocable(tx, caller, ids)?;
    end(tx, &mut tokens, caller.key_id.as_str(), "token.revoke")?;
    Ok(tokens)
}

/// Returns the tokens that [`revoke`] would end.
pub(crate) fn revocable(tx: &mut Tx<'_>, caller: &Caller, ids: &[TokenId]) -> Decision<Vec<Token>> {
    caller.must_mint()?;
    tx.expect(ids.iter().map(Token::name))?;
    let mut tokens = Vec::new();
    for id in ids {
        let token = tx.get::<Token>(id)?;
        tokens.extend(token.filter(|token| token.is_live(tx.now) && token.may_end(caller)));
    }
    Ok(tokens)
}

/// Ends a token if it has expired. Returns whether it has ended, now or before, or is gone.
pub(crate) fn expire(tx: &mut Tx<'_>, id: &TokenId) -> Decision<bool> {
    let Some(token) = tx.get::<Token>(id)? else {
        return Ok(true);
    };
    if token.revoked_at.is_some() {
        return Ok(true);
    }
    if token.is_live(tx.now) {
        if let Some(at) = token.expires_at {
            tx.schedule(&Due::Token(id.clone()), at);
        }
        return Ok(false);
    }
    end(tx, &mut [token], "control", "token.expire")?;
    Ok(true)
}

/// Ends tokens: after this commit, nothing is accepted with them. The caller then cancels their
/// turns. If the caller dies first, the tokens' due items make another control cancel them.
fn end(tx: &mut Tx<'_>, tokens: &mut [Token], actor: &str, action: &str) -> Decision<()> {
    let mut by_jid = BTreeMap::<_, u32>::new();
    for token in &*tokens {
        *by_jid.entry(token.jid.clone()).or_default() += 1;
    }
    tx.expect(by_jid.keys().map(|jid| Address::name(jid)))?;
    for (jid, ended) in by_jid {
        let Some(mut address) = tx.get::<Address>(&jid)? else {
            continue;
        };
        address.links = address.links().saturating_sub(ended);
        address.tokens.clear();
        if address.links == 0 {
            tx.delete::<Address>(&jid);
        } else {
            tx.put(jid.as_str(), &address)?;
        }
    }
    for token in tokens {
        token.revoked_at = Some(tx.now);
        if let Some(logo) = token.options.looks.logo.take() {
            tx.delete::<Logo>(&token.id);
            logo.give_back(tx, token.folder.root());
        }
        token.keep_name_only();
        token.count_texts(tx);
        let kept = folder_settings::kept(tx, &token.folder)?.messages;
        // At least as long as the records of its conversations.
        let lifetime = KEEP_ENDED.max(tx.limits.lifetime_where_kept(kept));
        tx.put_for(&token.id, token, Some(lifetime))?;
        tx.remove(&names::tokens(), &token.listed());
        tx.remove(&names::folder_links(&token.folder), &token.id);
        tx.remove(&names::issued(&token.created_by), &token.id);
        tx.schedule(&Due::Token(token.id.clone()), tx.now + CANCEL_WITHIN);
        tx.publish(names::token_topic(&token.id), "revoked");
        note(tx, actor, action, token)?;
    }
    Ok(())
}

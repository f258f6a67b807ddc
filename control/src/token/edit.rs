//! How tokens change.

use super::{
    Options, Token, note,
    options::{Field, LIFETIME, LOGO, PAUSED, check_lifetime},
};
use crate::{
    ids::TokenId,
    key::Caller,
    looks::Logo,
    names::{self, Due},
    proof::ProofKey,
    transaction::{Decision, Record as _, Tx},
};
use std::time::Duration;

/// How many tokens one commit changes, at most: each may get a logo.
pub(crate) const BATCH: usize = 16;

/// A change of tokens.
pub(crate) struct Edit {
    pub(crate) fields: Vec<&'static Field>,
    /// The new values.
    pub(crate) options: Options,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) logo: Option<Logo>,
}

impl Edit {
    fn has(&self, path: &str) -> bool {
        self.fields.iter().any(|field| field.path == path)
    }

    /// Returns the edit's name in the audit log.
    fn action(&self) -> &'static str {
        match &self.fields[..] {
            [field] if field.path == PAUSED && self.options.paused => "token.pause",
            [field] if field.path == PAUSED => "token.resume",
            _ => "token.edit",
        }
    }
}

/// Changes tokens, at most [`BATCH`], and returns the changed ones. Ignores a token that is not
/// live or that the caller may not change: another owner's token looks unknown, so that ids reveal
/// nothing.
pub(crate) fn edit(
    tx: &mut Tx<'_>,
    caller: &Caller,
    ids: &[TokenId],
    edit: &Edit,
) -> Decision<Vec<Token>> {
    caller.must_mint()?;
    check_lifetime(edit.lifetime)?;
    tx.expect(ids.iter().map(Token::name))?;
    let mut edited = Vec::new();
    for id in ids {
        let token = tx.get::<Token>(id)?;
        let Some(mut token) = token.filter(|t| t.is_live(tx.now) && t.may_end(caller)) else {
            continue;
        };
        let old_logo = token.options.looks.logo;
        for field in &edit.fields {
            (field.take)(&mut token.options, &edit.options);
        }
        token.options.check(token.kind)?;
        token.count_texts(tx);
        if token.options.limits.proof_of_work.is_some() && token.proof_key.is_none() {
            token.proof_key = Some(ProofKey::new(tx.random()));
        }
        if edit.has(LIFETIME) {
            token.expires_at = edit.lifetime.map(|lifetime| tx.now + lifetime);
            let due = Due::Token(id.clone());
            match token.expires_at {
                Some(at) => tx.schedule(&due, at),
                None => tx.unschedule(&due),
            }
        }
        if edit.has(LOGO) {
            let root = token.folder.root();
            if let Some(old) = old_logo {
                old.give_back(tx, root);
            }
            match &edit.logo {
                Some(logo) => {
                    tx.put(id, logo)?;
                    logo.info.charge(tx, root);
                }
                None => tx.delete::<Logo>(id),
            }
        }
        tx.put(id, &token)?;
        if token.options.paused {
            tx.publish(names::token_topic(id), "paused");
        }
        note(tx, caller.key_id.as_str(), edit.action(), &token)?;
        edited.push(token);
    }
    Ok(edited)
}

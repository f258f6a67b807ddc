//! Tokens: the records of chat links and webhooks.

use crate::{
    audit::{self, Change},
    identity::VisitorKey,
    ids::{KeyId, TokenId},
    jid::{self, FolderName},
    key::{Caller, Key, Role},
    known_folders,
    limits::Owners,
    looks::Logo,
    names::{self, Due, InFolder},
    proof::ProofKey,
    refusal::Refusal,
    route,
    secret::Secret,
    signature::Signature,
    time::Time,
    transaction::{Decision, Record, Tx},
};
use serde::{Deserialize, Serialize};
use std::{mem, time::Duration};

pub(crate) mod edit;
mod options;
pub(crate) mod revocation;

pub(crate) use options::{Field, Options};

/// The prefix of a token's secret: empty, because the secret is a part of a URL.
pub(crate) const PREFIX: &str = "";
/// How many bytes of a token's options don't count in its tenant's limit, since most tokens have no
/// long texts.
const SHORT: u64 = 1 << 10;

/// Whether a token is for a chat link or for a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Chat,
    Hook,
}

/// A token's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) id: TokenId,
    pub(crate) hash: String,
    pub(crate) kind: Kind,
    pub(crate) jid: String,
    pub(crate) folder: FolderName,
    pub(crate) source: Option<String>,
    pub(crate) suffix: Option<String>,
    pub(crate) owner: FolderName,
    pub(crate) options: Options,
    /// The key that signs the link's challenges, if it asks for a proof of work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proof_key: Option<ProofKey>,
    pub(crate) created_at: Time,
    pub(crate) created_by: KeyId,
    /// Whether an operator's key issued the token. Then only operators may change or revoke it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) by_operator: bool,
    pub(crate) expires_at: Option<Time>,
    pub(crate) revoked_at: Option<Time>,
    /// How many bytes the token's texts count as in its tenant's limit.
    #[serde(default)]
    pub(crate) kept: u64,
}

impl Record for Token {
    type Id = TokenId;

    fn name(id: &TokenId) -> String {
        names::token(id)
    }
}

impl Token {
    pub(crate) fn is_live(&self, now: Time) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }

    /// Checks that the link takes messages and opens streams.
    ///
    /// # Errors
    /// [`Refusal::Paused`] if it doesn't.
    pub(crate) fn must_run(&self) -> Result<(), Refusal> {
        if self.options.paused { Err(Refusal::Paused) } else { Ok(()) }
    }

    /// Whether the caller may change and revoke the token.
    fn may_end(&self, caller: &Caller) -> bool {
        let is_reached = caller.must_reach(&self.owner).is_ok();
        is_reached && (!self.by_operator || caller.role == Role::Operator)
    }

    /// Drops all options but the name.
    pub(crate) fn keep_name_only(&mut self) {
        let name = mem::take(&mut self.options.name);
        self.options = Options { name, ..Options::default() };
    }

    /// Counts the token's texts among the bytes that are kept of its tenant, without the first
    /// [`SHORT`] bytes. The commit is refused if they have grown and there is no room for them.
    fn count_texts(&mut self, tx: &mut Tx<'_>) {
        let (root, most) = (self.folder.root(), tx.limits.tenant_bytes);
        let (counter, was) = (names::kept_of_tenant(root), self.kept);
        self.kept = self.options.size().saturating_sub(SHORT);
        if self.kept > was {
            let why = format!("{root} has {most} bytes of messages and texts");
            let refusal = Refusal::LimitReached(why);
            tx.limit_count(counter.clone(), self.kept - was, most, refusal);
        }
        if self.kept != was {
            tx.count(counter, self.kept as i64 - was as i64);
        }
    }

    fn listed(&self) -> InFolder {
        InFolder { folder: self.folder.to_string(), id: self.id.to_string() }
    }
}

/// The token that a caller asks for.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) kind: Kind,
    pub(crate) folder: FolderName,
    pub(crate) source: Option<String>,
    pub(crate) suffix: Option<String>,
    pub(crate) options: Options,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) logo: Option<Logo>,
}

impl Order {
    fn jid(&self) -> Result<String, Refusal> {
        let suffix = self.suffix.as_deref();
        if let Some(suffix) = suffix {
            jid::segment("a suffix", suffix)?;
        }
        match (self.kind, self.source.as_deref()) {
            (Kind::Chat, None) => Ok(jid::web(&self.folder, suffix)),
            (Kind::Hook, Some(source)) => {
                jid::segment("a source", source)?;
                Ok(jid::hook(&self.folder, source, suffix))
            }
            (Kind::Chat, Some(_)) => Err(Refusal::invalid("a chat link has no source")),
            (Kind::Hook, None) => {
                Err(Refusal::invalid("a webhook needs a source, for example github"))
            }
        }
    }
}

/// The folder that a JID belongs to, and how many live tokens have the JID.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) folder: FolderName,
    source: Option<String>,
    suffix: Option<String>,
    /// How many live tokens there are besides those in `tokens`.
    #[serde(default)]
    links: u32,
    /// Tokens that an older control has issued. The next change counts them in `links`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tokens: Vec<TokenId>,
}

impl Address {
    fn links(&self) -> u32 {
        let listed = u32::try_from(self.tokens.len()).unwrap_or(u32::MAX);
        self.links.saturating_add(listed)
    }
}

impl Record for Address {
    /// The JID.
    type Id = str;

    fn name(jid: &str) -> String {
        names::address(jid)
    }
}

/// Returns the folder to which this exact JID belongs; `None` if no live link has it.
pub(crate) fn owner_of(tx: &mut Tx<'_>, jid: &str) -> Decision<Option<FolderName>> {
    Ok(tx.get::<Address>(jid)?.map(|address| address.folder))
}

/// Returns the token that was found for `secret`, if `secret` opens it and it is of this kind.
///
/// # Errors
/// [`Refusal::TokenInvalid`] if the token is unknown, revoked or expired, [`Refusal::WrongKind`] if
/// it is of the other kind.
pub(crate) fn admit(
    found: Option<Token>,
    secret: &Secret,
    kind: Kind,
    now: Time,
) -> Result<Token, Refusal> {
    let token = found.filter(|token| token.hash == secret.hash() && token.is_live(now));
    let token = token.ok_or(Refusal::TokenInvalid)?;
    if token.kind == kind { Ok(token) } else { Err(Refusal::WrongKind) }
}

/// Issues a token.
pub(crate) fn issue(
    tx: &mut Tx<'_>,
    caller: &Caller,
    order: &Order,
    secret: &Secret,
) -> Decision<Token> {
    caller.must_mint()?;
    caller.must_reach(&order.folder)?;
    // An agent's key is in the partition of its links, so that this commit can guard it: no link is
    // issued after the key has been revoked.
    if matches!(caller.role, Role::Agent { .. }) {
        let key = tx.get::<Key>(&caller.key_id)?;
        let key = key.filter(|key| key.opens_with(&caller.hash, tx.now));
        key.ok_or(Refusal::KeyInvalid)?;
    }
    order.options.check(order.kind)?;
    options::check_lifetime(order.lifetime)?;
    let jid = order.jid()?;
    let mut address = claim(tx, order, &jid)?;
    let owner = match &caller.role {
        Role::Agent { folder, .. } => folder.clone(),
        _ => order.folder.clone(),
    };
    let mut token = Token {
        id: TokenId::of(secret),
        hash: secret.hash(),
        kind: order.kind,
        jid,
        folder: order.folder.clone(),
        source: order.source.clone(),
        suffix: order.suffix.clone(),
        owner,
        options: order.options.clone(),
        proof_key: order.options.limits.proof_of_work.map(|_| ProofKey::new(tx.random())),
        created_at: tx.now,
        created_by: caller.key_id.clone(),
        by_operator: caller.role == Role::Operator,
        expires_at: order.lifetime.map(|lifetime| tx.now + lifetime),
        revoked_at: None,
        kept: 0,
    };
    token.count_texts(tx);
    // Commits only if there is no such record: a late commit must not bring back a revoked token.
    tx.get_unlikely::<Token>(&token.id)?;
    address.links = address.links() + 1;
    address.tokens.clear();
    tx.put(token.jid.as_str(), &address)?;
    tx.put(&token.id, &token)?;
    if let Some(logo) = &order.logo {
        tx.put(&token.id, logo)?;
        logo.info.charge(tx, token.folder.root());
    }
    tx.add(&names::tokens(), &token.listed(), tx.now);
    limit_links(tx, &token, &address)?;
    if let Some(at) = token.expires_at {
        tx.schedule(&Due::Token(token.id.clone()), at);
    }
    route::ensure_index(tx, token.folder.root())?;
    note(tx, caller.key_id.as_str(), "token.issue", &token)?;
    Ok(token)
}

/// Refuses a new token if its JID, its folder or the key that issued it has too many links. Counts
/// the token for the folder and the key; `address` counts it already.
fn limit_links(tx: &mut Tx<'_>, token: &Token, address: &Address) -> Result<(), Refusal> {
    let Owners { jid_links, folder_links, key_links, .. } = tx.limits.owners;
    if address.links > jid_links {
        return Err(Refusal::LimitReached(format!("{} has {jid_links} links", token.jid)));
    }
    tx.add_bounded(
        &names::folder_links(&token.folder),
        &token.id,
        folder_links,
        Refusal::LimitReached(format!("{} has {folder_links} links", token.folder)),
    );
    tx.add_bounded(
        &names::issued(&token.created_by),
        &token.id,
        key_links,
        Refusal::LimitReached(format!("the key has issued {key_links} links that work")),
    );
    Ok(())
}

/// The secrets with which a webhook's sender will sign, both unsealed and sealed.
pub(crate) struct NewSecrets<'a> {
    pub(crate) secrets: &'a [String],
    pub(crate) sealed: &'a [String],
}

/// Replaces the secrets with which a webhook's sender signs.
pub(crate) fn set_secrets(
    tx: &mut Tx<'_>,
    caller: &Caller,
    id: &TokenId,
    new: &NewSecrets<'_>,
) -> Decision<()> {
    let (mut token, mut signature) = signed(tx, caller, id)?;
    signature.scheme.check_secrets(new.secrets)?;
    signature.sealed_secrets = new.sealed.to_vec();
    token.options.hook.signature = Some(signature);
    tx.put(id, &token)?;
    note(tx, caller.key_id.as_str(), "token.secrets", &token)
}

/// Replaces the keys that check who a chat link's visitors are.
pub(crate) fn set_visitor_keys(
    tx: &mut Tx<'_>,
    caller: &Caller,
    id: &TokenId,
    keys: &[VisitorKey],
) -> Decision<()> {
    let mut token = editable(tx, caller, id, "chat link")?;
    token.options.visitor_keys = keys.to_vec();
    token.options.check(token.kind)?;
    token.count_texts(tx);
    tx.put(id, &token)?;
    note(tx, caller.key_id.as_str(), "token.visitor_keys", &token)
}

/// Returns a live token that the caller may change.
pub(crate) fn editable(
    tx: &mut Tx<'_>,
    caller: &Caller,
    id: &TokenId,
    what: &'static str,
) -> Decision<Token> {
    caller.must_mint()?;
    let token = tx.get::<Token>(id)?;
    let token = token.filter(|token| token.is_live(tx.now) && token.may_end(caller));
    token.ok_or_else(|| Refusal::NotFound(what).into())
}

/// Returns a live webhook that checks signatures and that the caller may change.
pub(crate) fn signed(
    tx: &mut Tx<'_>,
    caller: &Caller,
    id: &TokenId,
) -> Decision<(Token, Signature)> {
    let what = "webhook that checks signatures";
    let token = editable(tx, caller, id, what)?;
    let signature = token.options.hook.signature.clone().ok_or(Refusal::NotFound(what))?;
    Ok((token, signature))
}

/// Takes the JID for this folder, source and suffix, and refuses a JID that already means something
/// else: `web:a/b` could be folder `a/b`, or folder `a` with suffix `b`.
fn claim(tx: &mut Tx<'_>, order: &Order, jid: &str) -> Decision<Address> {
    let Order { kind, folder, source, suffix, .. } = order;
    if let Some(address) = tx.get::<Address>(jid)? {
        if (&address.folder, &address.source, &address.suffix) == (folder, source, suffix) {
            return Ok(address);
        }
        // The lower folder gets the JID. Links that the folder above has issued with the JID stay,
        // but it can issue no more of them.
        let is_below = folder.is_within(&address.folder) && *folder != address.folder;
        if !is_below {
            let why = format!("{jid} is in use by a link of folder {}", address.folder);
            return Err(Refusal::JidTaken(why).into());
        }
        known_folders::add(tx, folder)?;
        let (folder, source, suffix) = (folder.clone(), source.clone(), suffix.clone());
        return Ok(Address { folder, source, suffix, ..address });
    }
    if let (Kind::Chat, Some(suffix)) = (kind, suffix)
        && let Ok(below) = FolderName::parse(&format!("{folder}/{suffix}"))
        && known_folders::contains(tx, &below)?
    {
        let why = format!("{jid} is the address of the folder {below}; take another suffix");
        return Err(Refusal::JidTaken(why).into());
    }
    known_folders::add(tx, folder)?;
    let (folder, source, suffix) = (folder.clone(), source.clone(), suffix.clone());
    Ok(Address { folder, source, suffix, links: 0, tokens: Vec::new() })
}

fn note(tx: &mut Tx<'_>, actor: &str, action: &str, token: &Token) -> Decision<()> {
    let (folder, subject) = (token.folder.as_str(), token.id.as_str());
    audit::note(tx, &Change { actor, action, folder, subject, detail: &token.jid })
}

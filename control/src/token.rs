//! Tokens: the credentials in public URLs.

use crate::{
    audit,
    credential::Credential,
    jid::{self, Folder},
    key::{self, Caller, Role},
    route,
    store::Millis,
    transaction::{Decision, Refusal, Tx},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a token's public id begins with. The token itself has no prefix: it is a part of a URL.
pub(crate) const ID: &str = "tok_";
/// The set of a partition's live tokens, scored by the time that they were minted.
pub(crate) const TOKENS: &str = "tokens";
const MAX_LIFETIME: Millis = 100 * 365 * 86_400_000;
/// How long a revoked token's record is kept, for operators who look.
const KEEP_REVOKED: Duration = Duration::from_secs(30 * 86_400);

/// Which surface a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Chat,
    Hook,
}

/// What a link can carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Options {
    pub(crate) name: String,
    pub(crate) greeting: String,
    pub(crate) context: String,
    pub(crate) allowed_origins: Vec<String>,
}

/// A token's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) hash: String,
    pub(crate) kind: Kind,
    pub(crate) jid: String,
    pub(crate) folder: Folder,
    pub(crate) source: Option<String>,
    pub(crate) suffix: Option<String>,
    pub(crate) owner: Folder,
    pub(crate) options: Options,
    pub(crate) created_at: Millis,
    pub(crate) created_by: String,
    pub(crate) expires_at: Option<Millis>,
    pub(crate) revoked_at: Option<Millis>,
}

impl Token {
    pub(crate) fn is_live(&self, now: Millis) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }
}

/// What a caller wants minted.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) kind: Kind,
    pub(crate) folder: Folder,
    pub(crate) source: Option<String>,
    pub(crate) suffix: Option<String>,
    pub(crate) options: Options,
    pub(crate) lifetime: Option<Millis>,
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

    fn check_options(&self) -> Result<(), Refusal> {
        let Options { name, greeting, context, allowed_origins } = &self.options;
        for (what, text, most) in
            [("name", name, 100), ("greeting", greeting, 4_000), ("context", context, 16_000)]
        {
            if text.chars().count() > most {
                return Err(Refusal::invalid(format!("a {what} has at most {most} characters")));
            }
        }
        if allowed_origins.len() > 50 {
            return Err(Refusal::invalid("a link has at most 50 allowed origins"));
        }
        allowed_origins.iter().try_for_each(|origin| check_origin(origin))?;
        match self.lifetime {
            Some(0) => Err(Refusal::invalid("a lifetime is longer than nothing")),
            Some(MAX_LIFETIME..) => Err(Refusal::invalid("a lifetime is less than 100 years")),
            _ => Ok(()),
        }
    }
}

/// An origin is a scheme and an authority, as browsers send it.
fn check_origin(origin: &str) -> Result<(), Refusal> {
    let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:[]".contains(c);
    let fits = authority.is_some_and(|a| !a.is_empty() && a.len() <= 255 && a.chars().all(plain));
    let refusal =
        || Refusal::invalid(format!("an origin is like https://acme.com, not {origin:?}"));
    fits.then_some(()).ok_or_else(refusal)
}

/// The record that says whose a JID is, and which tokens are live on it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Address {
    folder: String,
    source: Option<String>,
    suffix: Option<String>,
    tokens: Vec<String>,
}

pub(crate) fn record(id: &str) -> String {
    format!("token:{id}")
}

/// The topic that says that a token was revoked.
pub(crate) fn topic(id: &str) -> String {
    format!("token:{id}")
}

/// The due item that ends a token's turns, and the token itself when its time is over.
pub(crate) fn due(id: &str) -> String {
    format!("token:{id}")
}

/// The set of a token's open turns.
pub(crate) fn open_turns(id: &str) -> String {
    format!("open:{id}")
}

pub(crate) fn address_record(jid: &str) -> String {
    format!("jid:{jid}")
}

/// The folder whose live link has exactly this JID.
pub(crate) fn owner_of(tx: &mut Tx<'_>, jid: &str) -> Decision<Option<Folder>> {
    let address = tx.get::<Address>(&address_record(jid))?;
    Ok(address.and_then(|address| Folder::parse(&address.folder).ok()))
}

fn member(token: &Token) -> String {
    format!("{} {}", token.folder, token.id)
}

/// The token that `credential` opens, if it may be used at this surface.
pub(crate) fn admit(
    found: Option<Token>,
    credential: &Credential,
    kind: Kind,
    now: Millis,
) -> Result<Token, Refusal> {
    let token = found.filter(|token| token.hash == credential.hash() && token.is_live(now));
    let token = token.ok_or(Refusal::TokenInvalid)?;
    if token.kind == kind { Ok(token) } else { Err(Refusal::WrongKind) }
}

/// Mints a token.
pub(crate) fn issue(
    tx: &mut Tx<'_>,
    caller: &Caller,
    order: &Order,
    credential: &Credential,
) -> Decision<Token> {
    caller.must_mint()?;
    caller.must_reach(&order.folder)?;
    order.check_options()?;
    let jid = order.jid()?;
    let mut address = claim(tx, order, &jid)?;
    let owner = match &caller.role {
        Role::Agent { folder, .. } => folder.clone(),
        _ => order.folder.clone(),
    };
    let token = Token {
        id: credential.id(ID),
        hash: credential.hash(),
        kind: order.kind,
        jid,
        folder: order.folder.clone(),
        source: order.source.clone(),
        suffix: order.suffix.clone(),
        owner,
        options: order.options.clone(),
        created_at: tx.now,
        created_by: caller.key_id.clone(),
        expires_at: order.lifetime.map(|lifetime| tx.now.saturating_add(lifetime)),
        revoked_at: None,
    };
    // Guarded to be new: a commit that comes late must not bring back a token that was revoked.
    tx.get_unlikely::<Token>(&record(&token.id))?;
    address.tokens.push(token.id.clone());
    tx.put(&address_record(&token.jid), &address, None)?;
    tx.put(&record(&token.id), &token, None)?;
    tx.add(TOKENS, member(&token), tx.now);
    if let Some(at) = token.expires_at {
        tx.schedule(due(&token.id), at);
    }
    route::ensure_index(tx, token.folder.root())?;
    let folder = token.folder.as_str();
    audit::note(tx, &caller.key_id, "token.issue", folder, (&token.id, &token.jid))?;
    Ok(token)
}

/// Makes sure that the JID means this folder, source and suffix and nothing else: `web:a/b` could
/// be folder `a/b`, or folder `a` with suffix `b`.
fn claim(tx: &mut Tx<'_>, order: &Order, jid: &str) -> Decision<Address> {
    let mine = Address {
        folder: order.folder.to_string(),
        source: order.source.clone(),
        suffix: order.suffix.clone(),
        tokens: Vec::new(),
    };
    if let Some(address) = tx.get::<Address>(&address_record(jid))? {
        let same = (&address.folder, &address.source, &address.suffix)
            == (&mine.folder, &mine.source, &mine.suffix);
        if !same {
            let why = format!("{jid} is in use by a link of folder {}", address.folder);
            return Err(Refusal::JidTaken(why).into());
        }
        return Ok(address);
    }
    if let (Kind::Chat, Some(suffix)) = (order.kind, &order.suffix)
        && let Ok(below) = Folder::parse(&format!("{}/{suffix}", order.folder))
        && tx.get::<()>(&key::folder_record(&below))?.is_some()
    {
        let why = format!("{jid} is the address of the folder {below}; take another suffix");
        return Err(Refusal::JidTaken(why).into());
    }
    let folder = key::folder_record(&order.folder);
    if tx.get::<()>(&folder)?.is_none() {
        tx.put(&folder, &(), None)?;
    }
    Ok(mine)
}

/// Ends one token if it is live and the caller's.
pub(crate) fn revoke(tx: &mut Tx<'_>, caller: &Caller, id: &str) -> Decision<Option<Token>> {
    caller.must_mint()?;
    let Some(token) = tx.get::<Token>(&record(id))? else {
        return Ok(None);
    };
    // Another's token looks like none: an id tells nobody that it exists.
    if !token.is_live(tx.now) || caller.must_reach(&token.owner).is_err() {
        return Ok(None);
    }
    end(tx, token, &caller.key_id, "token.revoke").map(Some)
}

/// Ends all the caller's live tokens on a JID.
pub(crate) fn revoke_jid(tx: &mut Tx<'_>, caller: &Caller, jid: &str) -> Decision<Vec<Token>> {
    caller.must_mint()?;
    let Some(address) = tx.get::<Address>(&address_record(jid))? else {
        return Ok(Vec::new());
    };
    let mut revoked = Vec::new();
    for id in &address.tokens {
        let token = tx.get::<Token>(&record(id))?;
        if let Some(token) =
            token.filter(|t| t.is_live(tx.now) && caller.must_reach(&t.owner).is_ok())
        {
            revoked.push(end(tx, token, &caller.key_id, "token.revoke")?);
        }
    }
    Ok(revoked)
}

/// Ends a token whose time is over; says whether it has ended, by this or before.
pub(crate) fn expire(tx: &mut Tx<'_>, id: &str) -> Decision<bool> {
    let Some(token) = tx.get::<Token>(&record(id))? else {
        return Ok(true);
    };
    if token.revoked_at.is_some() {
        return Ok(true);
    }
    if token.is_live(tx.now) {
        if let Some(at) = token.expires_at {
            tx.schedule(due(id), at);
        }
        return Ok(false);
    }
    end(tx, token, "control", "token.expire")?;
    Ok(true)
}

/// From this commit on nothing with the token is accepted. Its turns are cancelled right after,
/// by the due item if control should die in between.
fn end(tx: &mut Tx<'_>, token: Token, actor: &str, action: &str) -> Decision<Token> {
    let token = Token { revoked_at: Some(tx.now), ..token };
    if let Some(mut address) = tx.get::<Address>(&address_record(&token.jid))? {
        address.tokens.retain(|id| *id != token.id);
        if address.tokens.is_empty() {
            tx.delete(&address_record(&token.jid));
        } else {
            tx.put(&address_record(&token.jid), &address, None)?;
        }
    }
    tx.put(&record(&token.id), &token, Some(KEEP_REVOKED))?;
    tx.remove(TOKENS, member(&token));
    tx.schedule(due(&token.id), tx.now);
    tx.publish(topic(&token.id), "revoked");
    audit::note(tx, actor, action, token.folder.as_str(), (&token.id, &token.jid))?;
    Ok(token)
}

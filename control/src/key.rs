//! Keys: who calls control, and what each may do.

use crate::{
    audit::{self, Change},
    ids::KeyId,
    jid::FolderName,
    known_folders,
    names::{self, Due, InFolder},
    refusal::Refusal,
    secret::Secret,
    time::{MAX_LIFETIME, Time},
    transaction::{Decision, Record, Tx},
};
use rotation::OldSecret;
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub(crate) mod rotation;
pub(crate) mod settings;
#[cfg(test)]
mod tests;

/// How many characters a key's name has, at most.
const MAX_NAME: usize = 100;
/// How precise `last_used_at` is: a use within this time after the stored one is not stored.
const USE_PRECISION: Duration = Duration::from_secs(3_600);

/// Who holds a key, and what the holder may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Operator,
    /// Reads what operators read, and changes nothing.
    Viewer,
    Gateway,
    Agent {
        folder: FolderName,
        /// Whether the key reaches the folders below its own.
        subtree: bool,
        may_mint: bool,
        /// Records of older keys lack this field and the next two: those keys may do all three.
        #[serde(default = "allowed")]
        may_read: bool,
        #[serde(default = "allowed")]
        may_route: bool,
        #[serde(default = "allowed")]
        may_speak_as_person: bool,
    },
}

fn allowed() -> bool {
    true
}

/// A key's record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) hash: String,
    pub(crate) role: Role,
    pub(crate) name: String,
    pub(crate) created_at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Time>,
    /// When the key was last used, precise to about an hour; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_used_at: Option<Time>,
    /// When the key was last rotated, even if that was undone; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rotated_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old: Option<OldSecret>,
    #[serde(default, skip_serializing_if = "is_false")]
    is_from_settings: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

/// The record that is left when a key ends, unless it was an agent's key. The secret may still be
/// in a control's settings, which must not bring the key back.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ended {
    at: Time,
}

/// The holder of the key that a call came with.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) key_id: KeyId,
    /// The hash of the secret that the call came with.
    pub(crate) hash: String,
    pub(crate) role: Role,
}

impl Caller {
    pub(crate) fn must_be_operator(&self) -> Result<(), Refusal> {
        match self.role {
            Role::Operator => Ok(()),
            _ => Err(Refusal::not_allowed("this needs an operator's key")),
        }
    }

    /// Refuses callers other than operators and viewers: only these may read what belongs to no
    /// folder, or to all folders.
    pub(crate) fn must_oversee(&self) -> Result<(), Refusal> {
        match self.role {
            Role::Operator | Role::Viewer => Ok(()),
            _ => Err(Refusal::not_allowed("this needs an operator's or a viewer's key")),
        }
    }

    /// Refuses a caller that may only read.
    pub(crate) fn must_act(&self) -> Result<(), Refusal> {
        match self.role {
            Role::Viewer => Err(Refusal::not_allowed("a viewer's key changes nothing")),
            _ => Ok(()),
        }
    }

    pub(crate) fn must_be_gateway(&self) -> Result<(), Refusal> {
        match self.role {
            Role::Gateway => Ok(()),
            _ => Err(Refusal::not_allowed("this needs a gateway's key")),
        }
    }

    /// Returns the folder that a request means: the folder that it names, which the key must reach,
    /// or the key's own folder if the request names none.
    pub(crate) fn folder(&self, named: &str) -> Result<FolderName, Refusal> {
        match (&self.role, named) {
            (Role::Agent { folder, .. }, "") => return Ok(folder.clone()),
            (Role::Operator | Role::Viewer, "") => {
                return Err(Refusal::invalid("name a folder: this key has none of its own"));
            }
            _ => {}
        }
        if self.role == Role::Gateway {
            return Err(Refusal::not_allowed("a gateway's key reaches no folder"));
        }
        let folder = FolderName::parse(named)?;
        self.must_reach(&folder)?;
        Ok(folder)
    }

    pub(crate) fn must_reach(&self, folder: &FolderName) -> Result<(), Refusal> {
        let reaches = match &self.role {
            Role::Operator | Role::Viewer => true,
            Role::Gateway => false,
            Role::Agent { folder: own, subtree: true, .. } => folder.is_within(own),
            Role::Agent { folder: own, .. } => folder == own,
        };
        let refusal = || Refusal::not_allowed(format!("this key does not reach {folder}"));
        reaches.then_some(()).ok_or_else(refusal)
    }

    pub(crate) fn must_mint(&self) -> Result<(), Refusal> {
        match self.role {
            Role::Operator | Role::Agent { may_mint: true, .. } => Ok(()),
            _ => Err(Refusal::not_allowed("this key may not issue or revoke tokens")),
        }
    }

    /// Refuses a caller that may read only what is delivered to it, and no tokens, routes or
    /// conversations.
    pub(crate) fn must_read(&self) -> Result<(), Refusal> {
        match self.role {
            Role::Operator | Role::Viewer | Role::Agent { may_read: true, .. } => Ok(()),
            _ => Err(Refusal::not_allowed(
                "this key may not read tokens, routes, conversations, histories or inboxes",
            )),
        }
    }

    /// Refuses a caller that may not change the routes in its reach.
    pub(crate) fn must_route(&self) -> Result<(), Refusal> {
        match self.role {
            Role::Operator | Role::Agent { may_route: true, .. } => Ok(()),
            _ => Err(Refusal::not_allowed("this key may not set routes")),
        }
    }

    /// Refuses a caller that may not speak to visitors as a person.
    pub(crate) fn must_speak_as_person(&self) -> Result<(), Refusal> {
        match self.role {
            Role::Operator | Role::Agent { may_speak_as_person: true, .. } => Ok(()),
            _ => Err(Refusal::not_allowed("this key may not speak as a person")),
        }
    }
}

impl Record for Key {
    type Id = KeyId;

    fn name(id: &KeyId) -> String {
        names::key(id)
    }
}

impl Record for Ended {
    type Id = KeyId;

    fn name(id: &KeyId) -> String {
        names::ended_key(id)
    }
}

impl Key {
    fn new(secret: &Secret, role: Role, name: String, now: Time) -> Self {
        Self {
            id: KeyId::of(secret),
            hash: secret.hash(),
            role,
            name,
            created_at: now,
            expires_at: None,
            last_used_at: None,
            rotated_at: None,
            old: None,
            is_from_settings: false,
        }
    }

    pub(crate) fn is_live(&self, now: Time) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }

    /// Whether the secret with this hash opens the key.
    pub(crate) fn opens_with(&self, hash: &str, now: Time) -> bool {
        let is_old = || self.old_secret(now).is_some_and(|old| old.hash == hash);
        self.is_live(now) && (self.hash == hash || is_old())
    }

    /// Returns the secret that the key had before its rotation, if that secret has not ended.
    pub(crate) fn old_secret(&self, now: Time) -> Option<&OldSecret> {
        self.old.as_ref().filter(|old| now < old.ends_at)
    }

    /// Returns when the secret with this hash ends, unless it is revoked before; `None`: never.
    pub(crate) fn end_of(&self, hash: &str) -> Option<Time> {
        let old = self.old.as_ref().filter(|old| old.hash == hash && old.hash != self.hash);
        self.expires_at.into_iter().chain(old.map(|old| old.ends_at)).min()
    }

    /// Whether the record already says that the key was used within the last hour, so that a use
    /// now need not be noted.
    pub(crate) fn was_used_lately(&self, now: Time) -> bool {
        self.last_used_at.is_some_and(|at| now < at + USE_PRECISION)
    }

    /// Returns the folder of an agent's key; empty for other keys.
    fn folder(&self) -> &str {
        match &self.role {
            Role::Agent { folder, .. } => folder.as_str(),
            Role::Operator | Role::Viewer | Role::Gateway => "",
        }
    }

    fn listed(&self) -> InFolder {
        InFolder { folder: self.folder().to_owned(), id: self.id.to_string() }
    }
}

fn check_lifetime(lifetime: Option<Duration>) -> Result<(), Refusal> {
    if lifetime.is_some_and(|lifetime| lifetime.is_zero() || lifetime >= MAX_LIFETIME) {
        let why = "a lifetime must be longer than 0 and less than 100 years";
        return Err(Refusal::invalid(why));
    }
    Ok(())
}

/// Creates a key.
pub(crate) fn create(
    tx: &mut Tx<'_>,
    caller: &Caller,
    role: &Role,
    name: &str,
    lifetime: Option<Duration>,
    secret: &Secret,
) -> Decision<Key> {
    check_lifetime(lifetime)?;
    if name.chars().count() > MAX_NAME {
        return Err(Refusal::invalid(format!("a name has at most {MAX_NAME} characters")).into());
    }
    let key = Key {
        expires_at: lifetime.map(|lifetime| tx.now + lifetime),
        ..Key::new(secret, role.clone(), name.to_owned(), tx.now)
    };
    // This guards that the key is absent, so that a repeat of this commit conflicts with the first
    // one and doesn't overwrite what the key has become.
    tx.get_unlikely::<Key>(&key.id)?;
    if let Role::Agent { folder, .. } = role {
        known_folders::add(tx, folder)?;
    }
    tx.put(&key.id, &key)?;
    schedule_end(tx, &key);
    let most = tx.limits.owners.partition_keys;
    let refusal = Refusal::LimitReached(format!("the key's partition has {most} keys"));
    tx.add_bounded(&names::keys(), &key.listed(), most, refusal);
    note(tx, caller.key_id.as_str(), "key.create", &key)?;
    Ok(key)
}

/// Revokes a key, and returns it; `None` if there is no such key.
///
/// # Errors
/// [`Refusal::Invalid`] for the only live key of operators, or of gateways.
pub(crate) fn revoke(tx: &mut Tx<'_>, caller: &Caller, id: &KeyId) -> Decision<Option<Key>> {
    let Some(key) = tx.get::<Key>(id)? else {
        return Ok(None);
    };
    let is_needed = matches!(key.role, Role::Operator | Role::Gateway) && key.is_live(tx.now);
    if is_needed && !has_live(tx, &key.role, Some(id))? {
        let why = format!("{id} is the only live key of its kind: create another one first");
        return Err(Refusal::Invalid(why).into());
    }
    end(tx, caller.key_id.as_str(), "key.revoke", &key)?;
    Ok(Some(key))
}

/// Whether there is a live key of `role`, not counting `besides`. `role` must not be an agent's:
/// agents' keys are spread over the partitions, all others are in partition 0.
pub(crate) fn has_live(tx: &mut Tx<'_>, role: &Role, besides: Option<&KeyId>) -> Decision<bool> {
    let members = tx.all_members(&names::keys())?;
    let without_folder = members.into_iter().filter(|member| member.folder.is_empty());
    let ids = without_folder.map(|member| KeyId::from(member.id));
    let ids: Vec<_> = ids.filter(|id| Some(id) != besides).collect();
    tx.expect(ids.iter().map(Key::name))?;
    for id in ids {
        let key = tx.get::<Key>(&id)?;
        if key.is_some_and(|key| key.role == *role && key.is_live(tx.now)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Handles a key's due item: ends the key if it has expired.
pub(crate) fn expire(tx: &mut Tx<'_>, id: &KeyId) -> Decision<()> {
    match tx.get::<Key>(id)? {
        Some(key) if key.is_live(tx.now) => schedule_end(tx, &key),
        Some(key) => end(tx, "control", "key.expire", &key)?,
        None => tx.unschedule(&Due::Key(id.clone())),
    }
    Ok(())
}

fn schedule_end(tx: &mut Tx<'_>, key: &Key) {
    let item = Due::Key(key.id.clone());
    match key.expires_at {
        Some(at) => tx.schedule(&item, at),
        None => tx.unschedule(&item),
    }
}

/// Deletes a key, and tells the streams that were opened with it.
fn end(tx: &mut Tx<'_>, actor: &str, action: &str, key: &Key) -> Decision<()> {
    tx.delete::<Key>(&key.id);
    if !matches!(key.role, Role::Agent { .. }) {
        tx.put(&key.id, &Ended { at: tx.now })?;
    }
    tx.remove(&names::keys(), &key.listed());
    tx.unschedule(&Due::Key(key.id.clone()));
    tx.publish(names::key_topic(&key.id), "ended");
    note(tx, actor, action, key)
}

/// Notes in the records of keys that they are used now. Skips keys whose record already has a use
/// in the last hour.
pub(crate) fn note_uses(tx: &mut Tx<'_>, ids: &[KeyId]) -> Decision<()> {
    tx.expect(ids.iter().map(Key::name))?;
    for id in ids {
        if let Some(mut key) = tx.get::<Key>(id)?
            && !key.was_used_lately(tx.now)
        {
            key.last_used_at = Some(tx.now);
            tx.put(id, &key)?;
        }
    }
    Ok(())
}

fn note(tx: &mut Tx<'_>, actor: &str, action: &str, key: &Key) -> Decision<()> {
    let subject = key.id.as_str();
    audit::note(tx, &Change { actor, action, folder: key.folder(), subject, detail: &key.name })
}

//! Rotation: a key gets another secret, and for a while both open it.

use super::{Caller, Key, check_lifetime, note, schedule_end};
use crate::{
    ids::KeyId,
    names,
    refusal::Refusal,
    secret::Secret,
    time::Time,
    transaction::{Decision, Tx},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long both secrets of a key may open it, at most.
const MAX_OVERLAP: Duration = Duration::from_secs(30 * 86_400);

/// The secret that a key had before its rotation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OldSecret {
    pub(crate) hash: String,
    pub(crate) ends_at: Time,
}

/// How to rotate a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rotation {
    /// How long the old secret still opens the key.
    pub(crate) overlap: Duration,
    /// How long the key lives from now on; `None`: it expires when it would have before.
    pub(crate) lifetime: Option<Duration>,
}

/// Which of a key's two secrets stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    New,
    Old,
}

/// Gives a key another secret.
pub(crate) fn rotate(
    tx: &mut Tx<'_>,
    caller: &Caller,
    id: &KeyId,
    rotation: Rotation,
    secret: &Secret,
) -> Decision<Key> {
    check_lifetime(rotation.lifetime)?;
    if rotation.overlap > MAX_OVERLAP {
        return Err(Refusal::invalid("the old secret can work for 30 days at most").into());
    }
    let key = tx.get::<Key>(id)?.filter(|key| key.is_live(tx.now));
    let mut key = key.ok_or_else(|| Refusal::invalid(format!("{id} is not a live key")))?;
    if key.is_from_settings {
        let why = "a key from control's settings has only one secret: create another key, then revoke this one";
        return Err(Refusal::invalid(why).into());
    }
    if key.hash == secret.hash() {
        // The first commit was applied after all, though no answer came.
        return Ok(key);
    }
    if key.old_secret(tx.now).is_some() {
        let why = format!("{id} has two secrets already: finish or undo its rotation first");
        return Err(Refusal::invalid(why).into());
    }
    let hash = std::mem::replace(&mut key.hash, secret.hash());
    key.old = Some(OldSecret { hash, ends_at: tx.now + rotation.overlap });
    key.rotated_at = Some(tx.now);
    if let Some(lifetime) = rotation.lifetime {
        key.expires_at = Some(tx.now + lifetime);
        schedule_end(tx, &key);
    }
    store(tx, caller, "key.rotate", &key)?;
    Ok(key)
}

/// Ends one of a key's two secrets at once. Returns the key; `None` if there is no such key, or it
/// has only one secret.
pub(crate) fn finish(
    tx: &mut Tx<'_>,
    caller: &Caller,
    id: &KeyId,
    keep: Keep,
) -> Decision<Option<Key>> {
    let Some(mut key) = tx.get::<Key>(id)?.filter(|key| key.old_secret(tx.now).is_some()) else {
        return Ok(None);
    };
    let action = match (keep, key.old.take()) {
        (Keep::Old, Some(old)) => {
            key.hash = old.hash;
            "key.rotate.undo"
        }
        _ => "key.rotate.finish",
    };
    store(tx, caller, action, &key)?;
    Ok(Some(key))
}

/// Stores the key, and wakes the streams that were opened with it.
fn store(tx: &mut Tx<'_>, caller: &Caller, action: &str, key: &Key) -> Decision<()> {
    tx.put(&key.id, key)?;
    tx.publish(names::key_topic(&key.id), "rotated");
    note(tx, caller.key_id.as_str(), action, key)
}

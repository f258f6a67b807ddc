//! The keys from control's settings, with which the first callers create the other keys. Each is
//! stored when a control first starts with it. From then on it is a key like any other, except that
//! it can't be rotated.

use super::{Ended, Key, Role, note};
use crate::{
    ids::{KEY_PREFIX, KeyId},
    names,
    refusal::Refusal,
    secret::Secret,
    store::Partition,
    transaction::{Decision, Record as _, Tx},
};

/// The name of every key from the settings.
const NAME: &str = "from control's settings";
/// How many bytes a key that people choose has, at least.
pub(crate) const MIN_LENGTH: usize = 32;

/// Reads the secret of a key: one that control has minted, or one that people have chosen, whose
/// record is in partition 0. `None` if control can't have minted it and it is too short to be
/// chosen.
pub(crate) fn parse_secret(text: &str, partitions: Partition) -> Option<Secret> {
    let minted = Secret::parse_any(KEY_PREFIX, text, partitions);
    minted.or_else(|| (text.len() >= MIN_LENGTH).then(|| Secret::chosen(text)))
}

/// Stores a key from the settings, unless it is stored or has ended. Returns whether the key works.
///
/// # Errors
/// [`Refusal::Invalid`] if the stored key has another role.
pub(crate) fn store(tx: &mut Tx<'_>, secret: &Secret, role: &Role) -> Decision<bool> {
    let id = KeyId::of(secret);
    tx.expect([Key::name(&id), names::ended_key(&id)])?;
    if let Some(key) = tx.get::<Key>(&id)? {
        return match key.role == *role {
            true => Ok(key.opens_with(&secret.hash(), tx.now)),
            false => Err(Refusal::invalid(format!("{id} is a key of another kind")).into()),
        };
    }
    if tx.get::<Ended>(&id)?.is_some() {
        return Ok(false);
    }
    let key =
        Key { is_from_settings: true, ..Key::new(secret, role.clone(), NAME.to_owned(), tx.now) };
    tx.put(&id, &key)?;
    tx.add(&names::keys(), &key.listed(), tx.now);
    note(tx, "control", "key.create", &key)?;
    Ok(true)
}

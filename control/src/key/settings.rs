//! The keys from control's settings, which let in whoever creates the others. Each is stored when a
//! control first starts with it, and is a key like others from then on.

use super::{Ended, Key, PREFIX, Role, note};
use crate::{
    ids::KeyId,
    names,
    refusal::Refusal,
    secret::Secret,
    store::Partition,
    transaction::{Decision, Record as _, Tx},
};

/// What its key is called.
const NAME: &str = "from control's settings";
/// The fewest characters of a key that people choose.
pub(crate) const MIN_LENGTH: usize = 32;

/// Reads the secret of a key: one that control has minted, or one that people have chosen, whose
/// record is in partition 0.
pub(crate) fn parse_secret(text: &str, partitions: Partition) -> Option<Secret> {
    let minted = Secret::parse_any(PREFIX, text, partitions);
    minted.or_else(|| (text.len() >= MIN_LENGTH).then(|| Secret::chosen(text)))
}

/// Stores a key from the settings, unless it is stored or has ended. Returns whether it opens
/// something.
///
/// # Errors
/// [`Refusal::Invalid`] if it is a key of another kind.
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

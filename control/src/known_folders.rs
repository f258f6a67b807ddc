//! Folders that exist: they have, or had, a key, a token or an agent.

use crate::{
    jid::FolderName,
    names,
    transaction::{Decision, Record, Tx},
};
use serde::{Deserialize, Serialize};

/// A record whose presence says that a folder exists.
#[derive(Debug, Serialize, Deserialize)]
struct Known;

impl Record for Known {
    type Id = FolderName;

    fn name(folder: &FolderName) -> String {
        names::folder(folder)
    }
}

pub(crate) fn contains(tx: &mut Tx<'_>, folder: &FolderName) -> Decision<bool> {
    Ok(tx.get::<Known>(folder)?.is_some())
}

pub(crate) fn add(tx: &mut Tx<'_>, folder: &FolderName) -> Decision<()> {
    if contains(tx, folder)? { Ok(()) } else { tx.put(folder, &Known) }
}

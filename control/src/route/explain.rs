//! Explains to people what happens to a message to a JID.

use super::{Resolved, resolve, table::reaches};
use crate::{
    jid::{self, FolderName},
    key::Caller,
    known_folders,
    refusal::Refusal,
    token,
    transaction::{Decision, Tx},
};

/// What happens to a message to a JID.
#[derive(Clone, Debug)]
pub(crate) struct Explained {
    /// The JID's own folder.
    pub(crate) folder: FolderName,
    /// Whether a live link has the JID; otherwise the folder is a guess.
    pub(crate) linked: bool,
    pub(crate) resolved: Resolved,
}

/// Explains what happens to a message to `jid`, and why.
pub(crate) fn explain(tx: &mut Tx<'_>, caller: &Caller, jid: &str) -> Decision<Explained> {
    jid::root(jid)?;
    // The caller learns nothing of JIDs that the key doesn't reach, not even whether they exist.
    if !reaches(caller, jid) {
        let why = format!("this key does not reach {jid}");
        return Err(Refusal::NotAllowed(why).into());
    }
    let owner = token::owner_of(tx, jid)?;
    let linked = owner.is_some();
    let folder = match owner {
        Some(folder) => folder,
        None => likely_folder(tx, jid)?,
    };
    caller.must_reach(&folder)?;
    let resolved = resolve(tx, jid, &folder)?;
    Ok(Explained { folder, linked, resolved })
}

/// Returns the longest folder that exists and that a link with this JID could belong to. If there
/// is none, returns the JID's path without its last segment, or the whole path if it has only one.
fn likely_folder(tx: &mut Tx<'_>, jid: &str) -> Decision<FolderName> {
    let path = jid::path(jid);
    let shortest = path.split('/').next().unwrap_or(path);
    let shorter: Vec<&str> = path.rmatch_indices('/').map(|(at, _)| &path[..at]).collect();
    let (added, itself) = match jid.starts_with("hook:") {
        true => (2, None),
        false => (1, Some(path)),
    };
    let candidates = itself.into_iter().chain(shorter.iter().copied().take(added));
    for candidate in candidates {
        if let Ok(folder) = FolderName::parse(candidate)
            && known_folders::contains(tx, &folder)?
        {
            return Ok(folder);
        }
    }
    let likely = itself.filter(|path| !path.contains('/'));
    let likely = likely.or(shorter.first().copied()).unwrap_or(shortest);
    Ok(FolderName::parse(likely)?)
}

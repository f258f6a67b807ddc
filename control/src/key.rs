//! Keys: who calls control, and what each may do.

use crate::{
    audit,
    credential::Credential,
    jid::Folder,
    store::Millis,
    transaction::{Decision, Refusal, Tx},
};
use serde::{Deserialize, Serialize};

/// What a key begins with, so that people and scanners recognise it.
pub(crate) const SECRET: &str = "azk_";
/// What its public id begins with.
pub(crate) const ID: &str = "key_";
/// The set of a partition's keys, scored by the time that they were made.
pub(crate) const KEYS: &str = "keys";

/// What a key's holder is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Operator,
    Gateway,
    Agent {
        folder: Folder,
        /// Whether it reaches the folders below its own.
        subtree: bool,
        may_mint: bool,
    },
}

/// A key's record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) hash: String,
    pub(crate) role: Role,
    pub(crate) name: String,
    pub(crate) created_at: Millis,
}

/// Who is calling.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) key_id: String,
    pub(crate) role: Role,
}

impl Caller {
    pub(crate) fn must_be_operator(&self) -> Result<(), Refusal> {
        match self.role {
            Role::Operator => Ok(()),
            _ => Err(Refusal::NotAllowed("this needs an operator's key".to_owned())),
        }
    }

    pub(crate) fn must_be_gateway(&self) -> Result<(), Refusal> {
        match self.role {
            Role::Gateway => Ok(()),
            _ => Err(Refusal::NotAllowed("this needs a gateway's key".to_owned())),
        }
    }

    /// The folder that a request means: the one that it names, if the key reaches it, or else
    /// the key's own.
    pub(crate) fn folder(&self, named: &str) -> Result<Folder, Refusal> {
        match (&self.role, named) {
            (Role::Agent { folder, .. }, "") => return Ok(folder.clone()),
            (Role::Operator, "") => {
                return Err(Refusal::invalid(
                    "name a folder: an operator's key has none of its own",
                ));
            }
            _ => {}
        }
        if self.role == Role::Gateway {
            return Err(Refusal::NotAllowed("a gateway's key reaches no folder".to_owned()));
        }
        let folder = Folder::parse(named)?;
        self.must_reach(&folder)?;
        Ok(folder)
    }

    pub(crate) fn must_reach(&self, folder: &Folder) -> Result<(), Refusal> {
        let reaches = match &self.role {
            Role::Operator => true,
            Role::Gateway => false,
            Role::Agent { folder: own, subtree: true, .. } => folder.is_within(own),
            Role::Agent { folder: own, .. } => folder == own,
        };
        let refusal = || Refusal::NotAllowed(format!("this key does not reach {folder}"));
        reaches.then_some(()).ok_or_else(refusal)
    }

    pub(crate) fn must_mint(&self) -> Result<(), Refusal> {
        match self.role {
            Role::Operator | Role::Agent { may_mint: true, .. } => Ok(()),
            _ => Err(Refusal::NotAllowed("this key may not issue or revoke tokens".to_owned())),
        }
    }
}

/// The name of a key's record.
pub(crate) fn record(id: &str) -> String {
    format!("key:{id}")
}

/// The topic that says that a key was revoked.
pub(crate) fn topic(id: &str) -> String {
    format!("key:{id}")
}

/// The member of [`KEYS`] that stands for a key.
fn member(key: &Key) -> String {
    match &key.role {
        Role::Agent { folder, .. } => format!("{folder} {}", key.id),
        Role::Operator | Role::Gateway => format!(" {}", key.id),
    }
}

/// Makes a key.
pub(crate) fn create(
    tx: &mut Tx<'_>,
    caller: &Caller,
    role: &Role,
    name: &str,
    credential: &Credential,
) -> Decision<Key> {
    if name.chars().count() > 100 {
        return Err(Refusal::invalid("a name has at most 100 characters").into());
    }
    let key = Key {
        id: credential.id(ID),
        hash: credential.hash(),
        role: role.clone(),
        name: name.to_owned(),
        created_at: tx.now,
    };
    // Guarded to be new: a commit that comes late must not bring back a key that was revoked.
    tx.get_unlikely::<Key>(&record(&key.id))?;
    let mut place = "";
    if let Role::Agent { folder, .. } = role {
        place = folder.as_str();
        tx.put(&folder_record(folder), &(), None)?;
    }
    tx.put(&record(&key.id), &key, None)?;
    tx.add(KEYS, member(&key), tx.now);
    audit::note(tx, &caller.key_id, "key.create", place, (&key.id, name))?;
    Ok(key)
}

/// Ends a key, and tells the streams that were opened with it.
pub(crate) fn revoke(tx: &mut Tx<'_>, caller: &Caller, id: &str) -> Decision<Option<Key>> {
    let Some(key) = tx.get::<Key>(&record(id))? else {
        return Ok(None);
    };
    let place = match &key.role {
        Role::Agent { folder, .. } => folder.as_str(),
        Role::Operator | Role::Gateway => "",
    };
    tx.delete(&record(id));
    tx.remove(KEYS, member(&key));
    tx.publish(topic(id), "revoked");
    audit::note(tx, &caller.key_id, "key.revoke", place, (id, &key.name))?;
    Ok(Some(key))
}

/// The record that says that a folder exists: it has, or had, a key, a token or an agent.
pub(crate) fn folder_record(folder: &Folder) -> String {
    format!("folder:{folder}")
}

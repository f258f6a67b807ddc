//! What a running `up` leaves for the other commands: `running.json` in the user's folders, which
//! says where control is and where its key. The file is locked as long as its `up` lives, so that
//! a stale one is told from a live one for certain, however its process ended.

use crate::folders;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

const FILE: &str = "running.json";

/// Where the running `up` can be reached.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Running {
    /// Control's address.
    pub(crate) control: String,
    /// The gateway's address.
    pub(crate) gateway: String,
    /// The file that has the operator's key.
    pub(crate) operator_key_file: PathBuf,
}

/// Keeps what was left for as long as it lives.
pub(crate) struct Left {
    files: Vec<(PathBuf, File)>,
    content: String,
}

impl Running {
    /// The live `up` of this user, if there is one.
    pub(crate) fn find() -> Option<Self> {
        candidates().iter().find_map(|path| read_live(path))
    }

    /// Leaves it in each of the user's folders where no other live `up` has: a terminal may lack
    /// `XDG_RUNTIME_DIR` when another has it.
    pub(crate) fn leave(&self) -> anyhow::Result<Left> {
        let mut left = Left { files: Vec::new(), content: serde_json::to_string_pretty(self)? };
        for path in candidates() {
            if read_live(&path).is_none() {
                let file = write_locked(&path, &left.content)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                left.files.push((path, file));
            }
        }
        Ok(left)
    }
}

impl Left {
    /// Says whether other commands find this `up`.
    pub(crate) fn is_found(&self) -> bool {
        !self.files.is_empty()
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        for (path, _locked) in &self.files {
            // Another `up` that began at the same instant may have put its own there.
            if fs::read_to_string(path).is_ok_and(|content| content == self.content) {
                // What can't be removed is stale once the lock goes.
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn candidates() -> Vec<PathBuf> {
    let folders = folders::runtime().into_iter().chain(folders::data().ok());
    folders.map(|folder| folder.join(FILE)).collect()
}

/// Readers ask for a shared lock only, so that they never look like an owner to one another.
fn read_live(path: &Path) -> Option<Running> {
    let file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Ok(()) => None,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {
            serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
        }
    }
}

/// Locks before the file has its name, so that nobody sees it whole but unlocked.
fn write_locked(path: &Path, content: &str) -> anyhow::Result<File> {
    let folder = path.parent().context("it has no folder")?;
    fs::create_dir_all(folder)?;
    let draft = folder.join(format!("{FILE}.{}", std::process::id()));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.try_lock()?;
    file.write_all(content.as_bytes())?;
    fs::rename(&draft, path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_only_while_its_owner_lives() {
        let folder = std::env::temp_dir().join(format!("arizuko-running-{}", std::process::id()));
        let path = folder.join(FILE);
        let running = Running {
            control: "http://127.0.0.1:7070".into(),
            gateway: "http://127.0.0.1:8080".into(),
            operator_key_file: "/k".into(),
        };
        let content = serde_json::to_string(&running).unwrap();
        let owner = write_locked(&path, &content).unwrap();
        assert_eq!(read_live(&path), Some(running));
        drop(owner);
        assert_eq!(read_live(&path), None, "its owner is gone");
        fs::remove_dir_all(folder).unwrap();
    }
}

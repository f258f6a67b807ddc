//! `running.json` in the user's directories. By it other commands find a running `up`: it has the
//! addresses, and the name of the file with the operator's key. `up` locks `running.json` while
//! it runs, so that a stale one is recognised however the process ended.

use crate::directories;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

const FILE: &str = "running.json";

/// Where to reach the running `up`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Running {
    /// Control's address.
    pub(crate) control: String,
    /// The gateway's address.
    pub(crate) gateway: String,
    /// The file with the operator's key.
    pub(crate) operator_key_file: PathBuf,
}

/// The files of a running `up`. Dropping this removes them.
pub(crate) struct RunningFiles {
    files: Vec<(PathBuf, File)>,
    content: String,
}

impl Running {
    /// Finds the running `up` of this user.
    pub(crate) fn find() -> Option<Self> {
        candidates().iter().find_map(|path| read_live(path))
    }

    /// Writes the file to each of the user's directories where no other running `up` has one. There
    /// are two directories since `XDG_RUNTIME_DIR` may be set in one terminal and not in another.
    /// If no file can be written, `up` still runs: other commands then need flags.
    pub(crate) fn publish(&self) -> anyhow::Result<RunningFiles> {
        let content = serde_json::to_string_pretty(self)?;
        let mut published = RunningFiles { files: Vec::new(), content };
        for path in candidates() {
            if read_live(&path).is_some() {
                continue;
            }
            match write_locked(&path, &published.content) {
                Ok(file) => published.files.push((path, file)),
                Err(error) => tracing::warn!(
                    "cannot write {}, by which other commands would find this `up`: {error:#}",
                    path.display()
                ),
            }
        }
        Ok(published)
    }
}

impl RunningFiles {
    /// Says whether other commands find this `up`.
    pub(crate) fn is_found(&self) -> bool {
        !self.files.is_empty()
    }
}

impl Drop for RunningFiles {
    fn drop(&mut self) {
        for (path, _locked) in &self.files {
            // Another `up` that started at the same instant may have replaced the file.
            if fs::read_to_string(path).is_ok_and(|content| content == self.content) {
                // A file that stays is stale once its lock is gone.
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn candidates() -> Vec<PathBuf> {
    let directories = directories::runtime().into_iter().chain(directories::data().ok());
    directories.map(|directory| directory.join(FILE)).collect()
}

/// Reads a file if the `up` that wrote it still holds its lock. Readers try a shared lock, so that
/// two readers don't take each other for the owner.
fn read_live(path: &Path) -> Option<Running> {
    let file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Ok(()) => None,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {
            serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
        }
    }
}

/// Writes and locks a draft, then gives it the file's name, so that nobody sees the file unlocked.
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
    fn a_file_counts_only_while_its_owner_runs() {
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

//! The data folder of `up`. Besides control's store it has the keys of the operator and the
//! gateway, and the id of the last demo link.

use anyhow::{Context as _, anyhow, ensure};
use arizuko_control::STORE_FILE;
use arizuko_proto::private;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// A data folder that others can neither read nor write.
pub(super) struct DataFolder {
    path: PathBuf,
}

impl DataFolder {
    /// Opens the folder, or creates it for this user alone. Refuses a folder that others can read
    /// or write, and another user's.
    pub(super) fn open(path: PathBuf) -> anyhow::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&path).with_context(|| {
            format!("cannot create {}: name another folder with --data-dir", path.display())
        })?;
        private::check_folder(&path)?;
        private::check_owner(&path)?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn operator_key_file(&self) -> PathBuf {
        self.path.join("operator.key")
    }

    pub(super) fn gateway_key_file(&self) -> PathBuf {
        self.path.join("gateway.key")
    }

    /// Refuses a folder that has the operator's key but has lost the store.
    pub(super) fn check_store(&self) -> anyhow::Result<()> {
        let (store, key) = (self.path.join(STORE_FILE), self.operator_key_file());
        let is_there = fs::metadata(&store).is_ok_and(|file| file.len() > 0);
        ensure!(
            is_there || !key.exists(),
            "{0} is there, and the store {1} is lost: put it back or restore a backup, or remove {0} to \
             begin with an empty store. If the data is in Redis, say --redis",
            key.display(),
            store.display()
        );
        Ok(())
    }

    /// Returns the token id of the last run's demo link, if there was one.
    pub(super) fn demo_token_id(&self) -> Option<String> {
        let token_id = fs::read_to_string(self.demo_file()).ok()?;
        Some(token_id.trim().to_owned()).filter(|token_id| !token_id.is_empty())
    }

    pub(super) fn set_demo_token_id(&self, token_id: &str) -> anyhow::Result<()> {
        let file = self.demo_file();
        fs::write(&file, token_id).with_context(|| format!("cannot write {}", file.display()))
    }

    fn demo_file(&self) -> PathBuf {
        self.path.join("demo-link.id")
    }
}

/// Reads a key from its file. If there is no file, creates the key and the file.
pub(super) fn key_in(path: &Path) -> anyhow::Result<String> {
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let key = new_key()?;
            file.write_all(key.as_bytes())
                .and_then(|()| file.sync_all())
                .with_context(|| format!("cannot write {}", path.display()))?;
            Ok(key)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            private::read(path).context("without that file, `up` creates a new key")
        }
        Err(error) => Err(error).with_context(|| format!("cannot write {}", path.display())),
    }
}

/// Returns a random key.
fn new_key() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no random bytes: {error}"))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

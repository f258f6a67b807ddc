//! The setting of the key that seals secrets in the store.

use crate::seal::MIN_LENGTH;
use arizuko_proto::private;
use std::path::PathBuf;

/// The key that seals secrets in the store.
#[derive(clap::Args, Clone, Default)]
pub struct SealOptions {
    /// Key that encrypts secrets in the store: those of webhooks' senders, those that check
    /// visitors' JWTs, and those that sign events. At least 32 characters, the same for all
    /// controls of a store. Needed to store any of these secrets.
    #[arg(
        long,
        help_heading = "Store",
        env = "ARIZUKO_SEAL_KEY",
        hide_env_values = true,
        allow_hyphen_values = true
    )]
    pub seal_key: Option<String>,
    /// File with the key that encrypts secrets, in place of --seal-key, which shows in `ps`.
    #[arg(long, help_heading = "Store", env = "ARIZUKO_SEAL_KEY_FILE", value_name = "FILE")]
    pub seal_key_file: Option<PathBuf>,
}

impl SealOptions {
    /// Reads the key from its file.
    ///
    /// # Errors
    /// The key is given twice, or its file can't be read or is open to others.
    pub(crate) fn read_file(&mut self) -> anyhow::Result<()> {
        let file = self.seal_key_file.take();
        self.seal_key = private::given("--seal-key", self.seal_key.take(), file.as_deref())?;
        Ok(())
    }

    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let is_long = self.seal_key.as_ref().is_none_or(|key| key.len() >= MIN_LENGTH);
        anyhow::ensure!(is_long, "--seal-key is shorter than {MIN_LENGTH} characters");
        Ok(())
    }
}

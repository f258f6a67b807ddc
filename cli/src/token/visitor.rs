//! The keys with which a site signs who its visitors are.

use arizuko_proto::private;
use std::{fs, path::PathBuf};

#[derive(clap::Args)]
pub(crate) struct Keys {
    /// File with the key with which your site signs who its visitors are: a secret of 32 bytes or
    /// more, or a public key in PEM; name two files during a change. Control needs --seal-key-file
    #[arg(long, value_name = "FILE")]
    visitor_key_file: Vec<PathBuf>,
}

impl Keys {
    /// Reads the keys. Only a public one may be in a file that others can read.
    pub(super) fn read(&self) -> anyhow::Result<Vec<String>> {
        let read = |file: &PathBuf| match fs::read_to_string(file) {
            Ok(text) if text.contains("-----BEGIN PUBLIC KEY-----") => Ok(text),
            _ => private::read(file),
        };
        self.visitor_key_file.iter().map(read).collect()
    }
}

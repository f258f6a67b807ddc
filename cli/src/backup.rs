//! `arizuko backup` and `arizuko restore`: copy the embedded store to one file, and back. `up` may
//! run during a backup.

use crate::{
    console::{Console, note, quoted},
    directories,
};
use std::{fs, path::PathBuf};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// File of the backup
    file: PathBuf,
    /// Data folder of `up` or arizuko-control [default: ~/.local/share/arizuko]
    #[arg(long, env = "ARIZUKO_DATA_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

impl Args {
    fn folder(&self) -> anyhow::Result<PathBuf> {
        match &self.data_dir {
            Some(folder) => Ok(folder.clone()),
            None => directories::data(),
        }
    }
}

/// Copies the embedded store to a file.
pub(crate) fn back_up(args: &Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    arizuko_control::backup(&args.folder()?, &args.file)?;
    let bytes = fs::metadata(&args.file)?.len();
    note(&format!(
        "{} KiB; it contains the hashes of tokens and keys, not the tokens and keys",
        bytes.div_ceil(1024)
    ));
    console.line(&args.file.to_string_lossy())
}

/// Restores a backup to a data folder that has no store.
pub(crate) fn restore(args: &Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let folder = args.folder()?;
    arizuko_control::restore(&args.file, &folder)?;
    note("links and keys that were revoked since the backup work again: see `arizuko audit`");
    let folder = folder.to_string_lossy().into_owned();
    console.line(&console.command(&format!("up --data-dir {}", quoted(&folder))))
}

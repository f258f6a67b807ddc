//! `arizuko backup` and `arizuko restore`: copy the embedded store to one file, and back. The store
//! may be in use during a backup.

use crate::{
    console::{Console, note, quoted},
    directories,
};
use anyhow::{Context as _, ensure};
use std::{
    fs::File,
    io::{self, IsTerminal as _},
    path::PathBuf,
};

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  arizuko backup /var/backups/arizuko.db --data-dir /var/lib/arizuko
  arizuko backup - | ssh backup.internal 'cat > arizuko.db'
  arizuko restore /var/backups/arizuko.db --data-dir /var/lib/arizuko
")]
pub(crate) struct Args {
    /// File of the backup; for `backup`, - is standard output
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
    let folder = args.folder()?;
    let to_output = args.file.as_os_str() == "-";
    let cannot = || format!("cannot read {}", args.file.display());
    let mut copy = if to_output {
        ensure!(!io::stdout().is_terminal(), "a backup is not text: write it to a file or a pipe");
        arizuko_control::snapshot(&folder)?
    } else {
        arizuko_control::backup(&folder, &args.file)?;
        File::open(&args.file).with_context(cannot)?
    };
    let bytes = copy.metadata().with_context(cannot)?.len();
    if to_output {
        console.copy(&mut copy)?;
    }
    note(&format!(
        "{} KiB; the backup contains only hashes of tokens and keys, not the tokens and keys",
        bytes.div_ceil(1024)
    ));
    if to_output { Ok(()) } else { console.line(&args.file.to_string_lossy()) }
}

/// Restores a backup to a data folder that has no store.
pub(crate) fn restore(args: &Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let folder = args.folder()?;
    arizuko_control::restore(&args.file, &folder)?;
    note("links and keys that were revoked since the backup work again: revoke them once more");
    let folder = folder.to_string_lossy().into_owned();
    console.line(&console.command(&format!("up --data-dir {}", quoted(&folder))))
}

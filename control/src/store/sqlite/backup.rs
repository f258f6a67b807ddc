//! Makes a copy of the embedded store, which may be in use, and puts a copy back where there is no
//! store.

use super::{lock, private};
use anyhow::{Context, anyhow, ensure};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    process,
};

/// Copies the store in `folder`, as it is at one moment, to `file`. The store may be in use.
pub fn backup(folder: &Path, file: &Path) -> anyhow::Result<()> {
    let store = folder.join(super::FILE);
    ensure!(store.exists(), "there is no embedded store in {}", folder.display());
    ensure!(!file.exists(), "{} is there already", file.display());
    let partial = beside(file, ".partial");
    // SQLite writes only into an empty file, and leaves its permissions. An interrupted backup may
    // have left a file that is not empty.
    let _ = fs::remove_file(&partial);
    let copy = private(&partial).with_context(|| format!("cannot write {}", partial.display()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copied = Connection::open_with_flags(&store, flags)
        .and_then(|connection| {
            let partial = partial.to_string_lossy().into_owned();
            connection.execute("VACUUM INTO ?1", [partial])
        })
        .with_context(|| format!("cannot copy {}", store.display()));
    let kept = copied.and_then(|_| {
        sync(&copy, &partial)?;
        keep(&partial, file)
    });
    if kept.is_err() {
        let _ = fs::remove_file(&partial);
    }
    kept
}

/// Copies the store in `folder`, as it is at one moment, to a file that has no name any more. The
/// store may be in use.
pub fn snapshot(folder: &Path) -> anyhow::Result<File> {
    let path = beside(&folder.join(super::FILE), &format!(".copy-{}", process::id()));
    // An earlier process with the same id may have been killed, and have left this file.
    let _ = fs::remove_file(&path);
    backup(folder, &path)?;
    let copy = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
    fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    Ok(copy)
}

/// Puts a backup into `folder`, which must have no store yet.
pub fn restore(file: &Path, folder: &Path) -> anyhow::Result<()> {
    let backup = File::open(file);
    let mut backup = backup.with_context(|| format!("cannot read {}", file.display()))?;
    check(file)?;
    super::make_folder(folder)?;
    let _lock = lock(folder)?;
    give_to_owner(&folder.join(super::LOCK), folder)?;
    let store = folder.join(super::FILE);
    ensure!(
        !store.exists(),
        "{} has a store already: move it away, with the files beside it, or name another folder \
         with --data-dir",
        folder.display()
    );
    let partial = beside(&store, ".partial");
    let _ = fs::remove_file(&partial);
    let mut copy =
        private(&partial).with_context(|| format!("cannot write {}", partial.display()))?;
    std::io::copy(&mut backup, &mut copy)
        .with_context(|| format!("cannot write {}", partial.display()))?;
    sync(&copy, &partial)?;
    give_to_owner(&partial, folder)?;
    keep(&partial, &store)
}

/// Gives a file in a data folder to the folder's owner, if that is somebody else. When root
/// restores into a service's folder, the service must be able to write the file.
fn give_to_owner(file: &Path, folder: &Path) -> anyhow::Result<()> {
    let about = |path: &Path| {
        fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))
    };
    let (owner, now) = (about(folder)?, about(file)?);
    if (owner.uid(), owner.gid()) == (now.uid(), now.gid()) {
        return Ok(());
    }
    chown(file, Some(owner.uid()), Some(owner.gid()))
        .with_context(|| format!("cannot give {} to its folder's owner", file.display()))
}

/// Checks that a file is a complete store of arizuko's.
fn check(file: &Path) -> anyhow::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let found: rusqlite::Result<(String, i64)> =
        Connection::open_with_flags(file, flags).and_then(|connection| {
            let verdict = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            let layouts = "SELECT count(*) FROM record WHERE name = 'layout'";
            let layouts = connection.query_row(layouts, [], |row| row.get(0))?;
            Ok((verdict, layouts))
        });
    let (verdict, layouts) = found.map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => anyhow!("{} is damaged", file.display()),
        _ => anyhow!("{} is not a backup of arizuko's", file.display()),
    })?;
    ensure!(verdict == "ok", "{} is damaged: {verdict}", file.display());
    ensure!(layouts > 0, "{} is not a backup of arizuko's", file.display());
    Ok(())
}

/// Renames the complete file `partial` to `file`, and makes that durable.
fn keep(partial: &Path, file: &Path) -> anyhow::Result<()> {
    fs::rename(partial, file).with_context(|| format!("cannot write {}", file.display()))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let opened = File::open(folder);
    sync(&opened.with_context(|| format!("cannot open {}", folder.display()))?, folder)
}

fn sync(file: &File, path: &Path) -> anyhow::Result<()> {
    file.sync_all().with_context(|| format!("cannot write {} to the disk", path.display()))
}

pub(super) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

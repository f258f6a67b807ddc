//! The user's own folders, by the rules of the XDG base directories.

use anyhow::Context as _;
use std::{env, ffi::OsString, path::PathBuf};

/// What `up` keeps from run to run: `~/.local/share/arizuko`.
pub(crate) fn data() -> anyhow::Result<PathBuf> {
    absolute(env::var_os("XDG_DATA_HOME"))
        .or_else(|| Some(absolute(env::home_dir().map(OsString::from))?.join(".local/share")))
        .map(|folder| folder.join("arizuko"))
        .context("there is no home folder: name a folder with --data-dir")
}

/// What belongs to this login alone, where the system has such a folder.
pub(crate) fn runtime() -> Option<PathBuf> {
    absolute(env::var_os("XDG_RUNTIME_DIR")).map(|folder| folder.join("arizuko"))
}

/// A path for people: the home folder is `~`.
pub(crate) fn shown(path: &std::path::Path) -> String {
    match env::home_dir().and_then(|home| Some(path.strip_prefix(home).ok()?.to_owned())) {
        Some(below) => format!("~/{}", below.display()),
        None => path.display().to_string(),
    }
}

/// The rules say to ignore a relative path.
fn absolute(path: Option<OsString>) -> Option<PathBuf> {
    path.map(PathBuf::from).filter(|path| path.is_absolute())
}

//! The user's directories, by the XDG base directory specification.

use anyhow::Context as _;
use std::{env, ffi::OsString, path::PathBuf};

/// Returns where `up` keeps its data: `$XDG_DATA_HOME/arizuko`, or else `~/.local/share/arizuko`.
pub(crate) fn data() -> anyhow::Result<PathBuf> {
    absolute(env::var_os("XDG_DATA_HOME"))
        .or_else(|| Some(absolute(env::home_dir().map(OsString::from))?.join(".local/share")))
        .map(|folder| folder.join("arizuko"))
        .context("there is no home directory: name a folder with --data-dir")
}

/// Returns where the user's settings are: `$XDG_CONFIG_HOME/arizuko`, or else `~/.config/arizuko`.
pub(crate) fn configuration() -> anyhow::Result<PathBuf> {
    absolute(env::var_os("XDG_CONFIG_HOME"))
        .or_else(|| Some(absolute(env::home_dir().map(OsString::from))?.join(".config")))
        .map(|folder| folder.join("arizuko"))
        .context("there is no home directory for contexts")
}

/// Returns the directory for runtime files of this login: `$XDG_RUNTIME_DIR/arizuko`. `None` if the
/// variable is unset or isn't an absolute path.
pub(crate) fn runtime() -> Option<PathBuf> {
    absolute(env::var_os("XDG_RUNTIME_DIR")).map(|folder| folder.join("arizuko"))
}

/// Returns a path for people, with `~` for the home directory.
pub(crate) fn shown(path: &std::path::Path) -> String {
    match env::home_dir().and_then(|home| Some(path.strip_prefix(home).ok()?.to_owned())) {
        Some(below) => format!("~/{}", below.display()),
        None => path.display().to_string(),
    }
}

/// Returns the path if it is absolute. The specification says to ignore a relative one.
fn absolute(path: Option<OsString>) -> Option<PathBuf> {
    path.map(PathBuf::from).filter(|path| path.is_absolute())
}

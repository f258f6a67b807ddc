//! Files and folders with secrets, which only their owner may read or write.

use anyhow::{Context as _, bail, ensure};
use std::{
    env,
    fs::{self, File, Metadata},
    io::Read as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

/// The permissions of the group and of everybody else.
const OTHERS: u32 = 0o077;

/// Returns the secret that a flag gives, or the one in the file that its twin `…-file` names, if
/// any. An empty systemd credential counts as none, because units load a credential for each secret
/// that a service may have.
///
/// # Errors
/// Both are given, or the file is not what [`read`] takes.
pub fn given(
    flag: &str,
    secret: Option<String>,
    file: Option<&Path>,
) -> anyhow::Result<Option<String>> {
    let Some(file) = file else { return Ok(secret) };
    if is_credential(file) && text(file)?.is_empty() {
        return Ok(secret);
    }
    ensure!(secret.is_none(), "give either {flag} or {flag}-file, not both");
    read(file).map(Some)
}

/// Reads the secret in a file, without white space around it.
///
/// # Errors
/// The file can't be read, is empty, or others can read or write it. The permissions of systemd's
/// credentials don't count: only the service can read them.
pub fn read(path: &Path) -> anyhow::Result<String> {
    let secret = text(path)?;
    ensure!(!secret.is_empty(), "{} is empty: it should hold a secret", path.display());
    Ok(secret)
}

fn text(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let cannot = || format!("cannot read the secret in {shown}");
    let mut file = File::open(path).with_context(cannot)?;
    let about = file.metadata().with_context(cannot)?;
    if about.is_file() && is_open(&about) && !is_credential(path) {
        bail!(
            "others can read or write {shown}: run `chmod 600 {shown}`, and replace the secret if they may have read it"
        );
    }
    let mut secret = String::new();
    file.read_to_string(&mut secret).with_context(cannot)?;
    Ok(secret.trim().to_owned())
}

/// Refuses a folder that others can read or write.
///
/// # Errors
/// Others can, or the folder's permissions can't be read.
pub fn check_folder(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let about = fs::metadata(path).with_context(|| format!("cannot look at {shown}"))?;
    ensure!(
        !is_open(&about),
        "others can read or write {shown}, which holds keys and conversations: run `chmod 700 {shown}`"
    );
    Ok(())
}

/// Refuses a folder of another user. Files that root makes in a service's folder would be root's, and
/// the service could not open them.
///
/// # Errors
/// The folder is another user's, or nobody can say whose it is. Without `/proc`, any folder is taken.
pub fn check_owner(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let owner = fs::metadata(path).with_context(|| format!("cannot look at {shown}"))?.uid();
    // Linux gives this folder to the process's effective user.
    let ours = fs::metadata("/proc/self").map_or(owner, |process| process.uid());
    ensure!(
        owner == ours,
        "{shown} is the folder of the user {owner}: run this as that user, for example with `sudo -u '#{owner}'`"
    );
    Ok(())
}

fn is_open(about: &Metadata) -> bool {
    about.permissions().mode() & OTHERS != 0
}

fn is_credential(path: &Path) -> bool {
    env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|folder| path.starts_with(folder))
}

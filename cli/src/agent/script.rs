//! Refuses a script at start that the system can't run, and says why. The system would only say, at
//! each turn, that there is no such file.

use anyhow::bail;
use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::Read as _,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

/// How much of a program the system looks at, in bytes, to find out what runs it.
const HEAD: u64 = 256;

/// Refuses a script that doesn't name the program that runs it, or names one that is missing. A
/// file that isn't a script, or can't be read, passes.
pub(super) fn check(path: &Path) -> anyhow::Result<()> {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    if read.is_err() || head.contains(&0) {
        return Ok(());
    }
    let shown = path.display();
    let Some(line) = head.strip_prefix(b"#!") else {
        bail!("{shown} doesn't say what runs it: begin it with a line such as #!/bin/sh");
    };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.ends_with(b"\r") {
        bail!(
            "{shown} has the line ends of Windows (CRLF): sed -i 's/\\r$//' {shown} changes them"
        );
    }
    let mut words = line.split(|byte| b" \t".contains(byte)).filter(|word| !word.is_empty());
    let mut word = || words.next().map(OsStr::from_bytes);
    let Some(interpreter) = word().map(Path::new) else {
        bail!("{shown} doesn't say what runs it: begin it with a line such as #!/bin/sh");
    };
    if !interpreter.exists() {
        bail!("{shown} is run by {}, which doesn't exist here", interpreter.display());
    }
    // `env` looks for the program in PATH. Its options and assignments, which are rare, are not
    // checked.
    let sought = word().filter(|_| interpreter.ends_with("env")).map(Path::new);
    let is_name =
        |name: &&Path| !name.as_os_str().as_bytes().iter().any(|byte| b"-=".contains(byte));
    if let Some(name) = sought.filter(is_name)
        && in_path(name).is_none()
    {
        bail!("{shown} is run by {}, which is not in PATH", name.display());
    }
    Ok(())
}

/// Finds a program in the folders of PATH.
pub(super) fn in_path(name: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

/// Whether this is a file that somebody may execute.
pub(super) fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

//! The contexts that `arizuko context` keeps in the user's configuration: for each name, the
//! controls to call and the files to call them with. It keeps no secrets, only the names of files.

use crate::{directories, toml_text};
use anyhow::{Context as _, ensure};
use arizuko_proto::tls::ClientFiles;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// The name of the context that was chosen for this process.
static CHOSEN: OnceLock<String> = OnceLock::new();

/// The controls to call, and the files to call them with.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    pub(crate) control: Vec<String>,
    pub(crate) key_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
}

pub(crate) type Contexts = BTreeMap<String, Context>;

impl Context {
    pub(crate) fn new(
        control: Vec<String>,
        key_file: Option<&Path>,
        tls: &ClientFiles,
    ) -> anyhow::Result<Self> {
        // The context is used in other folders, too.
        let absolute = |file: Option<&Path>| file.map(std::path::absolute).transpose();
        Ok(Self {
            control,
            key_file: absolute(key_file)?,
            ca: absolute(tls.ca.as_deref())?,
            client_cert: absolute(tls.client_cert.as_deref())?,
            client_key: absolute(tls.client_key.as_deref())?,
        })
    }

    pub(crate) fn tls(&self) -> ClientFiles {
        ClientFiles {
            ca: self.ca.clone(),
            client_cert: self.client_cert.clone(),
            client_key: self.client_key.clone(),
        }
    }
}

/// Chooses a context for the rest of the process.
pub(crate) fn choose(name: String) {
    // It is chosen once, when the command line has been read.
    let _ = CHOSEN.set(name);
}

/// Returns the chosen context, if one was chosen.
pub(crate) fn chosen() -> anyhow::Result<Option<Context>> {
    let Some(name) = CHOSEN.get() else { return Ok(None) };
    let context = read()?.remove(name);
    let context =
        context.with_context(|| format!("there is no context {name}: see `context list`"));
    context.map(Some)
}

/// Reads all contexts.
pub(crate) fn read() -> anyhow::Result<Contexts> {
    let file = file()?;
    match fs::read_to_string(&file) {
        Ok(text) => {
            toml_text::parse(&text).with_context(|| format!("cannot use {}", file.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Contexts::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Replaces all contexts.
pub(crate) fn write(contexts: &Contexts) -> anyhow::Result<()> {
    let file = file()?;
    let text = toml::to_string(contexts)?;
    let draft = file.with_extension(format!("toml.{}", std::process::id()));
    let written = fs::create_dir_all(file.parent().unwrap_or(Path::new("/")))
        .and_then(|()| fs::write(&draft, text))
        .and_then(|()| fs::rename(&draft, &file));
    written.with_context(|| format!("cannot write {}", file.display()))
}

fn file() -> anyhow::Result<PathBuf> {
    Ok(directories::configuration()?.join("contexts.toml"))
}

/// Checks the name of a context.
pub(crate) fn check(name: &str) -> anyhow::Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    ensure!(
        !name.is_empty() && name.len() <= 63 && name.chars().all(is_plain),
        "a context's name has 1 to 63 characters: ASCII letters, digits, hyphens, dots and underscores"
    );
    Ok(())
}

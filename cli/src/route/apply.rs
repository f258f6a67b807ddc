//! `arizuko route apply`: replaces the routes with those of a file.

use super::{file, show};
use crate::{
    console::{Console, note, quoted},
    control::Control,
};
use anyhow::{Context as _, bail};
use arizuko_proto::v1::{ApplyRoutesRequest, ApplyRoutesResponse, ErrorReason, Route};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// How many tenants a note names, at most.
const SHOWN: usize = 5;

#[derive(clap::Args)]
pub(crate) struct Apply {
    /// File as `export` writes it; - is standard input
    file: PathBuf,
    /// Replace the routes of this folder and the folders below it [default: the file's `scope`;
    /// without one, the tenants that the file has routes of]
    folder: Option<String>,
    /// Also delete the routes of all tenants that the file has none of
    #[arg(long, conflicts_with = "folder")]
    all: bool,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
}

/// The tables of routes to apply, by folder. A table has all routes of its folder and the folders
/// below it. An empty name stands for the folder of the caller's key.
type Tables = BTreeMap<String, Vec<Route>>;

impl Apply {
    pub(super) async fn run(
        self,
        control: &Control,
        json: bool,
        flags: &str,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        let (scope, routes) = file::read(&self.file)?;
        let refused = || format!("{} was not applied", file::name(&self.file));
        let folder = self.folder(scope).with_context(refused)?;
        let tables = self.tables(control, folder, routes).await;
        let (mut tables, kept) = tables.with_context(refused)?;
        // Control checks every table before the first one is changed.
        let mut difference = ApplyRoutesResponse::default();
        let mut unchanged = Vec::new();
        for (folder, table) in &tables {
            let found = apply(control, folder, table, true).await.with_context(refused)?;
            if found.changes.is_empty() {
                unchanged.push(folder.clone());
            }
            add(&mut difference, found);
        }
        tables.retain(|folder, _| !unchanged.contains(folder));
        if !kept.is_empty() {
            let names = kept.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
            note(&format!("note: other tenants keep their routes ({names}); --all deletes those"));
        }
        if !json {
            show::difference(&difference, console)?;
        }
        if !self.dry_run {
            difference = carry_out(&tables, control).await?;
        }
        if json {
            return console.message(&difference);
        }
        match difference.changes.len() {
            0 => note("nothing to change: the routes are like that already"),
            _ if self.dry_run && self.file.as_os_str() == "-" => note("nothing was changed yet"),
            _ if self.dry_run => {
                let words = format!("route apply {}{flags}", self.arguments());
                let command = console.command(&words);
                note(&format!("nothing was changed yet. Apply it: {command}"));
            }
            1 => note("1 route changed"),
            count => note(&format!("{count} routes changed")),
        }
        for folder in &difference.unattended {
            console.note_unattended(folder, flags);
        }
        Ok(())
    }

    /// Returns the folder whose routes are replaced, if the caller or the file names one.
    fn folder(&self, scope: Option<String>) -> anyhow::Result<Option<String>> {
        match (&self.folder, scope) {
            (Some(folder), Some(scope)) if *folder != scope => {
                bail!("its scope is {scope}, not {folder}")
            }
            (_, Some(scope)) if self.all => bail!("its scope is {scope}, so --all can't be meant"),
            (folder, scope) => Ok(folder.clone().or(scope)),
        }
    }

    /// Splits the routes into tables. If a folder is named or the key has one, there is one table.
    /// With an operator's key there is one for each root folder in the file. With `--all`, the
    /// other root folders get empty tables, which delete their routes. Also returns the root
    /// folders that keep their routes.
    async fn tables(
        &self,
        control: &Control,
        folder: Option<String>,
        routes: Vec<Route>,
    ) -> anyhow::Result<(Tables, BTreeSet<String>)> {
        if let Some(folder) = folder {
            return Ok((Tables::from([(folder, routes)]), BTreeSet::new()));
        }
        if key_has_a_folder(control).await? {
            return Ok((Tables::from([(String::new(), routes)]), BTreeSet::new()));
        }
        let known = super::list(control, None).await?;
        let mut tables = Tables::new();
        for route in routes {
            tables.entry(root(&route.prefix)).or_default().push(route);
        }
        let others = known.routes.iter().map(|route| root(&route.prefix));
        let mut others: BTreeSet<_> = others.filter(|root| !tables.contains_key(root)).collect();
        if self.all {
            tables.extend(std::mem::take(&mut others).into_iter().map(|root| (root, Vec::new())));
        }
        Ok((tables, others))
    }

    fn arguments(&self) -> String {
        let all = self.all.then(|| "--all".to_owned());
        let words = [Some(self.file.to_string_lossy().into_owned()), self.folder.clone(), all];
        let words = words.iter().flatten().map(|word| quoted(word));
        words.collect::<Vec<_>>().join(" ")
    }
}

/// Applies one table after the other. Control applies each as a whole or not at all; if one fails,
/// running the command again applies the rest.
async fn carry_out(tables: &Tables, control: &Control) -> anyhow::Result<ApplyRoutesResponse> {
    let mut difference = ApplyRoutesResponse::default();
    let mut done = Vec::new();
    for (folder, table) in tables {
        let applied = apply(control, folder, table, false).await;
        let applied = match done.is_empty() {
            true => applied,
            false => applied
                .with_context(|| format!("{} was applied, then {folder} failed", done.join(", "))),
        };
        add(&mut difference, applied?);
        done.push(folder.as_str());
    }
    Ok(difference)
}

/// Adds what one table changes.
fn add(difference: &mut ApplyRoutesResponse, table: ApplyRoutesResponse) {
    difference.changes.extend(table.changes);
    difference.unattended.extend(table.unattended);
    difference.unattended.sort();
    difference.unattended.dedup();
}

/// Says whether the key has a folder. If it has none, a request that names no folder is invalid.
async fn key_has_a_folder(control: &Control) -> anyhow::Result<bool> {
    let request = ApplyRoutesRequest { dry_run: true, ..ApplyRoutesRequest::default() };
    match control.routes().await?.apply_routes(request).await {
        Ok(_) => Ok(true),
        Err(status) => Ok(ErrorReason::of(&status) != Some(ErrorReason::Invalid)),
    }
}

async fn apply(
    control: &Control,
    folder: &str,
    table: &[Route],
    dry_run: bool,
) -> anyhow::Result<ApplyRoutesResponse> {
    let request = ApplyRoutesRequest { folder: folder.to_owned(), routes: table.to_vec(), dry_run };
    Ok(control.answer(control.routes().await?.apply_routes(request).await)?)
}

/// Returns the root folder of a valid prefix.
fn root(prefix: &str) -> String {
    let path = prefix.split_once(':').map_or(prefix, |(_, path)| path);
    path.split('/').next().unwrap_or(path).to_owned()
}

//! `arizuko route apply`: replaces the routes with those of a file.

use super::{file, show};
use crate::{
    console::{Console, note, quoted},
    control::Control,
};
use anyhow::Context as _;
use arizuko_proto::v1::{
    ApplyRoutesRequest, ApplyRoutesResponse, ErrorReason, ListRoutesRequest, Route,
};
use std::{collections::BTreeMap, path::PathBuf};

#[derive(clap::Args)]
pub(super) struct Apply {
    /// File as `export` writes it; - is standard input
    file: PathBuf,
    /// Replace the routes of this folder and the folders below it [default: all that the key
    /// reaches]
    folder: Option<String>,
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
        let routes = file::read(&self.file)?;
        let refused = || format!("{} was not applied", file::name(&self.file));
        let tables = self.tables(control, routes).await;
        let mut tables = tables.with_context(refused)?;
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

    /// Splits the routes into tables. If the caller names a folder or the key has one, there is one
    /// table. With an operator's key there is one for each root folder; a root folder without a
    /// route in the file gets an empty table, which deletes its routes.
    async fn tables(&self, control: &Control, routes: Vec<Route>) -> anyhow::Result<Tables> {
        if let Some(folder) = &self.folder {
            return Ok(Tables::from([(folder.clone(), routes)]));
        }
        if key_has_a_folder(control).await? {
            return Ok(Tables::from([(String::new(), routes)]));
        }
        let request = ListRoutesRequest::default();
        let known = control.answer(control.routes().await?.list_routes(request).await)?;
        let roots = known.routes.iter().map(|route| root(&route.prefix));
        let mut tables: Tables = roots.map(|root| (root, Vec::new())).collect();
        for route in routes {
            tables.entry(root(&route.prefix)).or_default().push(route);
        }
        Ok(tables)
    }

    fn arguments(&self) -> String {
        let words = [Some(self.file.to_string_lossy().into_owned()), self.folder.clone()];
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

/// Says whether the key has a folder. If it has none, control refuses a request that names no
/// folder as invalid.
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
    control.answer(control.routes().await?.apply_routes(request).await)
}

/// Returns the root folder of a valid prefix.
fn root(prefix: &str) -> String {
    let path = prefix.split_once(':').map_or(prefix, |(_, path)| path);
    path.split('/').next().unwrap_or(path).to_owned()
}

//! `arizuko route apply`: the whole table at once.

use super::{Routes, entry::Entry, file, show};
use crate::{
    console::{Console, note, quoted},
    control::{self, Control},
};
use anyhow::Context as _;
use arizuko_proto::v1::{
    ApplyRoutesRequest, ApplyRoutesResponse, ListRoutesRequest, Route, RouteChange,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

#[derive(clap::Args)]
pub(super) struct Apply {
    /// A file as `export` writes it; - is standard input
    file: PathBuf,
    /// Whose routes these are: this folder's and those of the folders below it. Without it: all
    /// that the key reaches
    folder: Option<String>,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
}

/// The routes of one folder and those below it. Empty: the folder of the key.
type Tables = BTreeMap<String, Vec<Route>>;

/// What all of them change.
#[derive(Default)]
pub(super) struct Difference {
    pub(super) changes: Vec<RouteChange>,
    pub(super) unattended: BTreeSet<String>,
}

impl Difference {
    fn add(&mut self, applied: ApplyRoutesResponse) {
        self.changes.extend(applied.changes);
        self.unattended.extend(applied.unattended);
    }
}

impl Apply {
    pub(super) async fn run(
        self,
        routes: &mut Routes,
        control: &Control,
        json: bool,
        flags: &str,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        let entries = file::read(&self.file)?;
        let refused = || format!("{} was not applied", file::name(&self.file));
        let tables = self.tables(routes, control, entries).await;
        let mut tables = tables.with_context(refused)?;
        // Control checks all of them before the first is changed.
        let mut difference = Difference::default();
        let mut unchanged = Vec::new();
        for (folder, table) in &tables {
            let found = apply(routes, control, folder, table, true).await;
            let found = found.with_context(refused)?;
            if found.changes.is_empty() {
                unchanged.push(folder.clone());
            }
            difference.add(found);
        }
        tables.retain(|folder, _| !unchanged.contains(folder));
        if !json {
            show::difference(&difference, console)?;
        }
        if !self.dry_run {
            difference = self.carry_out(&tables, routes, control).await?;
        }
        if json {
            return show::difference_document(difference, self.dry_run, console);
        }
        match difference.changes.len() {
            0 => note("the routes are like that already"),
            _ if self.dry_run && self.file.as_os_str() == "-" => note("nothing was changed yet"),
            _ if self.dry_run => {
                let words = format!("route apply {}{flags}", self.arguments());
                let command = console.command(&words);
                note(&format!("nothing was changed yet. Do it: {command}"));
            }
            1 => note("1 route changed"),
            count => note(&format!("{count} routes changed")),
        }
        show::unattended(&difference.unattended, flags, console);
        Ok(())
    }

    /// Splits the file by the folders whose tables it says. A key of an agent has one folder; an
    /// operator's has none, and reaches every root folder: those without a route in the file, too.
    async fn tables(
        &self,
        routes: &mut Routes,
        control: &Control,
        entries: Vec<Entry>,
    ) -> anyhow::Result<Tables> {
        let entries = entries.into_iter().map(Route::from);
        if let Some(folder) = &self.folder {
            return Ok(Tables::from([(folder.clone(), entries.collect())]));
        }
        if has_a_folder(routes).await {
            return Ok(Tables::from([(String::new(), entries.collect())]));
        }
        let known = routes.list_routes(ListRoutesRequest::default()).await;
        let known = known.map_err(|status| control.explain(status))?.into_inner();
        let roots = known.routes.iter().map(|route| root(&route.prefix));
        let mut tables: Tables = roots.map(|root| (root, Vec::new())).collect();
        for route in entries {
            tables.entry(root(&route.prefix)).or_default().push(route);
        }
        Ok(tables)
    }

    /// Applies one table after the other.
    async fn carry_out(
        &self,
        tables: &Tables,
        routes: &mut Routes,
        control: &Control,
    ) -> anyhow::Result<Difference> {
        let mut difference = Difference::default();
        let mut done = Vec::new();
        for (folder, table) in tables {
            let applied = apply(routes, control, folder, table, false).await;
            // Each is applied as a whole or not at all; a second run does the rest.
            let applied = match done.is_empty() {
                true => applied,
                false => applied.with_context(|| {
                    format!("stopped at {folder}, when {} was done", done.join(", "))
                }),
            };
            difference.add(applied?);
            done.push(folder.as_str());
        }
        Ok(difference)
    }

    fn arguments(&self) -> String {
        let words = [Some(self.file.to_string_lossy().into_owned()), self.folder.clone()];
        let words = words.iter().flatten().map(|word| quoted(word));
        words.collect::<Vec<_>>().join(" ")
    }
}

/// Whether the key has a folder of its own: control refuses to guess one for a key that has none.
async fn has_a_folder(routes: &mut Routes) -> bool {
    let request = ApplyRoutesRequest { dry_run: true, ..ApplyRoutesRequest::default() };
    match routes.apply_routes(request).await {
        Ok(_) => true,
        Err(status) => control::reason(&status).as_deref() != Some("INVALID"),
    }
}

async fn apply(
    routes: &mut Routes,
    control: &Control,
    folder: &str,
    table: &[Route],
    dry_run: bool,
) -> anyhow::Result<ApplyRoutesResponse> {
    let request = ApplyRoutesRequest { folder: folder.to_owned(), routes: table.to_vec(), dry_run };
    let applied = routes.apply_routes(request).await;
    Ok(applied.map_err(|status| control.explain(status))?.into_inner())
}

/// The root folder of a prefix, which has been read as one.
fn root(prefix: &str) -> String {
    let path = prefix.split_once(':').map_or(prefix, |(_, path)| path);
    path.split('/').next().unwrap_or(path).to_owned()
}

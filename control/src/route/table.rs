//! Lists and changes routes, as far as the caller's key allows it.

use super::{Field, Index, Reach, Route, steps};
use crate::{
    audit::{self, Change},
    jid::{self, FolderName},
    key::{Caller, Role},
    known_folders, names,
    refusal::Refusal,
    token::{self, Address},
    transaction::{Decision, Record as _, Tx},
};
use std::collections::BTreeMap;

/// A route before and after a change; `None` where there is none.
#[derive(Clone, Debug)]
pub(crate) struct RouteChange {
    pub(crate) before: Option<Route>,
    pub(crate) after: Option<Route>,
}

/// Sets a prefix's route; only these `fields` of it, if there are any. Returns the new route.
pub(crate) fn set(
    tx: &mut Tx<'_>,
    caller: &Caller,
    route: &Route,
    fields: &[Field],
) -> Decision<Route> {
    jid::root(&route.prefix)?;
    let before = tx.get::<Route>(&route.prefix)?;
    let mut after = match (fields, &before) {
        ([], _) | (_, None) => Route { prefix: route.prefix.clone(), ..Route::default() },
        (_, Some(before)) => before.clone(),
    };
    let fields = if fields.is_empty() { &Field::ALL } else { fields };
    for field in fields {
        after.take(*field, route);
    }
    if before.as_ref() == Some(&after) || (before.is_none() && after.is_empty()) {
        may_change(tx, caller, &route.prefix, before.as_ref())?;
        return match before {
            Some(before) => Ok(before),
            None => Err(Refusal::invalid("say what the route is to set").into()),
        };
    }
    let mut table = Table::read(tx, jid::root(&route.prefix)?)?;
    let after = table.write(tx, caller, before.as_ref(), after)?;
    table.put(tx)?;
    Ok(after)
}

/// Deletes a prefix's route, and returns it.
pub(crate) fn delete(tx: &mut Tx<'_>, caller: &Caller, prefix: &str) -> Decision<Option<Route>> {
    jid::root(prefix)?;
    let before = tx.get::<Route>(prefix)?;
    let nothing = Route { prefix: prefix.to_owned(), ..Route::default() };
    if before.is_none() {
        may_change(tx, caller, prefix, None)?;
        return Ok(None);
    }
    let mut table = Table::read(tx, jid::root(prefix)?)?;
    table.write(tx, caller, before.as_ref(), nothing)?;
    table.put(tx)?;
    Ok(before)
}

/// Returns the routes of a folder and of the folders below it, as far as the caller may see them,
/// sorted by prefix.
pub(crate) fn list(tx: &mut Tx<'_>, caller: &Caller, folder: &FolderName) -> Decision<Vec<Route>> {
    let seen: Vec<String> = tx
        .get::<Index>(folder.root())?
        .unwrap_or_default()
        .0
        .into_iter()
        .filter(|prefix| within(jid::path(prefix), folder) && reaches(caller, prefix))
        .collect();
    tx.expect(seen.iter().map(|prefix| Route::name(prefix)))?;
    let mut routes = Vec::new();
    for prefix in seen {
        if let Some(route) = tx.get::<Route>(&prefix)?
            && is_visible(tx, caller, &route)?
        {
            routes.push(route);
        }
    }
    Ok(routes)
}

/// Whether a route whose prefix the key sees can apply to tokens that the key reaches.
fn is_visible(tx: &mut Tx<'_>, caller: &Caller, route: &Route) -> Decision<bool> {
    let Some(reach) = Reach::of(caller) else {
        return Ok(true);
    };
    let concerns = |only: &Reach| reach.has(&only.folder) || only.has(&reach.folder);
    if !route.only.as_ref().is_none_or(concerns) {
        return Ok(false);
    }
    Ok(foreign_folder(tx, caller, &route.prefix)?.is_none())
}

/// If the prefix is the JID of an existing folder that the key does not reach, returns that folder.
/// The folder must exist because `web:acme/eng` could also be a link of `acme` with the suffix
/// `eng`.
fn foreign_folder(tx: &mut Tx<'_>, caller: &Caller, prefix: &str) -> Decision<Option<FolderName>> {
    if prefix.starts_with("hook:") {
        return Ok(None);
    }
    let Ok(folder) = FolderName::parse(jid::path(prefix)) else {
        return Ok(None);
    };
    let is_foreign = caller.must_reach(&folder).is_err() && known_folders::contains(tx, &folder)?;
    Ok(is_foreign.then_some(folder))
}

/// Replaces the routes of a folder and of the folders below it, as far as the caller may see them,
/// with `routes`. Returns the changes, sorted by prefix.
pub(crate) fn apply(
    tx: &mut Tx<'_>,
    caller: &Caller,
    folder: &FolderName,
    routes: &[Route],
) -> Decision<Vec<RouteChange>> {
    let mut pairs: BTreeMap<String, (Option<Route>, Option<Route>)> = BTreeMap::new();
    for route in list(tx, caller, folder)? {
        let prefix = route.prefix.clone();
        pairs.entry(prefix).or_default().0 = Some(route);
    }
    // A route that the caller doesn't see must not be overwritten either.
    tx.expect(routes.iter().map(|route| Route::name(&route.prefix)))?;
    for route in routes {
        jid::root(&route.prefix)?;
        let prefix = &route.prefix;
        if !within(jid::path(prefix), folder) {
            let why = format!("{prefix} does not belong to {folder}, whose routes these are");
            return Err(Refusal::Invalid(why).into());
        }
        if route.is_empty() {
            let why = format!("say what the route of {prefix} is to set");
            return Err(Refusal::Invalid(why).into());
        }
        let (before, after) = pairs.entry(prefix.clone()).or_default();
        if before.is_none() {
            *before = tx.get::<Route>(prefix.as_str())?;
        }
        if after.replace(route.clone()).is_some() {
            let why = format!("{prefix} is in the table twice");
            return Err(Refusal::Invalid(why).into());
        }
    }
    // Loads in one go what all changes read.
    tx.expect(pairs.keys().map(|prefix| Address::name(prefix)))?;
    let (mut changes, mut table) = (Vec::new(), Table::read(tx, folder.root())?);
    for (prefix, (before, after)) in pairs {
        let after = after.unwrap_or_else(|| Route { prefix, ..Route::default() });
        let only = before.as_ref().and_then(|before| before.only.clone());
        let wanted = Route { only, ..after };
        if before.as_ref() != Some(&wanted) {
            let after = table.write(tx, caller, before.as_ref(), wanted)?;
            let after = (!after.is_empty()).then_some(after);
            changes.push(RouteChange { before, after });
        }
    }
    if !changes.is_empty() {
        table.put(tx)?;
    }
    Ok(changes)
}

/// The index of a tenant's routes, while some of the routes are written.
struct Table {
    root: String,
    index: Index,
}

impl Table {
    fn read(tx: &mut Tx<'_>, root: &str) -> Decision<Self> {
        Ok(Self { root: root.to_owned(), index: tx.get::<Index>(root)?.unwrap_or_default() })
    }

    /// Writes one route, or deletes it if it is empty. Returns the route as it is written.
    fn write(
        &mut self,
        tx: &mut Tx<'_>,
        caller: &Caller,
        before: Option<&Route>,
        mut after: Route,
    ) -> Decision<Route> {
        let reach = may_change(tx, caller, &after.prefix, before)?;
        // A key that reaches the whole tenant sets no limit: `only` stays as `after` has it.
        after.only = reach.or(after.only);
        after.check()?;
        steps::check(tx, &after)?;
        for folder in after.folders() {
            // A folder that the route named before may stay, even if the key doesn't reach it.
            if !before.is_some_and(|before| before.folders().any(|named| named == folder)) {
                caller.must_reach(folder)?;
            }
        }
        let action = if after.is_empty() {
            self.index.0.remove(&after.prefix);
            tx.delete::<Route>(&after.prefix);
            "route.delete"
        } else {
            self.index.0.insert(after.prefix.clone());
            tx.put(after.prefix.as_str(), &after)?;
            "route.set"
        };
        let said = Field::ALL.into_iter().filter(|field| after.has(*field));
        let said = said.map(Field::name).collect::<Vec<_>>().join(", ");
        let change = Change {
            actor: caller.key_id.as_str(),
            action,
            folder: jid::path(&after.prefix),
            subject: &after.prefix,
            detail: &said,
        };
        audit::note(tx, &change)?;
        Ok(after)
    }

    fn put(self, tx: &mut Tx<'_>) -> Decision<()> {
        let Self { root, index } = self;
        let most = tx.limits.owners.tenant_routes;
        if index.0.len() > most as usize {
            return Err(Refusal::LimitReached(format!("{root} has {most} routes")).into());
        }
        if index.0.is_empty() {
            tx.remove(&names::routed_roots(), &root);
        } else {
            tx.add(&names::routed_roots(), &root, 0_u64);
        }
        tx.put(root.as_str(), &index)
    }
}

/// Whether a path of segments is the path of a folder, or lies below it.
fn within(path: &str, folder: &FolderName) -> bool {
    let rest = path.strip_prefix(folder.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a key sees a prefix. A key that reaches a single folder sees that folder's own JIDs.
pub(super) fn reaches(caller: &Caller, prefix: &str) -> bool {
    match &caller.role {
        Role::Operator | Role::Viewer => true,
        Role::Gateway => false,
        Role::Agent { folder, subtree, .. } => {
            let path = jid::path(prefix);
            // A web JID has a suffix, at most, after its folder; a hook JID a source and a suffix.
            let own = if prefix.starts_with("hook:") { 2 } else { 1 };
            let rest = path.strip_prefix(folder.as_str()).unwrap_or_default();
            within(path, folder) && (*subtree || rest.matches('/').count() <= own)
        }
    }
}

/// Refuses a change that the key may not make. Returns the folders to whose tokens the route is
/// limited; `None` if it is for the whole tenant.
fn may_change(
    tx: &mut Tx<'_>,
    caller: &Caller,
    prefix: &str,
    before: Option<&Route>,
) -> Decision<Option<Reach>> {
    let Role::Agent { folder, subtree, .. } = &caller.role else {
        caller.must_be_operator()?;
        return Ok(None);
    };
    caller.must_route()?;
    let refusal = |why: String| Err(Refusal::NotAllowed(why).into());
    if !reaches(caller, prefix) {
        return refusal(format!("this key does not reach {prefix}"));
    }
    // `web:a/b` may be the JID of the folder `a/b`, or of a link of the folder `a`.
    if let Some(owner) = token::owner_of(tx, prefix)?
        && caller.must_reach(&owner).is_err()
    {
        return refusal(format!("{prefix} is a link of {owner}'s"));
    }
    if let Some(foreign) = foreign_folder(tx, caller, prefix)? {
        return refusal(format!("{prefix} is the address of the folder {foreign}"));
    }
    let reach = Reach { folder: folder.clone(), below: *subtree };
    if reach.below && folder.as_str() == folder.root() {
        return Ok(None);
    }
    // A key of a folder above may have set the route for a link whose suffix is this folder's name.
    // The folder's own key may replace that route.
    let is_squatted =
        |only: &Reach| !only.below && *folder != only.folder && folder.is_within(&only.folder);
    let others = |before: &Route| {
        before.only.as_ref().is_none_or(|only| !reach.has_all_of(only) && !is_squatted(only))
    };
    if before.is_some_and(others) {
        return refusal(format!("the route of {prefix} also holds outside {folder}"));
    }
    Ok(Some(reach))
}

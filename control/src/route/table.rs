//! The table of routes: what is written into it, and by whom.

use super::{Field, ROOTS, Route, index, prefixes, record};
use crate::{
    audit,
    jid::{self, Folder},
    key::{Caller, Role},
    token,
    transaction::{Decision, Refusal, Tx},
};
use std::collections::{BTreeMap, BTreeSet};

const MAX_ROUTES: usize = 1_000;

/// One route before and after.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) before: Option<Route>,
    pub(crate) after: Option<Route>,
}

/// Sets a prefix's route, or only some fields of it.
pub(crate) fn set(
    tx: &mut Tx<'_>,
    caller: &Caller,
    route: &Route,
    fields: &[Field],
) -> Decision<Route> {
    jid::root(&route.prefix)?;
    let before = tx.get::<Route>(&record(&route.prefix))?;
    let mut after = match (fields, &before) {
        ([], _) | (_, None) => Route {
            prefix: route.prefix.clone(),
            ..Route::default()
        },
        (_, Some(before)) => before.clone(),
    };
    let fields = if fields.is_empty() {
        &Field::ALL
    } else {
        fields
    };
    for field in fields {
        after.take(*field, route);
    }
    if before.is_none() && after.is_empty() {
        return Err(Refusal::invalid("say what the route is to set").into());
    }
    write(tx, caller, before.as_ref(), after)
}

/// Forgets a prefix's route; returns what it was.
pub(crate) fn delete(tx: &mut Tx<'_>, caller: &Caller, prefix: &str) -> Decision<Option<Route>> {
    jid::root(prefix)?;
    let before = tx.get::<Route>(&record(prefix))?;
    let nothing = Route {
        prefix: prefix.to_owned(),
        ..Route::default()
    };
    match &before {
        Some(_) => drop(write(tx, caller, before.as_ref(), nothing)?),
        None => drop(may_change(tx, caller, prefix, None)?),
    }
    Ok(before)
}

/// The routes of a folder's prefixes and those below that the caller may see, by prefix.
pub(crate) fn list(tx: &mut Tx<'_>, caller: &Caller, folder: &Folder) -> Decision<Vec<Route>> {
    let seen: Vec<String> = prefixes(tx, folder.root())?
        .into_iter()
        .filter(|prefix| within(jid::path(prefix), folder) && reaches(caller, prefix))
        .collect();
    tx.expect(seen.iter().map(|prefix| record(prefix)))?;
    let mut routes = Vec::new();
    for prefix in seen {
        routes.extend(tx.get::<Route>(&record(&prefix))?);
    }
    Ok(routes)
}

/// Makes a folder's routes exactly these; returns what that changes, by prefix.
pub(crate) fn apply(
    tx: &mut Tx<'_>,
    caller: &Caller,
    folder: &Folder,
    routes: &[Route],
) -> Decision<Vec<Change>> {
    let mut pairs: BTreeMap<String, (Option<Route>, Option<Route>)> = BTreeMap::new();
    for route in list(tx, caller, folder)? {
        let prefix = route.prefix.clone();
        pairs.entry(prefix).or_default().0 = Some(route);
    }
    for route in routes {
        jid::root(&route.prefix)?;
        let prefix = &route.prefix;
        if !within(jid::path(prefix), folder) {
            let why = format!("{prefix} is not of {folder}, whose table this is");
            return Err(Refusal::Invalid(why).into());
        }
        if route.is_empty() {
            let why = format!("say what the route of {prefix} is to set");
            return Err(Refusal::Invalid(why).into());
        }
        let after = &mut pairs.entry(prefix.clone()).or_default().1;
        if after.replace(route.clone()).is_some() {
            let why = format!("{prefix} is in the table twice");
            return Err(Refusal::Invalid(why).into());
        }
    }
    let mut changes = Vec::new();
    for (prefix, (before, after)) in pairs {
        let after = after.unwrap_or_else(|| Route {
            prefix,
            ..Route::default()
        });
        let only = before.as_ref().and_then(|before| before.only.clone());
        let wanted = Route { only, ..after };
        if before.as_ref() != Some(&wanted) {
            let after = write(tx, caller, before.as_ref(), wanted)?;
            let after = (!after.is_empty()).then_some(after);
            changes.push(Change { before, after });
        }
    }
    Ok(changes)
}

/// Writes one route; an empty one is deleted.
fn write(
    tx: &mut Tx<'_>,
    caller: &Caller,
    before: Option<&Route>,
    mut after: Route,
) -> Decision<Route> {
    after.only = may_change(tx, caller, &after.prefix, before)?;
    after.check()?;
    let root = jid::root(&after.prefix)?.to_owned();
    let mut known = prefixes(tx, &root)?;
    let action = if after.is_empty() {
        known.remove(&after.prefix);
        tx.delete(&record(&after.prefix));
        "route.delete"
    } else {
        known.insert(after.prefix.clone());
        tx.put(&record(&after.prefix), &after, None)?;
        "route.set"
    };
    if known.len() > MAX_ROUTES {
        let why = format!("{root} has at most {MAX_ROUTES} routes");
        return Err(Refusal::Invalid(why).into());
    }
    list_root(tx, &root, &known);
    tx.put(&index(&root), &known, None)?;
    let said = Field::ALL.into_iter().filter(|field| after.has(*field));
    let said = said.map(Field::name).collect::<Vec<_>>().join(", ");
    let subject = (after.prefix.as_str(), said.as_str());
    audit::note(
        tx,
        &caller.key_id,
        action,
        jid::path(&after.prefix),
        subject,
    )?;
    Ok(after)
}

fn list_root(tx: &mut Tx<'_>, root: &str, known: &BTreeSet<String>) {
    if known.is_empty() {
        tx.remove(ROOTS, root);
    } else {
        tx.add(ROOTS, root, 0);
    }
}

/// Whether a path of segments is a folder's or below it.
fn within(path: &str, folder: &Folder) -> bool {
    let rest = path.strip_prefix(folder.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a key sees a prefix. One that reaches a single folder sees that folder's own JIDs.
fn reaches(caller: &Caller, prefix: &str) -> bool {
    match &caller.role {
        Role::Operator => true,
        Role::Gateway => false,
        Role::Agent {
            folder, subtree, ..
        } => {
            let path = jid::path(prefix);
            // A web JID adds a suffix to its folder, a hook's a source and a suffix.
            let own = if prefix.starts_with("hook:") { 2 } else { 1 };
            let rest = path.strip_prefix(folder.as_str()).unwrap_or_default();
            within(path, folder) && (*subtree || rest.matches('/').count() <= own)
        }
    }
}

/// Refuses a change that the key does not reach. Returns the one folder that the route is for,
/// if the key reaches no other.
fn may_change(
    tx: &mut Tx<'_>,
    caller: &Caller,
    prefix: &str,
    before: Option<&Route>,
) -> Decision<Option<Folder>> {
    let Role::Agent {
        folder, subtree, ..
    } = &caller.role
    else {
        caller.must_be_operator()?;
        return Ok(None);
    };
    let refusal = |why: String| Err(Refusal::NotAllowed(why).into());
    if !reaches(caller, prefix) {
        return refusal(format!("this key does not reach {prefix}"));
    }
    // `web:a/b` may be the folder a/b, or a link of the folder a.
    if let Some(owner) = token::owner_of(tx, prefix)?
        && caller.must_reach(&owner).is_err()
    {
        return refusal(format!("{prefix} is a link of {owner}'s"));
    }
    let only = (!subtree).then(|| folder.clone());
    match before {
        Some(before) if !subtree && before.only != only => {
            refusal(format!("the route of {prefix} is for more than {folder}"))
        }
        _ => Ok(only),
    }
}

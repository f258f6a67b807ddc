//! How routes are shown: to people, and to programs.

use super::{
    apply::Difference,
    entry::{Entry, Mode},
    file,
};
use crate::console::{Console, note, quoted};
use anyhow::bail;
use arizuko_proto::v1::{ExplainRouteResponse, Route, SetRouteResponse};
use serde_json::{Map, Value, json};

/// How much of a text fits a table.
const CELL: usize = 40;

pub(super) fn set(
    set: SetRouteResponse,
    json: bool,
    flags: &str,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let entry = Entry::from(set.route.unwrap_or_default());
    let lines = entry.lines();
    if json {
        let route = (!lines.is_empty()).then_some(&entry);
        return console.document(&json!({"route": route, "unattended": set.unattended}));
    }
    if lines.is_empty() {
        note(&format!("{} says nothing any more: it has no route", entry.prefix));
    } else {
        console.line(&entry.prefix)?;
        for (field, text) in lines {
            console.line(&line("  ", field, &text))?;
        }
    }
    unattended(&set.unattended, flags, console);
    Ok(())
}

pub(super) fn list(
    routes: Vec<Route>,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let entries: Vec<_> = routes.into_iter().map(Entry::from).collect();
    if json {
        return console.document(&json!({ "routes": entries }));
    }
    if entries.is_empty() {
        note("no routes");
        return Ok(());
    }
    let rows = entries.into_iter().map(|entry| {
        let steps = entry.escalate.as_ref().map(|steps| match &steps[..] {
            [] => "nowhere".to_owned(),
            steps => steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        });
        let text = |text: Option<String>| text.as_deref().map(brief).unwrap_or_default();
        let after = entry.give_up_after.map(|after| format!("after {after}"));
        [
            entry.prefix,
            entry.target.unwrap_or_default(),
            entry.mode.map(|mode| mode.to_string()).unwrap_or_default(),
            text(entry.topic),
            text(entry.persona),
            steps.unwrap_or_default(),
            after.unwrap_or_default(),
            entry.only_folder.unwrap_or_default(),
        ]
    });
    let head =
        ["PREFIX", "TARGET", "MODE", "TOPIC", "PERSONA", "ESCALATION", "GIVES UP", "ONLY FOR"];
    console.table(head, rows.collect())
}

pub(super) fn explained(
    jid: &str,
    explained: ExplainRouteResponse,
    json: bool,
    flags: &str,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let entry = Entry::from(explained.route.unwrap_or_default());
    let sources = explained.fields.iter();
    if json {
        let set_by = |prefix: &String| (!prefix.is_empty()).then(|| json!(prefix));
        let sources = sources.map(|field| (field.field.clone(), set_by(&field.prefix).into()));
        let presence = explained.presence.iter();
        let presence = presence.map(|at| json!({"folder": at.folder, "agents": at.agents}));
        return console.document(&json!({
            "jid": jid,
            "folder": explained.folder,
            "linked": explained.linked,
            "route": entry,
            "from": sources.collect::<Map<String, Value>>(),
            "presence": presence.collect::<Vec<_>>(),
        }));
    }
    if !explained.linked {
        let folder = &explained.folder;
        note(&format!("note: no live link has {jid}: this is what one of {folder} would do"));
    }
    let lines = entry.lines();
    let mut rows = Vec::new();
    for field in sources {
        let from = match field.prefix.as_str() {
            "" => "default",
            prefix => prefix,
        };
        let said = lines.iter().filter(|(name, _)| *name == field.field);
        let mut said: Vec<_> = said.map(|(_, text)| text.clone()).collect();
        if said.is_empty() {
            said.push(String::new());
        }
        rows.extend(said.into_iter().map(|text| [field.field.clone(), from.into(), text]));
    }
    console.table(["FIELD", "FROM", "VALUE"], rows)?;
    console.line("")?;
    let attached = explained.presence.iter().map(|at| {
        let names = at.agents.iter().map(|name| match name.as_str() {
            "" => "unnamed",
            name => name,
        });
        let names = names.collect::<Vec<_>>().join(", ");
        let names = if names.is_empty() { "nobody".into() } else { names };
        [at.folder.clone(), names]
    });
    console.table(["FOLDER", "ATTACHED"], attached.collect())?;
    let dropped = entry.mode == Some(Mode::Drop);
    let empty = explained.presence.iter();
    let empty = empty.filter(|at| at.agents.is_empty() && !dropped);
    unattended(empty.map(|at| &at.folder), flags, console);
    Ok(())
}

pub(super) fn deleted(
    deleted: Option<Route>,
    prefix: &str,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let there_was = deleted.is_some();
    if json {
        console.document(&json!({"deleted": deleted.map(Entry::from)}))?;
    } else if there_was {
        console.line(&format!("deleted {prefix}"))?;
    }
    if !there_was {
        let list = console.command("route list");
        bail!("nothing was deleted, as {prefix} has no route: see {list}");
    }
    Ok(())
}

/// What changes, as programs that compare files write it.
pub(super) fn difference(difference: &Difference, console: &mut Console<'_>) -> anyhow::Result<()> {
    for change in &difference.changes {
        let before = change.before.clone().map(Entry::from);
        let after = change.after.clone().map(Entry::from);
        let (sign, prefix) = match (&before, &after) {
            (None, Some(new)) => ("+", &new.prefix),
            (Some(old), None) => ("-", &old.prefix),
            (Some(same), Some(_)) => (" ", &same.prefix),
            (None, None) => continue,
        };
        console.line(&format!("{sign} {prefix}"))?;
        let lines = |entry: &Option<Entry>| entry.as_ref().map(Entry::lines).unwrap_or_default();
        let (before, after) = (lines(&before), lines(&after));
        for (field, text) in before.iter().filter(|line| !after.contains(line)) {
            console.line(&line("-   ", field, text))?;
        }
        for (field, text) in after.iter().filter(|line| !before.contains(line)) {
            console.line(&line("+   ", field, text))?;
        }
    }
    Ok(())
}

pub(super) fn difference_document(
    difference: Difference,
    dry_run: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let changes = difference.changes.into_iter().map(|change| {
        let (before, after) = (change.before, change.after);
        json!({"before": before.map(Entry::from), "after": after.map(Entry::from)})
    });
    let changes: Vec<_> = changes.collect();
    let unattended = difference.unattended;
    console.document(&json!({"dry_run": dry_run, "changes": changes, "unattended": unattended}))
}

pub(super) fn exported(
    routes: Vec<Route>,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let mut entries: Vec<_> = routes.into_iter().map(Entry::from).collect();
    for entry in &mut entries {
        if let Some(folder) = entry.only_folder.take() {
            note(&format!(
                "note: {} is for the tokens of {folder} alone, as an agent's key set it: the file can't say that",
                entry.prefix
            ));
        }
    }
    if json {
        return console.document(&json!({ "route": entries }));
    }
    console.text(&file::text(entries)?)
}

/// Says where nobody is, and how to change that.
pub(super) fn unattended<'a>(
    folders: impl IntoIterator<Item = &'a String>,
    flags: &str,
    console: &Console<'_>,
) {
    for folder in folders {
        let folder = quoted(folder);
        let words = format!("agent exec --folder {folder}{flags} -- ./my-agent.sh");
        note(&format!(
            "note: no agent is attached to {folder}. Attach one: {}",
            console.command(&words)
        ));
    }
}

fn line(before: &str, field: &str, text: &str) -> String {
    format!("{before}{field:10}  {text}")
}

/// A text on one short line, in quotes: an empty one is something else than none.
fn brief(text: &str) -> String {
    match text.char_indices().nth(CELL) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

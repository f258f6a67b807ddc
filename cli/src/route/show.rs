//! Shows routes to people.

use super::file;
use crate::{
    console::{Console, note, word},
    table::Spare,
    time,
};
use anyhow::bail;
use arizuko_proto::v1::{
    self, ApplyRoutesResponse, DeleteRouteResponse, EscalationStep, ExplainRouteResponse,
    ObserveFor, Route, RouteMode, SetRouteResponse,
};
use std::io::{self, IsTerminal as _};

/// How many characters of a text a table shows, at most.
const CELL: usize = 40;

/// A field of a route and its value. Each step of the escalation is a line of its own.
type Line = (&'static str, String);

/// Returns the fields that a route sets.
fn lines(route: &Route) -> Vec<Line> {
    let quoted = |text: &String| format!("{text:?}");
    let mut lines = Vec::new();
    lines.extend(route.target.clone().map(|target| ("target", target)));
    lines.extend(route.persona.as_ref().map(|text| ("persona", quoted(text))));
    lines.extend(route.topic.as_ref().map(|text| ("topic", quoted(text))));
    if route.mode() != RouteMode::Unspecified {
        lines.push(("mode", mode(route)));
    }
    if route.observe_for() != ObserveFor::Unspecified {
        lines.push(("observe_for", word(route.observe_for().as_str_name())));
    }
    if let Some(escalation) = &route.escalation {
        let steps = escalation.steps.iter();
        lines.extend(steps.map(|at| ("escalation", format!("{}{}", step(at), saying(&at.say)))));
        if escalation.steps.is_empty() {
            lines.push(("escalation", "nowhere".into()));
        }
    }
    if let Some(give_up) = &route.give_up {
        lines.push(("give_up", format!("{}{}", after(give_up.after), saying(&give_up.say))));
    }
    if !route.only_folder.is_empty() {
        lines.push(("only for", format!("the tokens of {}", route.only_folder)));
    }
    lines
}

fn mode(route: &Route) -> String {
    word(route.mode().as_str_name())
}

fn step(step: &EscalationStep) -> String {
    let to = &step.to;
    match (step.after, step.unfinished_after) {
        (None, None) => to.clone(),
        (first, None) => format!("{to} {}", after(first)),
        (None, end) => format!("{to} unfinished {}", after(end)),
        (first, end) => format!("{to} {} or unfinished {}", after(first), after(end)),
    }
}

fn after(length: Option<prost_types::Duration>) -> String {
    format!("after {}", time::print(length.unwrap_or_default()))
}

fn saying(sentence: &str) -> String {
    match sentence {
        "" => String::new(),
        sentence => format!(", saying {sentence:?}"),
    }
}

pub(super) fn set(
    set: SetRouteResponse,
    flags: &str,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let route = set.route.unwrap_or_default();
    let lines = lines(&route);
    if lines.is_empty() {
        note(&format!("{} no longer has a route: nothing is set", route.prefix));
    } else {
        console.line(&route.prefix)?;
        for (field, value) in lines {
            console.line(&line("  ", field, &value))?;
        }
    }
    for folder in &set.unattended {
        console.note_unattended(folder, flags);
    }
    Ok(())
}

pub(super) fn list(routes: Vec<Route>, console: &mut Console<'_>) -> anyhow::Result<()> {
    if routes.is_empty() {
        note("no routes");
        return Ok(());
    }
    let rows = routes.into_iter().map(|route| {
        let mode = mode(&route);
        let steps = route.escalation.map(|escalation| match &escalation.steps[..] {
            [] => "nowhere".to_owned(),
            steps => steps.iter().map(step).collect::<Vec<_>>().join(", "),
        });
        let text = |text: Option<String>| text.as_deref().map(brief).unwrap_or_default();
        [
            route.prefix,
            route.target.unwrap_or_default(),
            mode,
            text(route.topic),
            text(route.persona),
            steps.unwrap_or_default(),
            route.give_up.map(|give_up| after(give_up.after)).unwrap_or_default(),
            route.only_folder,
        ]
    });
    let head =
        ["PREFIX", "TARGET", "MODE", "TOPIC", "PERSONA", "ESCALATION", "GIVES UP", "ONLY FOR"];
    let drop = &["ONLY FOR", "TOPIC", "PERSONA"];
    console.table(head, rows.collect(), Spare { cut: Some("PERSONA"), drop })
}

pub(super) fn explained(
    jid: &str,
    explained: ExplainRouteResponse,
    flags: &str,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let route = explained.route.unwrap_or_default();
    if !explained.linked {
        let folder = &explained.folder;
        note(&format!("note: no live link has {jid}: this is what a link of {folder} would do"));
    }
    let lines = lines(&route);
    let mut rows = Vec::new();
    for v1::RouteField { field, prefix } in explained.fields {
        let values = lines.iter().filter(|(name, _)| *name == field);
        let mut values: Vec<_> = values.map(|(_, value)| value.clone()).collect();
        if values.is_empty() {
            values.push(default(&field, explained.ends_after));
        }
        let from = match (prefix.as_str(), field.as_str()) {
            ("", "target") => "the link".into(),
            ("", "give_up") => "--turn-deadline".into(),
            ("", _) => "default".into(),
            _ => prefix,
        };
        rows.extend(values.into_iter().map(|value| [field.clone(), from.clone(), value]));
    }
    console.table(["FIELD", "FROM", "VALUE"], rows, Spare::default())?;
    let order = |length: prost_types::Duration| (length.seconds, length.nanos);
    for (number, step) in (1..).zip(route.escalation.iter().flat_map(|it| &it.steps)) {
        let times = [step.after, step.unfinished_after].into_iter().flatten();
        let soonest = times.map(order).min();
        if explained.ends_after.is_some_and(|end| soonest >= Some(order(end))) {
            note(&format!(
                "note: step {number} of the escalation, to {}, can't happen: the turn ends {}",
                step.to,
                after(explained.ends_after)
            ));
        }
    }
    console.line("")?;
    let attached = explained.presence.iter().map(|presence| {
        let names = presence.agents.iter().map(|name| match name.as_str() {
            "" => "unnamed",
            name => name,
        });
        let names = names.collect::<Vec<_>>().join(", ");
        [presence.folder.clone(), if names.is_empty() { "nobody".into() } else { names }]
    });
    console.table(["FOLDER", "ATTACHED"], attached.collect(), Spare::default())?;
    if route.mode() != RouteMode::Drop {
        for presence in explained.presence.iter().filter(|presence| presence.agents.is_empty()) {
            console.note_unattended(&presence.folder, flags);
        }
    }
    Ok(())
}

/// Returns what applies if no route sets the field.
fn default(field: &str, ends_after: Option<prost_types::Duration>) -> String {
    match field {
        "escalation" => "nowhere".into(),
        "give_up" if ends_after.is_some() => after(ends_after),
        "observe_for" => "people".into(),
        // Control fills in the target and the mode.
        _ => "none".into(),
    }
}

pub(super) fn deleted(
    response: &DeleteRouteResponse,
    prefix: &str,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let is_deleted = response.deleted.is_some();
    if json {
        console.message(response)?;
    } else if is_deleted {
        console.line(&format!("deleted {prefix}"))?;
    }
    if !is_deleted {
        let list = console.command("route list");
        bail!("nothing was deleted: {prefix} has no route. See {list}");
    }
    Ok(())
}

/// Shows the routes and fields that change, with `+` and `-` as `diff` does.
pub(super) fn difference(
    difference: &ApplyRoutesResponse,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    for change in &difference.changes {
        let (sign, prefix) = match (&change.before, &change.after) {
            (None, Some(new)) => ("+", &new.prefix),
            (Some(old), None) => ("-", &old.prefix),
            (Some(same), Some(_)) => (" ", &same.prefix),
            (None, None) => continue,
        };
        console.line(&format!("{sign} {prefix}"))?;
        let lines = |route: &Option<Route>| route.as_ref().map(lines).unwrap_or_default();
        let (before, after) = (lines(&change.before), lines(&change.after));
        for (field, value) in before.iter().filter(|line| !after.contains(line)) {
            console.line(&line("-   ", field, value))?;
        }
        for (field, value) in after.iter().filter(|line| !before.contains(line)) {
            console.line(&line("+   ", field, value))?;
        }
    }
    Ok(())
}

pub(super) fn exported(
    scope: Option<String>,
    routes: Vec<Route>,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    for route in routes.iter().filter(|route| !route.only_folder.is_empty()) {
        let Route { prefix, only_folder, .. } = route;
        note(&format!(
            "note: {prefix} is for the tokens of {only_folder} alone, as an agent's key set it: \
             the file can't say that"
        ));
    }
    let text = file::text(scope, routes)?;
    // A file gets the text unchanged. A terminal doesn't, since the text could control it.
    if io::stdout().is_terminal() { console.text(&text) } else { console.raw(&text) }
}

fn line(indent: &str, field: &str, value: &str) -> String {
    format!("{indent}{field:10}  {value}")
}

/// Returns the first [`CELL`] characters of a text, in quotes, so that an empty text differs from
/// none.
fn brief(text: &str) -> String {
    match text.char_indices().nth(CELL) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

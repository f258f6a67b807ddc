//! The table of routes as a file, in TOML.

use super::entry::Entry;
use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path};

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Has to be there: an empty file would otherwise forget every route.
    route: Vec<Entry>,
}

/// The file's name for people.
pub(super) fn name(path: &Path) -> String {
    match path.to_str() {
        Some("-") => "standard input".into(),
        _ => path.display().to_string(),
    }
}

/// Reads a file, or standard input where it is `-`.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Entry>> {
    let text = match path.to_str() {
        Some("-") => io::read_to_string(io::stdin()),
        _ => fs::read_to_string(path),
    };
    let text = text.with_context(|| format!("cannot read {}", name(path)))?;
    if text.trim().is_empty() {
        bail!("{} is empty: to forget every route, say `route = []`", name(path));
    }
    parse(&text).with_context(|| format!("{} was not applied", name(path)))
}

fn parse(text: &str) -> anyhow::Result<Vec<Entry>> {
    let table: Result<Table, _> = toml::from_str(text);
    match table {
        Ok(table) => Ok(table.route),
        Err(wrong) => {
            let before = wrong.span().and_then(|span| text.get(..span.start));
            let line = before.unwrap_or_default().matches('\n').count() + 1;
            bail!("line {line}: {}", wrong.message())
        }
    }
}

/// The text of a file that says these routes.
pub(super) fn text(route: Vec<Entry>) -> anyhow::Result<String> {
    Ok(toml::to_string_pretty(&Table { route })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
[[route]]
prefix = "web:acme"
persona = ""
escalate = []

[[route]]
prefix = "web:acme/support"
target = "acme/bot"
persona = """
Two lines,
and "quotes"."""
topic = "leads"
mode = "observe"
give_up_after = "7d"
give_up_say = "We'll write."
[[route.escalate]]
after = "1m 30s"
to = "acme/people"
say = "A colleague comes."
[[route.escalate]]
unfinished_after = "1.5s"
to = "acme/boss"
"#;

    #[test]
    fn what_is_written_reads_the_same() {
        for whole in [WHOLE, "route = []"] {
            let entries = parse(whole).unwrap();
            assert_eq!(parse(&text(entries.clone()).unwrap()).unwrap(), entries);
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (wrong, line, told) in [
            ("[[route]]\nprefix = \"web:a\"\npersonna = \"x\"", 3, "personna"),
            ("[[route]]\nprefix = \"acme\"", 2, "web:acme"),
            ("[[route]]\n\nprefix = \"web:a\"\nmode = \"x\"", 4, "observe"),
            ("[[route]]\nprefix = \"web:a\"\ngive_up_after = \"0s\"", 3, "45m"),
            ("[[route]]\nprefix = \"web:a\"\n[[route.escalate]]\nto = 7", 4, "string"),
            ("[[routes]]\nprefix = \"web:a\"", 1, "route"),
            ("[[route]]\nprefix = \"web:a\"\nonly_folder = \"a\"", 3, "only_folder"),
            ("[[route]]\nprefix = ", 2, "value"),
        ] {
            let error = parse(wrong).expect_err(wrong).to_string();
            assert!(error.starts_with(&format!("line {line}: ")), "{error}");
            assert!(error.contains(told) && !error.contains('\n'), "{error}");
        }
    }
}

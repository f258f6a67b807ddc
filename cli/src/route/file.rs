//! Reads and writes routes as a TOML file.

use super::entry::Entry;
use crate::toml_text;
use anyhow::{Context as _, bail};
use arizuko_proto::v1::Route;
use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path};

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The folder that the file covers: the file has all routes of this folder and of those below
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// Required: otherwise an empty file would delete every route.
    route: Vec<Entry>,
}

/// Returns the file's name for people.
pub(super) fn name(path: &Path) -> String {
    match path.to_str() {
        Some("-") => "standard input".into(),
        _ => path.display().to_string(),
    }
}

/// Reads a file, or standard input where it is `-`. Returns its scope and its routes.
pub(super) fn read(path: &Path) -> anyhow::Result<(Option<String>, Vec<Route>)> {
    let text = match path.to_str() {
        Some("-") => io::read_to_string(io::stdin()),
        _ => fs::read_to_string(path),
    };
    let text = text.with_context(|| format!("cannot read {}", name(path)))?;
    if text.trim().is_empty() {
        bail!(
            "{} is empty: to delete every route of acme, write `scope = \"acme\"` and `route = []`",
            name(path)
        );
    }
    let table: Table =
        toml_text::parse(&text).with_context(|| format!("{} was not applied", name(path)))?;
    Ok((table.scope, table.route.into_iter().map(Route::from).collect()))
}

/// Returns the text of a file with these routes.
pub(super) fn text(scope: Option<String>, routes: Vec<Route>) -> anyhow::Result<String> {
    let route = routes.into_iter().map(Entry::from).collect();
    Ok(toml::to_string_pretty(&Table { scope, route })?)
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
observe_for = "visitors"
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
    fn a_written_file_reads_the_same() {
        for whole in [WHOLE, "scope = \"acme\"\nroute = []"] {
            let table = toml_text::parse::<Table>(whole).unwrap();
            let routes = table.route.iter().cloned().map(Route::from).collect();
            let again =
                toml_text::parse::<Table>(&text(table.scope.clone(), routes).unwrap()).unwrap();
            assert_eq!((again.scope, again.route), (table.scope, table.route));
        }
    }

    #[test]
    fn an_error_names_its_line() {
        for (wrong, line, word) in [
            ("[[route]]\nprefix = \"web:a\"\npersonna = \"x\"", 3, "personna"),
            ("[[route]]\nprefix = \"acme\"", 2, "web:acme"),
            ("[[route]]\n\nprefix = \"web:a\"\nmode = \"x\"", 4, "observe"),
            ("[[route]]\nprefix = \"web:a\"\ngive_up_after = \"90\"", 3, "90s"),
            ("[[route]]\nprefix = \"web:a\"\n[[route.escalate]]\nto = 7", 4, "string"),
            ("[[routes]]\nprefix = \"web:a\"", 1, "route"),
            ("[[route]]\nprefix = \"web:a\"\nonly_folder = \"a\"", 3, "only_folder"),
            ("[[route]]\nprefix = ", 2, "value"),
        ] {
            let error = toml_text::parse::<Table>(wrong).err().expect(wrong).to_string();
            assert!(error.starts_with(&format!("line {line}: ")), "{error}");
            assert!(error.contains(word) && !error.contains('\n'), "{error}");
        }
    }
}

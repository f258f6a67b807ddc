//! The documents name tests, settings and paths that exist. `tests/lint/links.py` checks their links.

use std::{fs, path::Path};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are in a folder of the project")
}

/// In these documents, "`file.rs`: `name`, `name`" names tests of `tests/outside/file.rs`.
#[test]
fn every_test_that_shows_a_promise_exists() {
    for document in ["docs/guarantees.md", "docs/threat-model.md"] {
        let text = fs::read_to_string(root().join(document)).expect("it is there");
        for line in text.lines().filter(|line| line.starts_with('|')) {
            let mut source = String::new();
            let words = line.rsplit('|').nth(1).unwrap_or_default();
            for word in words.split('`').skip(1).step_by(2) {
                if word.contains('/') || word.ends_with(".rs") {
                    let folder = root().join("tests/outside").join(word.trim_end_matches("/*"));
                    let file = if folder.exists() { folder } else { root().join(word) };
                    assert!(file.exists(), "{document} names {word}");
                    source = fs::read_to_string(&file).unwrap_or_default();
                } else if word.contains('_') {
                    assert!(source.contains(&format!("fn {word}(")), "{document} names {word}");
                }
            }
        }
    }
}

/// Returns the text of all Rust files in a folder and the folders below it.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("it is there");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let texts = paths.map(|path| match path.extension() {
        Some(kind) if kind == "rs" => fs::read_to_string(&path).expect("it is text"),
        None if path.is_dir() => sources(&path),
        _ => String::new(),
    });
    texts.collect()
}

#[test]
fn every_promise_says_what_it_rests_on_and_every_setting_exists() {
    let text = fs::read_to_string(root().join("docs/guarantees.md")).expect("it is there");
    let promises = text.split("## ").find(|part| part.starts_with("The promises"));
    let promises = promises.expect("a part of the document").lines();
    for line in promises.filter(|line| line.starts_with('|')).skip(2) {
        let columns: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let is_whole = columns.len() == 3 && columns.iter().all(|column| column.len() > 3);
        assert!(is_whole && columns[2].contains(".rs`"), "{line}");
    }
    let sources: String =
        ["control", "gateway"].map(|name| sources(&root().join(name).join("src"))).concat();
    for word in text.split('`').skip(1).step_by(2) {
        let name = word.split([' ', '=']).next().unwrap_or_default();
        if let Some(flag) = name.strip_prefix("--") {
            let field = format!("{}:", flag.replace('-', "_"));
            assert!(sources.contains(&field), "there is no flag {name}");
        } else if name.starts_with("ARIZUKO_") {
            assert!(sources.contains(&format!("\"{name}\"")), "there is no setting {name}");
        }
    }
}

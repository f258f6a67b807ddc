//! Canned replies, which are read from a file and have names.

use crate::toml_text;
use anyhow::{Context as _, anyhow, ensure};
use std::{collections::BTreeMap, fs, path::Path};

/// The texts by name, in alphabetical order.
pub(super) type Replies = BTreeMap<String, String>;

/// Reads a TOML file with a line such as `thanks = "Thank you."` for each reply.
pub(super) fn read(path: &Path) -> anyhow::Result<Replies> {
    let name = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    parse(&text).with_context(|| format!("cannot use {name}"))
}

fn parse(text: &str) -> anyhow::Result<Replies> {
    let replies: Replies =
        toml_text::parse(text).map_err(|wrong| anyhow!("{wrong}; write `name = \"text\"`"))?;
    for (name, text) in &replies {
        let is_word = !name.is_empty() && !name.contains(char::is_whitespace);
        ensure!(is_word, "{name:?} is not one word: `/r NAME` could not say it");
        ensure!(!text.trim().is_empty(), "{name} has no text");
    }
    Ok(replies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_words_with_texts() {
        let replies = parse("bye = \"Good bye.\"\nhi = '''\nHello,\nhow are you?'''\n").unwrap();
        assert_eq!(replies["hi"], "Hello,\nhow are you?");
        for (wrong, told) in [
            ("bye = \"a\"\nhi = 3", "line 2: "),
            ("hello", "line 1: "),
            ("\"a b\" = \"c\"", "not one word"),
            ("hi = \" \"", "hi has no text"),
        ] {
            let error = format!("{:#}", parse(wrong).unwrap_err());
            assert!(error.contains(told), "{error}");
        }
    }
}

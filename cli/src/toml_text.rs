//! Files in TOML.

use anyhow::anyhow;
use serde::de::DeserializeOwned;

/// Reads a value. An error is one line, which says where the text is wrong.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    toml::from_str(text).map_err(|wrong: toml::de::Error| {
        let before = wrong.span().and_then(|span| text.get(..span.start));
        let line = before.unwrap_or_default().matches('\n').count() + 1;
        anyhow!("line {line}: {}", wrong.message())
    })
}

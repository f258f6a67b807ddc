//! Folders and JIDs: the names of agents and the addresses that messages come to.

use crate::{refusal::Refusal, store::Partition};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

const MAX_DEPTH: usize = 8;
const MAX_SEGMENT: usize = 63;

/// A path that names one agent, for example `acme/eng`. Its first segment is the tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct FolderName(String);

impl FolderName {
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let segments: Vec<&str> = text.split('/').collect();
        if segments.len() > MAX_DEPTH {
            return Err(Refusal::invalid(format!("a folder has at most {MAX_DEPTH} segments")));
        }
        for part in segments {
            segment("a folder's segment", part)?;
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the tenant.
    pub(crate) fn root(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }

    /// Returns the last segment, by which people know the agent.
    pub(crate) fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    pub(crate) fn is_within(&self, above: &Self) -> bool {
        let rest = self.0.strip_prefix(&above.0);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    pub(crate) fn partition(&self, partitions: Partition) -> Partition {
        partition_of(self.root(), partitions)
    }
}

impl fmt::Display for FolderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<FolderName> for String {
    fn from(folder: FolderName) -> Self {
        folder.0
    }
}

impl TryFrom<String> for FolderName {
    type Error = Refusal;

    fn try_from(text: String) -> Result<Self, Refusal> {
        Self::parse(&text)
    }
}

/// Checks one segment of a folder, a suffix or a source.
pub(crate) fn segment(what: &str, text: &str) -> Result<(), Refusal> {
    let fits = (1..=MAX_SEGMENT).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    fits.then_some(()).ok_or_else(|| {
        Refusal::invalid(format!(
            "{what} is 1 to {MAX_SEGMENT} characters of A-Z a-z 0-9 _ -, not {text:?}"
        ))
    })
}

/// Returns the JID of a chat link.
pub(crate) fn web(folder: &FolderName, suffix: Option<&str>) -> String {
    match suffix {
        Some(suffix) => format!("web:{folder}/{suffix}"),
        None => format!("web:{folder}"),
    }
}

/// Returns the JID of a webhook.
pub(crate) fn hook(folder: &FolderName, source: &str, suffix: Option<&str>) -> String {
    match suffix {
        Some(suffix) => format!("hook:{folder}/{source}/{suffix}"),
        None => format!("hook:{folder}/{source}"),
    }
}

/// Returns the tenant of a JID that a caller wrote. No other field is ever parsed out of a JID.
pub(crate) fn root(jid: &str) -> Result<&str, Refusal> {
    let path = path(jid);
    if path == jid {
        return Err(Refusal::invalid(format!("a JID begins with web: or hook:, not {jid:?}")));
    }
    // A JID has at most a folder, a source and a suffix.
    if path.split('/').count() > MAX_DEPTH + 2 {
        return Err(Refusal::invalid("a JID has at most 10 segments"));
    }
    for part in path.split('/') {
        segment("a JID's segment", part)?;
    }
    Ok(path.split('/').next().unwrap_or(path))
}

/// Returns a JID without its kind.
pub(crate) fn path(jid: &str) -> &str {
    let path = jid.strip_prefix("web:").or_else(|| jid.strip_prefix("hook:"));
    path.unwrap_or(jid)
}

/// Returns the partition of a tenant.
pub(crate) fn partition_of(root: &str, partitions: Partition) -> Partition {
    let digest = Sha256::digest(root);
    u16::from_be_bytes([digest[0], digest[1]]) % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_up_to_eight_plain_segments() {
        for good in ["a", "acme", "acme/eng", "A-b_9/x", "a/b/c/d/e/f/g/h"] {
            assert!(FolderName::parse(good).is_ok(), "{good}");
        }
        let long = "x".repeat(64);
        for bad in ["", "/", "a/", "/a", "a//b", "a b", "ä", "a.b", &long, "a/b/c/d/e/f/g/h/i"] {
            assert!(FolderName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn within_ends_on_a_segment() {
        let folder = |text| FolderName::parse(text).expect("a folder");
        assert!(folder("acme/eng").is_within(&folder("acme")));
        assert!(folder("acme").is_within(&folder("acme")));
        assert!(!folder("acme2").is_within(&folder("acme")));
        assert!(!folder("acme").is_within(&folder("acme/eng")));
    }
}

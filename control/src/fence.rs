//! The fence: what keeps a control of another schema from writing.
//!
//! Each partition has a record whose version is the schema of the store. Every commit guards it, so
//! that a program of another schema can't write, even if it was paused while the store was
//! upgraded.

use crate::{
    names::FENCE,
    store::{Guard, Record, StoreError},
};
use std::{collections::HashMap, sync::LazyLock};

/// The schema of this program.
pub(crate) const SCHEMA: u32 = 9;

/// The program's version, with the schema that decides how to upgrade to it.
pub(crate) static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{}, schema {SCHEMA}", env!("CARGO_PKG_VERSION")));

/// Returns the guard that every commit has.
pub(crate) fn guard() -> Guard {
    Guard::Version { record: FENCE.to_owned(), version: Some(u64::from(SCHEMA)) }
}

/// Takes the fence out of the records of a conflict.
///
/// # Errors
/// The fence has the version of another schema.
pub(crate) fn check(conflict: &mut HashMap<String, Option<Record>>) -> Result<(), StoreError> {
    match conflict.remove(FENCE) {
        None => Ok(()),
        Some(Some(fence)) if fence.version == u64::from(SCHEMA) => Ok(()),
        Some(_) => Err(StoreError::Unavailable("the store has another schema by now".to_owned())),
    }
}

//! What Redis's errors mean for arizuko.

use crate::store::StoreError;
use redis::{ErrorKind, RedisError};
use std::error::Error;

/// The codes of errors that say that nothing was done. They come from Redis, or from the script
/// before its first write.
const REFUSALS: [&str; 15] = [
    "OOM",
    "NOREPLICAS",
    "READONLY",
    "LOADING",
    "BUSY",
    "MASTERDOWN",
    "MISCONF",
    "CLUSTERDOWN",
    "NOAUTH",
    "NOPERM",
    "NOSCRIPT",
    "WRONGTYPE",
    "MOVED",
    "ASK",
    "TRYAGAIN",
];
/// The beginnings of errors about a command that the server lacks. These errors have no code of
/// their own.
const LACKS: [&str; 3] = ["unknown command", "Unknown Redis command", "Invalid command passed"];
/// The beginning of the error about a command that a script's user may not run. It comes before the
/// script's first write: the script checks the user's rights to its writes beforehand.
const FORBIDS: &str = "The user executing the script can't";

/// Those of [`REFUSALS`] that can end without a change of arizuko's settings, by themselves or when
/// somebody repairs Redis.
const PASSING: [&str; 9] = [
    "OOM",
    "NOREPLICAS",
    "READONLY",
    "LOADING",
    "BUSY",
    "MASTERDOWN",
    "MISCONF",
    "CLUSTERDOWN",
    "TRYAGAIN",
];

/// How rustls describes a certificate that it will not accept until a setting changes.
const UNTRUSTED: &str = "invalid peer certificate";

/// An error that says what an operator can do about it.
#[derive(Debug, thiserror::Error)]
#[error("{}", explain(.0))]
pub(super) struct Explained(pub(super) RedisError);

/// Whether the cause of an error may pass by itself: nobody answers, or a server isn't ready.
pub(crate) fn may_pass(cause: &(dyn Error + 'static)) -> bool {
    let explained = cause.downcast_ref().map(|Explained(error)| error);
    let error: Option<&RedisError> = explained.or_else(|| cause.downcast_ref());
    error.is_some_and(|error| {
        let is_away = error.is_io_error() && !error.to_string().contains(UNTRUSTED);
        is_away || error.code().is_some_and(|code| PASSING.contains(&code))
    })
}

/// Whether it is certain that nothing was done. Silence doesn't make that certain.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    let refuses = error.code().is_some_and(|code| REFUSALS.contains(&code));
    refuses || error.is_connection_refusal() || lacks_a_command(error) || forbids_a_command(error)
}

fn lacks_a_command(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| LACKS.iter().any(|lacks| detail.starts_with(lacks)))
}

fn forbids_a_command(error: &RedisError) -> bool {
    error.code() == Some("NOPERM")
        || error.detail().is_some_and(|detail| detail.starts_with(FORBIDS))
}

/// Converts the error of a read, which changes nothing in any case.
pub(super) fn unavailable(error: RedisError) -> StoreError {
    StoreError::Unavailable(explain(&error))
}

/// Converts the error of a commit.
pub(super) fn commit_error(error: RedisError) -> StoreError {
    if is_refusal(&error) {
        StoreError::Unavailable(explain(&error))
    } else {
        StoreError::Unknown(error.to_string())
    }
}

/// Returns the error's text, with what an operator can do about it.
pub(super) fn explain(error: &RedisError) -> String {
    let advice = match error.code() {
        _ if forbids_a_command(error) => "give Redis's user the rights in docs/operations.md",
        _ if lacks_a_command(error) || error.kind() == ErrorKind::RESP3NotSupported => {
            "arizuko needs Redis 7.0 or later, with all commands that docs/operations.md names"
        }
        Some("WRONGTYPE") => {
            "something else writes to arizuko's keys: give arizuko a --redis-prefix of its own"
        }
        Some("NOSCRIPT") => "Redis forgets scripts at once: is a proxy in between?",
        _ => return error.to_string(),
    };
    format!("{error}; {advice}")
}

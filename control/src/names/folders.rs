//! The names of records about folders.

use crate::jid::FolderName;

/// Names a record that is never deleted and says that the folder exists. Written with the folder's
/// first key, token or agent.
pub(crate) fn folder(folder: &FolderName) -> String {
    format!("folder:{folder}")
}

/// Names the [`FolderSettings`](crate::folder_settings::FolderSettings) of a tenant, which live
/// until all of them are the defaults again. Written by `folder_settings.rs`.
pub(crate) fn folder_settings(root: &str) -> String {
    format!("settings:{root}")
}

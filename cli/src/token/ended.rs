//! The tokens that have ended, as the audit log has them. The store has no list of them.

use crate::{control::Control, time};
use arizuko_proto::v1::{AuditEntry, ListAuditRequest};
use std::collections::HashMap;

/// How many pages of the audit log are read, at most.
const PAGES: usize = 100;
/// How many entries a page has, at most.
const PAGE: u32 = 1_000;

/// Returns rows for the table of tokens: the tokens of `folder` and the folders below it that have
/// ended and whose JID begins with `prefix`. Those that ended last come last.
pub(super) async fn rows(
    control: &Control,
    folder: &str,
    prefix: &str,
) -> anyhow::Result<Vec<[String; 7]>> {
    let (mut ended, mut issued) = (Vec::new(), HashMap::new());
    let mut request =
        ListAuditRequest { folder: folder.to_owned(), limit: PAGE, ..ListAuditRequest::default() };
    let mut admin = control.admin().await?;
    // From the newest page to the oldest.
    for _ in 0..PAGES {
        let page = control.answer(admin.list_audit(request.clone()).await)?;
        for entry in page.entries.into_iter().rev() {
            match entry.action.as_str() {
                "token.revoke" => ended.push(("revoked", entry)),
                "token.expire" => ended.push(("expired", entry)),
                "token.issue" => drop(issued.insert(entry.subject.clone(), entry)),
                _ => {}
            }
        }
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let ended = ended.into_iter().rev().filter(|(_, entry)| entry.detail.starts_with(prefix));
    let row = |(state, entry): (&str, AuditEntry)| {
        let issue = issued.remove(&entry.subject).unwrap_or_default();
        let (began, end) = (time::shown(issue.at), time::shown(entry.at));
        [entry.detail, entry.subject, state.into(), began, end, issue.actor, String::new()]
    };
    Ok(ended.map(row).collect())
}

//! The audit log is kept for a time, and read in pages.

use arizuko_proto::v1::{
    AuditEntry, ListAuditRequest, ListAuditResponse, admin_service_client::AdminServiceClient,
};
use arizuko_tests::prelude::*;

async fn page(stack: &Stack, folder: &str, page_token: &str) -> ListAuditResponse {
    let mut admin = AdminServiceClient::new(stack.operator(A).await);
    let (folder, page_token) = (folder.to_owned(), page_token.to_owned());
    let request = ListAuditRequest { folder, limit: 4, page_token };
    admin.list_audit(request).await.expect("operators read the audit log").into_inner()
}

#[apply(embedded_and_one_redis)]
async fn audit_is_read_in_pages(stack: Stack) {
    let mut issued = Vec::new();
    for number in 0..9 {
        issued.push(stack.issue(["acme", "other", "acme/eng"][number % 3]).await.token_id);
    }
    // The entries of these revocations have the same time, since one commit revokes all three.
    let revoked = stack.revoke("web:acme").await.len();
    assert_eq!(revoked, 3);
    for (folder, count) in [("", 12), ("acme", 9), ("acme/eng", 3)] {
        let (mut entries, mut token, mut pages) = (Vec::<AuditEntry>::new(), String::new(), 0);
        loop {
            let page = page(&stack, folder, &token).await;
            let is_of_issues = |entry: &AuditEntry| entry.action.starts_with("token.");
            let found = page.entries.into_iter().filter(is_of_issues).collect();
            entries = [found, entries].concat();
            (token, pages) = (page.next_page_token, pages + 1);
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(entries.len(), count, "{folder}: {entries:?}");
        assert!(pages >= count.div_ceil(4), "{folder}: {pages} pages");
        assert!(entries.is_sorted_by_key(|entry| entry.at.map(|at| (at.seconds, at.nanos))));
        let of = |id: &String| entries.iter().filter(|entry| entry.subject == *id).count();
        assert!(issued.iter().all(|id| of(id) <= 2), "no entry comes twice");
    }
    let told = stack.arizuko(&["audit", "acme", "--limit", "2"]).await.expect(0);
    let older = told.err.split("audit acme ").nth(1).expect("a command for older entries");
    let older: Vec<&str> = ["audit", "acme"].into_iter().chain(older.split_whitespace()).collect();
    let next = stack.arizuko(&older).await.expect(0);
    assert!(next.out != told.out && next.out.contains("token."), "{next:?}");
    let refused = stack.arizuko(&["audit", "--page", "nonsense"]).await.expect(1);
    assert!(refused.err.contains("page token"), "{refused:?}");
}

#[apply(embedded_and_one_redis)]
async fn audit_is_kept_for_a_time(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_KEEP_AUDIT", "1s")]).await;
    stack.issue("acme").await;
    until("the entry to be dropped", async || page(&stack, "acme", "").await.entries.is_empty())
        .await;
}

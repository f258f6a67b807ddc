//! Checks control: its version, its store, its keys, and whether agents answer its links.

use super::{
    public::RENEWED_BEFORE,
    report::{Level, Report},
};
use crate::{
    console::word,
    control::Control,
    key, route,
    status::{is_alone, silence},
    time, token,
};
use arizuko_proto::v1::{
    ExplainRouteRequest, GetStatusRequest, GetStatusResponse, KeyKind, ListTokensRequest,
    RouteMode, ServerKind, Token,
};
use prost_types::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::SystemTime,
};

/// How many JIDs a finding names, at most.
const MAX_NAMED: usize = 5;

/// Checks that nobody else on this machine can read the operator's key.
pub(super) fn key_file(file: &Path, report: &mut Report) {
    let Ok(metadata) = fs::metadata(file) else {
        // `Options::find`, which runs before this check, reports a file that can't be read.
        return;
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        let file = file.display();
        report.add(
            Level::Warning,
            "key",
            format!("others on this machine can read {file}"),
            format!("chmod 600 {file}"),
        );
    }
}

/// Checks that control answers. Returns its status if it does.
pub(super) async fn status(control: &Control, report: &mut Report) -> Option<GetStatusResponse> {
    let asked =
        async { control.answer(control.admin().await?.get_status(GetStatusRequest {}).await) };
    match asked.await {
        Ok(status) => {
            let (version, ours) = (&status.version, env!("CARGO_PKG_VERSION"));
            if version == ours {
                report.ok("control", format!("arizuko {version} answers, and accepts the key"));
            } else {
                report.add(
                    Level::Warning,
                    "control",
                    format!("control has version {version} and this command {ours}"),
                    "install the same version of both",
                );
            }
            Some(status)
        }
        Err(error) => {
            report.add(Level::Failure, "control", format!("{error:#}"), "");
            None
        }
    }
}

/// Reports control's remarks about guarantees that its store may not keep.
pub(super) fn store(status: &GetStatusResponse, report: &mut Report) {
    if status.store_remarks.is_empty() {
        report.ok("store", &status.store);
    }
    for remark in &status.store_remarks {
        let (what, remedy) = remark.split_once(": ").unwrap_or((remark, ""));
        report.add(Level::Warning, "store", what, remedy);
    }
}

/// Reports controls and gateways that are silent, have another version, or have a certificate that
/// ends soon.
pub(super) fn servers(status: &GetStatusResponse, report: &mut Report) {
    let system = |at: Option<Timestamp>| at.and_then(|at| SystemTime::try_from(at).ok());
    let mut warn = |found: String, remedy: &str| {
        report.add(Level::Warning, "servers", found, remedy);
    };
    let mut is_well = true;
    for server in &status.servers {
        let name = format!("the {} {}", word(server.kind().as_str_name()), server.name);
        if let Some(silence) = silence(server, status.now) {
            let found = format!("{name} has been silent for {}", time::in_one_unit(silence));
            warn(found, "it hangs, was killed, or can't reach the others: see its log");
            is_well = false;
        }
        if server.version != status.version {
            let found = format!("{name} has version {}, not {}", server.version, status.version);
            warn(found, "install the same version of all");
            is_well = false;
        }
        let end = system(server.certificate_ends_at);
        let left = end.map(|end| end.duration_since(SystemTime::now()).unwrap_or_default());
        if let Some(left) = left.filter(|left| *left < RENEWED_BEFORE) {
            let found = format!("the certificate of {name} ends in {}", time::in_one_unit(left));
            warn(found, "renew it; the new files are used without a restart");
            is_well = false;
        }
    }
    if is_well && !status.servers.is_empty() {
        let of = |kind| status.servers.iter().filter(|server| server.kind() == kind).count();
        let (controls, gateways) = (of(ServerKind::Control), of(ServerKind::Gateway));
        report.ok("servers", format!("{controls} of control and {gateways} of the gateway run"));
    }
}

/// Reports the folders in which turns wait, and whether anybody is there to answer them.
pub(super) fn waiting(status: &GetStatusResponse, report: &mut Report) {
    let mut waiting = status.folders.iter().filter(|folder| folder.queued > 0).peekable();
    if waiting.peek().is_none() {
        report.ok("waiting", "no message waits for an agent");
    }
    for folder in waiting {
        let name = &folder.folder;
        let wait = folder.oldest_wait.map(time::rounded).unwrap_or_default();
        let found = match folder.queued {
            1 => format!("1 message waits in {name}, for {wait}"),
            count => format!("{count} messages wait in {name}, the first for {wait}"),
        };
        let see = format!("see them: arizuko conversation list {name} --status waiting");
        if is_alone(folder) {
            let remedy = format!("arizuko agent exec --folder {name} -- ./my-agent.sh; {see}");
            let found = format!("{found}, and nobody is attached");
            report.add(Level::Warning, "waiting", found, remedy);
        } else {
            let credit = format!("{} of {} places taken", folder.credit_used, folder.credit);
            let found = format!("{found}; its agents have {credit}");
            report.add(Level::Ok, "waiting", found, see);
        }
    }
}

/// Counts the keys.
pub(super) async fn keys(control: &Control, report: &mut Report) -> anyhow::Result<()> {
    let listed = key::list(control, String::new()).await?;
    let of = |kind: KeyKind| listed.keys.iter().filter(|key| key.kind() == kind).count();
    report.ok(
        "keys",
        format!(
            "{} of agents, {} of operators, {} of viewers and {} of gateways",
            of(KeyKind::Agent),
            of(KeyKind::Operator),
            of(KeyKind::Viewer),
            of(KeyKind::Gateway)
        ),
    );
    Ok(())
}

/// Checks that somebody is attached to each folder that is to answer a link: the folder that the
/// link's route names, and the folders that the route escalates to.
pub(super) async fn agents(control: &Control, report: &mut Report) -> anyhow::Result<()> {
    let tokens = token::list(control, ListTokensRequest::default()).await?.tokens;
    let routes = route::list(control, None).await?.routes;
    let prefixes: BTreeSet<_> = routes.into_iter().map(|route| route.prefix).collect();
    // Control is asked about one JID for each folder and set of routes, since its answer about the
    // others would be the same.
    let mut alike: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for Token { folder, jid, .. } in tokens {
        let beginnings = jid.match_indices('/').map(|(at, _)| &jid[..at]).chain([&*jid]);
        let routed: Vec<_> = beginnings.filter_map(|beginning| prefixes.get(beginning)).collect();
        alike.entry((folder, routed)).or_default().insert(jid);
    }
    let (mut client, mut all) = (control.routes().await?, BTreeSet::new());
    let mut unattended: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for jids in alike.into_values() {
        let request = ExplainRouteRequest { jid: jids.first().cloned().unwrap_or_default() };
        let explained = control.answer(client.explain_route(request).await)?;
        let route = explained.route.unwrap_or_default();
        if matches!(route.mode(), RouteMode::Unspecified | RouteMode::Trigger) {
            let target = route.target.unwrap_or(explained.folder);
            for empty in explained.presence.into_iter().filter(|folder| folder.agents.is_empty()) {
                let is_step = empty.folder != target;
                unattended.entry((is_step, empty.folder)).or_default().extend(jids.clone());
            }
        }
        all.extend(jids);
    }
    if unattended.is_empty() {
        report.ok("agents", format!("an agent is attached for each of {} JIDs", all.len()));
    }
    for ((is_step, folder), jids) in unattended {
        let (jids, exec) = (some(&jids), format!("agent exec --folder {folder} -- ./my-agent.sh"));
        let (found, remedy) = match is_step {
            false => (
                format!("no agent is attached to {folder} to answer {jids}"),
                format!("arizuko {exec}, or revoke the link"),
            ),
            true => (
                format!("nobody is attached to {folder}, to which messages of {jids} escalate"),
                format!("arizuko inbox {folder}, or arizuko {exec}"),
            ),
        };
        report.add(Level::Warning, "agents", found, remedy);
    }
    Ok(())
}

/// Names some JIDs, and counts the others.
fn some(jids: &BTreeSet<String>) -> String {
    let named: Vec<_> = jids.iter().take(MAX_NAMED).map(String::as_str).collect();
    match jids.len() - named.len() {
        0 => named.join(", "),
        others => format!("{} and {others} more", named.join(", ")),
    }
}

//! What control says of itself: its store, the keys, and whether anybody answers its links.

use super::report::{Level, Report};
use crate::control::{self, Control};
use arizuko_proto::v1::{
    ExplainRouteRequest, GetStatusRequest, GetStatusResponse, KeyKind, ListKeysRequest,
    ListTokensRequest, RouteMode, admin_service_client::AdminServiceClient,
    key_service_client::KeyServiceClient, route_service_client::RouteServiceClient,
    token_service_client::TokenServiceClient,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

/// How many JIDs are asked about at most.
const JIDS: usize = 200;

/// Whether somebody else can read the operator's key.
pub(super) fn key_file(file: &Path, report: &mut Report) {
    let Ok(metadata) = fs::metadata(file) else {
        // Whoever reads it next says what is wrong with it.
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

/// What control is, if it answers us.
pub(super) async fn status(control: &Control, report: &mut Report) -> Option<GetStatusResponse> {
    let asked = async {
        let mut admin = AdminServiceClient::new(control.connect().await?)
            .max_decoding_message_size(control::MAX_RESPONSE);
        let status = admin.get_status(GetStatusRequest {}).await;
        let status = status.map_err(|status| control.explain(status))?;
        anyhow::Ok(status.into_inner())
    };
    match asked.await {
        Ok(status) => {
            let (version, ours) = (&status.version, env!("CARGO_PKG_VERSION"));
            if version == ours {
                report.ok("control", format!("arizuko {version} answers, and takes the key"));
            } else {
                report.add(
                    Level::Warning,
                    "control",
                    format!("control is {version} and this command {ours}"),
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

/// Whether the store keeps what we promise.
pub(super) fn store(status: &GetStatusResponse, report: &mut Report) {
    if status.store_remarks.is_empty() {
        report.ok("store", &status.store);
    }
    for remark in &status.store_remarks {
        let (what, remedy) = remark.split_once(": ").unwrap_or((remark, ""));
        report.add(Level::Warning, "store", what, remedy);
    }
}

/// How many keys there are.
pub(super) async fn keys(control: &Control, report: &mut Report) -> anyhow::Result<()> {
    let mut keys = KeyServiceClient::new(control.connect().await?)
        .max_decoding_message_size(control::MAX_RESPONSE);
    let listed = keys.list_keys(ListKeysRequest::default()).await;
    let listed = listed.map_err(|status| control.explain(status))?.into_inner();
    let of = |kind: KeyKind| listed.keys.iter().filter(|key| key.kind() == kind).count();
    report.ok(
        "keys",
        format!(
            "{} of agents, {} of operators and {} of gateways, beside those of the settings",
            of(KeyKind::Agent),
            of(KeyKind::Operator),
            of(KeyKind::Gateway)
        ),
    );
    Ok(())
}

/// Whether somebody answers each link.
pub(super) async fn agents(control: &Control, report: &mut Report) -> anyhow::Result<()> {
    let channel = control.connect().await?;
    let mut tokens =
        TokenServiceClient::new(channel.clone()).max_decoding_message_size(control::MAX_RESPONSE);
    let listed = tokens.list_tokens(ListTokensRequest::default()).await;
    let listed = listed.map_err(|status| control.explain(status))?.into_inner();
    let jids: BTreeSet<String> = listed.tokens.into_iter().map(|token| token.jid).collect();
    let mut routes = RouteServiceClient::new(channel);
    let mut unattended: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for jid in jids.iter().take(JIDS) {
        let request = ExplainRouteRequest { jid: jid.clone() };
        let explained = routes.explain_route(request).await;
        let explained = explained.map_err(|status| control.explain(status))?.into_inner();
        let route = explained.route.unwrap_or_default();
        let wants_an_answer = matches!(route.mode(), RouteMode::Unspecified | RouteMode::Trigger);
        let mut present = explained.presence.iter().map(|presence| &presence.agents);
        if wants_an_answer && present.all(Vec::is_empty) {
            let folder = route.target.unwrap_or(explained.folder);
            unattended.entry(folder).or_default().push(jid.clone());
        }
    }
    if unattended.is_empty() {
        report.ok("agents", format!("somebody is attached for each of {} JIDs", jids.len()));
    }
    for (folder, jids) in unattended {
        report.add(
            Level::Warning,
            "agents",
            format!("nobody is attached to {folder}, to answer {}", jids.join(", ")),
            format!("arizuko agent exec --folder {folder} -- ./my-agent.sh, or revoke the link"),
        );
    }
    if jids.len() > JIDS {
        let left = jids.len() - JIDS;
        report.add(Level::Warning, "agents", format!("{left} more JIDs were not looked at"), "");
    }
    Ok(())
}

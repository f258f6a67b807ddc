//! Checks that links lead to the gateway, and that the clocks agree.

use super::report::{Level, Report};
use crate::http::{self, cause, is_local};
use anyhow::Context as _;
use arizuko_proto::{tls::certificate_end, v1::GetStatusResponse};
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use reqwest::{Response, Url, header, tls::TlsInfo};
use std::time::{Duration, SystemTime};

/// How long the gateway may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How many seconds clocks may differ before the times in a conversation look wrong.
const MAX_DRIFT: i64 = 30;
/// How long before its end a certificate should have been renewed.
pub(super) const RENEWED_BEFORE: Duration = Duration::from_secs(14 * 24 * 3600);

/// Checks that visitors elsewhere can use links that begin with this URL.
pub(super) fn url(url: &str, report: &mut Report) {
    let Ok(parsed) = url.parse::<Url>() else {
        // `is_reached` reports it.
        return;
    };
    if is_local(&parsed) {
        report.add(
            Level::Warning,
            "url",
            format!("links begin with {url}: they work on this machine alone"),
            "if visitors use other machines, set control's --public-url to the address that they use",
        );
    }
}

/// Checks the gateway at the public URL, and the clocks. Returns whether the gateway answers and
/// reaches control.
pub(super) async fn is_reached(
    url: &str,
    status: &GetStatusResponse,
    report: &mut Report,
) -> anyhow::Result<bool> {
    let base: Url = format!("{}/", url.trim_end_matches('/'))
        .parse()
        .with_context(|| format!("control's public URL, {url}, is malformed"))?;
    let client = http::client(&base).timeout(ANSWER_TIMEOUT).tls_info(true).build()?;
    let answered = match client.get(base.join("readyz")?).send().await {
        Ok(answered) => answered,
        Err(error) => {
            report.add(
                Level::Failure,
                "gateway",
                format!("cannot reach {url}: {}", cause(error)),
                "check its DNS, the certificate, the proxy in front, and that arizuko-gateway \
                 listens; or change control's --public-url",
            );
            return Ok(false);
        }
    };
    clock(&answered, status, report);
    proxy(&answered, report);
    certificate(&answered, report);
    let status = answered.status();
    // The gateway sends this header with every response. Few other servers send it.
    let is_ours = answered.headers().contains_key("x-robots-tag");
    if status.is_success() && is_ours {
        report.ok("gateway", format!("{url} answers, and reaches control"));
    } else if is_ours {
        report.add(
            Level::Failure,
            "gateway",
            format!("{url} answers {status}: it does not reach control"),
            "check the gateway's --control and ARIZUKO_GATEWAY_KEY, and its log",
        );
        return Ok(false);
    } else {
        report.add(
            Level::Failure,
            "gateway",
            format!("{url} answers {status}, and is not an arizuko gateway"),
            "point the proxy's host at arizuko-gateway; see deploy/",
        );
        return Ok(false);
    }
    if base.scheme() == "http" && !is_local(&base) {
        report.add(
            Level::Warning,
            "gateway",
            format!("{url} is not HTTPS: others on the network can read links and messages"),
            "give the gateway --tls-cert and --tls-key, or put a proxy in front; see \
             docs/install.md",
        );
    }
    Ok(true)
}

/// Checks for how long the certificate is valid.
fn certificate(answered: &Response, report: &mut Report) {
    let shown = answered.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
    let Some(expires) = shown.and_then(|shown| certificate_end(shown).ok()) else { return };
    let left = expires.duration_since(SystemTime::now()).unwrap_or_default();
    let days = left.as_secs() / (24 * 3600);
    if left > RENEWED_BEFORE {
        report.ok("certificate", format!("it is valid for {days} days more"));
    } else {
        report.add(
            Level::Warning,
            "certificate",
            format!("the certificate ends in {days} days"),
            "renew it; the gateway and control take the new files by themselves",
        );
    }
}

/// Checks that a proxy in front is trusted, if there is one.
fn proxy(answered: &Response, report: &mut Report) {
    if answered.headers().contains_key("arizuko-proxy") {
        report.add(
            Level::Warning,
            "proxy",
            "a proxy in front of the gateway is not trusted: all visitors share the limits of one \
             address",
            "name the proxy's address with the gateway's --trusted-proxy (ARIZUKO_TRUSTED_PROXY)",
        );
    }
}

/// Compares the clocks of this machine, of the gateway and of control's store.
fn clock(answered: &Response, status: &GetStatusResponse, report: &mut Report) {
    let ours = Timestamp::now().as_second();
    let date = answered.headers().get(header::DATE);
    let date = date.and_then(|date| date.to_str().ok());
    let gateway = date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
    let clocks = [
        ("the gateway", gateway.map(Timestamp::as_second)),
        ("control's store", status.now.map(|now| now.seconds)),
    ];
    let mut right = true;
    for (whose, theirs) in clocks {
        let drift = theirs.map_or(0, |theirs| theirs - ours);
        if drift.abs() > MAX_DRIFT {
            right = false;
            let is = if drift > 0 { "ahead of" } else { "behind" };
            report.add(
                Level::Warning,
                "clock",
                format!("{whose} is {} s {is} this machine", drift.abs()),
                "run an NTP client on both; until then the times that people read are wrong",
            );
        }
    }
    if right {
        report.ok("clock", "the machines agree on the time");
    }
}

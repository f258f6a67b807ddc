//! `arizuko ready`: asks a program on this machine whether it can serve. The health checks of
//! containers run it.

use crate::{
    connect::variable,
    console::Console,
    http::{self, cause, is_local},
};
use anyhow::{Context as _, anyhow, bail};
use reqwest::{StatusCode, Url};
use serde_json::Value;
use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// How long the program may take to answer. Control waits 2 s for its store, and a gateway 5 s for
/// its controls.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);
/// Where a gateway and `up` listen by default.
const DEFAULT_ADDRESS: &str = "http://127.0.0.1:8080";

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  arizuko ready                            # the gateway of `up`, or what the environment names
  arizuko ready http://127.0.0.1:9464      # a program with --metrics-listen 127.0.0.1:9464
")]
pub(crate) struct Args {
    /// Where the program serves /readyz: the --metrics-listen of any program, or the --listen of
    /// `up` or a gateway [default: ARIZUKO_METRICS_LISTEN, or ARIZUKO_LISTEN, or
    /// http://127.0.0.1:8080]
    url: Option<String>,
}

/// Fails with the reason if the program can't serve.
pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let url = args.url.unwrap_or_else(|| found(variable));
    let url: Url = match url.contains("://") {
        true => url.parse(),
        false => format!("http://{url}").parse(),
    }
    .with_context(|| format!("{url} is no URL: write it like {DEFAULT_ADDRESS}"))?;
    // The certificate is for the public name, and nothing secret is sent.
    let client = http::client(&url).tls_danger_accept_invalid_certs(is_local(&url));
    let client = client.timeout(ANSWER_TIMEOUT).build()?;
    let answered = client.get(url.join("/readyz")?).send().await;
    let answered = answered.map_err(|error| anyhow!("{url} does not answer: {}", cause(error)))?;
    match answered.status() {
        StatusCode::OK => console.line("ready"),
        StatusCode::SERVICE_UNAVAILABLE => {
            let why = answered.text().await.unwrap_or_default();
            bail!("not ready: {}", reason(&why))
        }
        status => bail!("{url} answers {status}: nothing there serves /readyz"),
    }
}

/// Returns the address that the environment gives to the program on this machine.
fn found(variable: impl Fn(&str) -> Option<String>) -> String {
    let scheme = if variable("ARIZUKO_TLS_CERT").is_some() { "https" } else { "http" };
    let listeners = [("ARIZUKO_METRICS_LISTEN", "http"), ("ARIZUKO_LISTEN", scheme)];
    let found = listeners.into_iter().find_map(|(name, scheme)| {
        let mut address: SocketAddr = variable(name)?.parse().ok()?;
        if address.ip().is_unspecified() {
            address.set_ip(match address.is_ipv4() {
                true => Ipv4Addr::LOCALHOST.into(),
                false => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Some(format!("{scheme}://{address}"))
    });
    found.unwrap_or_else(|| DEFAULT_ADDRESS.to_owned())
}

/// Returns the reason in an answer: a line of text, or the `detail` of a problem document.
fn reason(answer: &str) -> String {
    let problem: Option<Value> = serde_json::from_str(answer).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
    detail.unwrap_or(answer).lines().next().unwrap_or("it does not say why").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_of_the_server_says_where_to_ask() {
        let at = |set: &[(&str, &str)]| {
            let value = |name: &str| set.iter().find(|(set, _)| *set == name);
            found(|name| value(name).map(|(_, value)| (*value).to_owned()))
        };
        let listen = ("ARIZUKO_LISTEN", "0.0.0.0:443");
        let metrics = ("ARIZUKO_METRICS_LISTEN", "[::]:9464");
        let cert = ("ARIZUKO_TLS_CERT", "cert.pem");
        assert_eq!(at(&[]), "http://127.0.0.1:8080");
        assert_eq!(at(&[listen]), "http://127.0.0.1:443");
        assert_eq!(at(&[listen, cert]), "https://127.0.0.1:443");
        assert_eq!(at(&[listen, cert, metrics]), "http://[::1]:9464");
    }

    #[test]
    fn the_reason_is_one_line_of_the_answer() {
        assert_eq!(reason("the store did not answer\n"), "the store did not answer");
        assert_eq!(reason(r#"{"status": 503, "detail": "No control."}"#), "No control.");
        assert_eq!(reason(""), "it does not say why");
    }
}

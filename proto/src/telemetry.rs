//! The log, traces and metrics of our programs.
//!
//! Libraries emit spans and events, and count in metrics. A program calls [`start`] once.

pub mod metrics;
pub mod sampler;
pub mod traces;

use crate::variables;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::LevelFilter, fmt, layer::SubscriberExt as _, registry,
};

/// How long the export of the last spans may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

const HEADING: &str = "Log and traces";

/// The flags for the log and for traces.
#[derive(clap::Args, Clone, Debug)]
// clap names the group after the type, and programs flatten other types called `Options` as well.
#[group(skip)]
pub struct Options {
    /// Log this to standard error: a level such as `debug`, or a filter of the tracing crate such
    /// as `info,arizuko=debug`.
    #[arg(
        long,
        env = "RUST_LOG",
        value_name = "FILTER",
        global = true,
        help_heading = HEADING
    )]
    log: Option<String>,
    /// How to write a line of the log.
    #[arg(
        long,
        env = "ARIZUKO_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        global = true,
        help_heading = HEADING
    )]
    log_format: Format,
    /// Where to send traces by OTLP over gRPC, for example `http://127.0.0.1:4317`; without it no
    /// traces are sent. OpenTelemetry's other variables, `OTEL_…`, also apply.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        value_name = "URL",
        global = true,
        help_heading = HEADING
    )]
    otlp_endpoint: Option<String>,
}

impl Options {
    /// Reads the options from the environment, for commands without these flags.
    pub fn from_environment() -> Result<Self, clap::Error> {
        #[derive(Parser)]
        struct Alone {
            #[command(flatten)]
            options: Options,
        }
        let matches = variables::without_empty(Alone::command()).try_get_matches_from(["arizuko"]);
        Alone::from_arg_matches(&matches?).map(|alone| alone.options)
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Lines for people.
    Text,
    /// One JSON object a line, with the module and all spans.
    Json,
}

/// Exports the last spans when it is dropped. Keep it until the end of the program, and drop it
/// before the runtime.
#[must_use]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

/// Starts the log, filtered by `options` or else by `filter`, and the export of spans under the
/// name `service`. Needs a runtime. Keeps the subscriber that is installed, if there is one.
///
/// # Errors
///
/// The endpoint for traces is malformed.
pub fn start(options: &Options, service: &'static str, filter: &str) -> anyhow::Result<Telemetry> {
    let filter = EnvFilter::new(quiet(options.log.as_deref().unwrap_or(filter)));
    let lines = fmt::layer().with_writer(io::stderr).log_internal_errors(false);
    let lines = match options.log_format {
        Format::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
        Format::Text if io::stderr().is_terminal() => lines.with_target(false).boxed(),
        Format::Text => lines.with_target(false).with_ansi(false).boxed(),
    };
    // An empty variable counts as unset.
    let endpoint = options.otlp_endpoint.as_deref().filter(|url| !url.is_empty());
    let traces = endpoint.map(|url| traces::provider(url, service)).transpose()?;
    let _ = registry()
        .with(traces.as_ref().map(traces::layer))
        .with(lines.with_filter(filter))
        .try_init();
    Ok(Telemetry { traces })
}

/// Switches off log lines that only repeat what a caller or a client is told: that a certificate
/// was refused, or that a client of MCP has made a mistake.
const TOLD: &str = "rmcp=off,rustls_platform_verifier=off";

/// Applies the levels without a target to arizuko's crates only. Unless the filter names them,
/// other crates log at most warnings, since some log the content of messages.
fn quiet(filter: &str) -> String {
    let (levels, rest): (Vec<_>, Vec<_>) =
        filter.split(',').partition(|directive| directive.trim().parse::<LevelFilter>().is_ok());
    let ours = levels.iter().flat_map(|level| match level.trim().parse() {
        // An empty text parses as `error`.
        _ if level.trim().is_empty() => Vec::new(),
        Ok(LevelFilter::OFF) => vec![(*level).to_owned()],
        Ok(LevelFilter::ERROR) => vec![format!("error,{TOLD}")],
        _ => vec![format!("warn,{TOLD}"), format!("arizuko={}", level.trim())],
    });
    ours.chain(rest.into_iter().map(str::to_owned)).collect::<Vec<_>>().join(",")
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = &self.traces
            && let Err(error) = traces.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            tracing::warn!(%error, "cannot export the last spans");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_crates_log_warnings_unless_they_are_named() {
        for (filter, quiet_filter) in [
            ("info", "warn,rmcp=off,rustls_platform_verifier=off,arizuko=info"),
            ("TRACE", "warn,rmcp=off,rustls_platform_verifier=off,arizuko=TRACE"),
            ("error", "error,rmcp=off,rustls_platform_verifier=off"),
            ("off", "off"),
            ("arizuko=debug", "arizuko=debug"),
            ("debug,h2=trace", "warn,rmcp=off,rustls_platform_verifier=off,arizuko=debug,h2=trace"),
            (
                "arizuko_control=trace,info",
                "warn,rmcp=off,rustls_platform_verifier=off,arizuko=info,arizuko_control=trace",
            ),
            ("", ""),
        ] {
            assert_eq!(quiet(filter), quiet_filter);
        }
    }
}

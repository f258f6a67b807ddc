//! How a process tells of itself: log lines, traces and metrics, set up in one way for all of ours.
//!
//! Libraries make spans and events and count, whoever looks. A program starts this once.

pub mod metrics;
pub mod traces;

use clap::{Parser, ValueEnum};
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, layer::SubscriberExt as _, registry};

/// How long the last spans have to reach whoever collects them.
const FAREWELL: Duration = Duration::from_secs(3);

const HEADING: &str = "Log and traces";

/// What a program can be told about its log and its traces.
#[derive(clap::Args, Clone, Debug)]
// A program has other Options, too.
#[group(skip)]
pub struct Options {
    /// What to log to standard error: a level, or a filter as of the tracing crate, for example
    /// `info,arizuko=debug`.
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
    /// Where traces go, by OTLP over gRPC, for example `http://127.0.0.1:4317`; without it there
    /// are none. OpenTelemetry's other variables, `OTEL_…`, hold as well.
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
    /// What the environment says, for commands that have no such flags.
    pub fn from_environment() -> Result<Self, clap::Error> {
        #[derive(Parser)]
        struct Alone {
            #[command(flatten)]
            options: Options,
        }
        Alone::try_parse_from(["arizuko"]).map(|alone| alone.options)
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object a line, with the module and all spans, for programs.
    Json,
}

/// What was started. Dropping it sends the last spans, so that comes last, and before the runtime
/// ends.
#[must_use]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

/// Starts logging what `options` say or else `filter`, and sending spans as those of `service`,
/// which needs a runtime. Where whoever called us logs already, it stays at that.
pub fn start(options: &Options, service: &'static str, filter: &str) -> anyhow::Result<Telemetry> {
    let filter = EnvFilter::new(options.log.as_deref().unwrap_or(filter));
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match options.log_format {
        Format::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
        Format::Text if io::stderr().is_terminal() => lines.with_target(false).boxed(),
        Format::Text => lines.with_target(false).with_ansi(false).boxed(),
    };
    // An empty variable is as good as none.
    let endpoint = options.otlp_endpoint.as_deref().filter(|url| !url.is_empty());
    let traces = endpoint.map(|url| traces::provider(url, service)).transpose()?;
    let _ = registry()
        .with(traces.as_ref().map(traces::layer))
        .with(lines.with_filter(filter))
        .try_init();
    Ok(Telemetry { traces })
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = &self.traces
            && let Err(error) = traces.shutdown_with_timeout(FAREWELL)
        {
            tracing::warn!(%error, "the last spans did not reach their collector");
        }
    }
}

//! The state that all requests share.

use crate::{
    bodies::Bodies, config::Options, control::Control, encoding::Decoders, metrics::Metrics,
    proxies::Proxies, rates::Rates, renderer::Renderer, streams::Streams,
};
use anyhow::Context as _;
use arizuko_proto::{private, telemetry::sampler::Sampler};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The state that all requests share. Nothing in it outlives a restart.
pub(crate) struct Gateway {
    pub(crate) options: Options,
    pub(crate) control: Control,
    pub(crate) streams: Arc<Streams>,
    pub(crate) bodies: Arc<Bodies>,
    pub(crate) decoders: Decoders,
    pub(crate) rates: Rates,
    pub(crate) renderer: Renderer,
    pub(crate) metrics: Metrics,
    pub(crate) proxies: Proxies,
    /// Chooses which requests with a wrong token are logged.
    pub(crate) wrong_tokens: Sampler,
    /// Cancelled at shutdown, so that streams and waits end.
    pub(crate) stopping: CancellationToken,
}

impl Gateway {
    pub(crate) fn new(options: Options) -> anyhow::Result<Self> {
        let metrics = Metrics::new();
        let file = options.gateway_key_file.as_deref();
        let key = private::given("--gateway-key", options.gateway_key.clone(), file)?;
        let key =
            key.context("the gateway's key is missing: name its file with --gateway-key-file")?;
        let limits = &options.limits;
        limits.check()?;
        Ok(Self {
            control: Control::new(
                &options.control,
                &key,
                &options.control_tls,
                limits.control_calls,
            )?,
            streams: Streams::new(limits.streams_per_address, metrics.streams.clone()),
            bodies: Bodies::new(limits.body_bytes, limits.address_body_bytes, limits.body_timeout),
            decoders: Decoders::default(),
            rates: Rates::new(limits.address_requests),
            renderer: Renderer::new(limits.render_bytes, limits.render_cache_bytes),
            metrics,
            proxies: Proxies::default(),
            wrong_tokens: Sampler::default(),
            stopping: CancellationToken::new(),
            options,
        })
    }
}

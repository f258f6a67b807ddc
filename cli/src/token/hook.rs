//! The flags of `arizuko token issue … hook`, and `arizuko token secrets`.

use super::options::Given;
use crate::time;
use anyhow::ensure;
use arizuko_proto::{
    private,
    v1::{
        HmacAlgorithm, HmacEncoding, HmacScheme, HookFilter, Signature, SignatureSender,
        hook_filter::Field, hook_options::Dedupe, signature::Scheme,
    },
};
use clap::ValueEnum;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct HookArgs {
    #[command(flatten)]
    delivery: DeliveryArgs,
    /// Refuse requests without a valid signature in this sender's scheme. Control needs
    /// --seal-key-file
    #[arg(long, value_name = "SENDER", requires = "secret_file")]
    verify: Option<Verify>,
    /// File with a secret that the sender signs with; name two files during a change
    #[arg(long, value_name = "FILE", requires = "verify")]
    secret_file: Vec<PathBuf>,
    #[command(flatten)]
    hmac: HmacArgs,
}

/// The flags of `issue` and `edit` for what becomes of a delivery.
#[derive(clap::Args)]
pub(super) struct DeliveryArgs {
    #[command(flatten)]
    dedupe: DedupeArgs,
    /// Answer a delivery to a webhook with the agent's response, if that comes within this time (1s
    /// to 50s); `?wait=` in the URL does the same
    #[arg(long, value_name = "DURATION", value_parser = time::parse)]
    wait: Option<prost_types::Duration>,
    /// Take only deliveries to a webhook whose header has one of these values, for example
    /// x-github-event=push,pull_request; repeatable, and all are needed
    #[arg(long, value_name = "HEADER=VALUES", value_parser = by_header)]
    only: Vec<HookFilter>,
    /// Take only deliveries to a webhook whose JSON has one of these values at a JSON pointer, for
    /// example /action=opened; repeatable, and all are needed
    #[arg(long, value_name = "POINTER=VALUES", value_parser = by_json)]
    only_json: Vec<HookFilter>,
}

impl DeliveryArgs {
    pub(super) fn give(self, given: &mut Given) {
        given.set("hook.dedupe", self.dedupe.chosen(), |options, dedupe| {
            options.hook.get_or_insert_default().dedupe = Some(dedupe);
        });
        given.set("hook.wait", self.wait, |options, wait| {
            options.hook.get_or_insert_default().wait = Some(wait);
        });
        let only = [self.only, self.only_json].concat();
        given.set("hook.only", (!only.is_empty()).then_some(only), |options, only| {
            options.hook.get_or_insert_default().only = only;
        });
    }
}

fn by_header(text: &str) -> Result<HookFilter, String> {
    let (name, values) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("a filter looks like x-github-event=push,pull_request")?;
    Ok(filter(Field::Header(name.to_owned()), values))
}

fn by_json(text: &str) -> Result<HookFilter, String> {
    let (pointer, values) = text
        .split_once('=')
        .filter(|(pointer, _)| pointer.starts_with('/'))
        .ok_or("a filter looks like /action=opened, with a JSON pointer")?;
    Ok(filter(Field::JsonPointer(pointer.to_owned()), values))
}

fn filter(field: Field, values: &str) -> HookFilter {
    HookFilter { field: Some(field), values: values.split(',').map(str::to_owned).collect() }
}

/// How repeats of a delivery are recognised.
#[derive(clap::Args)]
struct DedupeArgs {
    /// How repeats of a delivery to a webhook are recognised, for 72 hours [default: by the headers
    /// in which known senders name their deliveries]
    #[arg(long, value_name = "HOW", conflicts_with = "dedupe_header")]
    dedupe: Option<DedupeBy>,
    /// Header that names each delivery to a webhook, for example X-Event-Id
    #[arg(long, value_name = "NAME")]
    dedupe_header: Option<String>,
}

impl DedupeArgs {
    fn chosen(self) -> Option<Dedupe> {
        let by_header = self.dedupe_header.map(Dedupe::DedupeHeader);
        by_header.or(self.dedupe.map(|DedupeBy::Body| Dedupe::DedupeBody(true)))
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum DedupeBy {
    /// A request with the same method, path, query and body is a repeat
    Body,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Verify {
    Github,
    Gitlab,
    Stripe,
    Slack,
    Linear,
    Shopify,
    Twilio,
    /// Standard Webhooks, and Svix
    Standard,
    /// Discord's interactions; the secret file has the application's public key
    Discord,
    Zoom,
    /// Any sender with an HMAC in a header: see --hmac-header
    Hmac,
}

/// The flags that describe the signatures of `--verify hmac`.
#[derive(clap::Args)]
struct HmacArgs {
    /// With --verify hmac: the header with the signature
    #[arg(long, value_name = "NAME", required_if_eq("verify", "hmac"))]
    hmac_header: Option<String>,
    /// With --verify hmac: the hash [default: sha256]
    #[arg(long, value_name = "HASH", requires = "hmac_header")]
    hmac_algorithm: Option<Algorithm>,
    /// With --verify hmac: how the signature is written [default: hex]
    #[arg(long, value_name = "HOW", requires = "hmac_header")]
    hmac_encoding: Option<Encoding>,
    /// With --verify hmac: what comes before the signature, for example sha256=
    #[arg(long, value_name = "TEXT", requires = "hmac_header")]
    hmac_prefix: Option<String>,
    /// With --verify hmac: template of the signed text, with {body}, {timestamp}, {method} and
    /// {url}, for example '{timestamp}.{body}' [default: {body}]
    #[arg(long, value_name = "TEXT", requires = "hmac_header")]
    hmac_signed: Option<String>,
    /// With --verify hmac: the header with the {timestamp}
    #[arg(long, value_name = "NAME", requires = "hmac_signed")]
    hmac_timestamp_header: Option<String>,
    /// With --verify hmac: how far the {timestamp} may be from now [default: 5m]
    #[arg(long, value_name = "DURATION", requires = "hmac_timestamp_header", value_parser = time::parse)]
    hmac_window: Option<prost_types::Duration>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

#[derive(Clone, Copy, ValueEnum)]
enum Encoding {
    Hex,
    Base64,
}

impl HookArgs {
    pub(super) fn give(self, given: &mut Given) -> anyhow::Result<()> {
        ensure!(
            self.hmac.hmac_header.is_none() || self.verify == Some(Verify::Hmac),
            "the --hmac flags go with --verify hmac"
        );
        let secrets = read(&self.secret_file)?;
        let signature = self
            .verify
            .map(|verify| Signature { secrets, scheme: Some(verify.into_scheme(self.hmac)) });
        self.delivery.give(given);
        given.set("hook.signature", signature, |options, signature| {
            options.hook.get_or_insert_default().signature = Some(signature);
        });
        Ok(())
    }
}

/// Reads a secret from each file. Refuses a file that others can read or write.
pub(super) fn read(files: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    files.iter().map(|file| private::read(file)).collect()
}

impl Verify {
    fn into_scheme(self, hmac: HmacArgs) -> Scheme {
        let sender = match self {
            Self::Github => SignatureSender::Github,
            Self::Gitlab => SignatureSender::Gitlab,
            Self::Stripe => SignatureSender::Stripe,
            Self::Slack => SignatureSender::Slack,
            Self::Linear => SignatureSender::Linear,
            Self::Shopify => SignatureSender::Shopify,
            Self::Twilio => SignatureSender::Twilio,
            Self::Standard => SignatureSender::Standard,
            Self::Discord => SignatureSender::Discord,
            Self::Zoom => return Scheme::Hmac(zoom()),
            Self::Hmac => return Scheme::Hmac(hmac.into_scheme()),
        };
        Scheme::Sender(sender.into())
    }
}

/// Returns how Zoom signs. Control knows Zoom's handshake by itself.
fn zoom() -> HmacScheme {
    HmacScheme {
        header: "x-zm-signature".to_owned(),
        prefix: "v0=".to_owned(),
        signed: "v0:{timestamp}:{body}".to_owned(),
        timestamp_header: "x-zm-request-timestamp".to_owned(),
        ..HmacScheme::default()
    }
}

impl HmacArgs {
    fn into_scheme(self) -> HmacScheme {
        let algorithm = match self.hmac_algorithm {
            None | Some(Algorithm::Sha256) => HmacAlgorithm::Sha256,
            Some(Algorithm::Sha1) => HmacAlgorithm::Sha1,
            Some(Algorithm::Sha512) => HmacAlgorithm::Sha512,
        };
        let encoding = match self.hmac_encoding {
            None | Some(Encoding::Hex) => HmacEncoding::Hex,
            Some(Encoding::Base64) => HmacEncoding::Base64,
        };
        HmacScheme {
            header: self.hmac_header.unwrap_or_default(),
            algorithm: algorithm.into(),
            encoding: encoding.into(),
            prefix: self.hmac_prefix.unwrap_or_default(),
            signed: self.hmac_signed.unwrap_or_default(),
            timestamp_header: self.hmac_timestamp_header.unwrap_or_default(),
            window: self.hmac_window,
        }
    }
}

//! Converts the options, requests and responses of webhooks.

use super::{duration, known, parse_duration};
use crate::{
    hook_filter::{Field, Filter},
    hook_options::{Dedupe, HookOptions},
    hook_request::{Blob, HookRequest},
    refusal::Refusal,
    signature::{Algorithm, Encoding, HmacScheme, Scheme, Signature, WINDOW},
    turn::response::HttpResponse,
};
use arizuko_proto::v1::{
    self, HmacAlgorithm, HmacEncoding, SignatureSender, hook_filter::Field as WireField,
    hook_options::Dedupe as WireDedupe, signature::Scheme as WireScheme,
};

/// Returns the options without the secrets.
pub(super) fn options(options: HookOptions) -> v1::HookOptions {
    let dedupe = match options.dedupe {
        Dedupe::KnownHeaders => None,
        Dedupe::Header(name) => Some(WireDedupe::DedupeHeader(name)),
        Dedupe::Body => Some(WireDedupe::DedupeBody(true)),
    };
    let signature = options.signature.map(|signature| v1::Signature {
        secrets: Vec::new(),
        scheme: Some(scheme(signature.scheme)),
    });
    let only = options.only.into_iter().map(filter).collect();
    v1::HookOptions { dedupe, signature, wait: options.wait.and_then(duration), only }
}

fn filter(filter: Filter) -> v1::HookFilter {
    let field = match filter.field {
        Field::Header(name) => WireField::Header(name),
        Field::Json(pointer) => WireField::JsonPointer(pointer),
    };
    v1::HookFilter { field: Some(field), values: filter.values }
}

fn parse_filter(filter: v1::HookFilter) -> Result<Filter, Refusal> {
    let field = match filter.field {
        Some(WireField::Header(name)) => Field::Header(name.to_ascii_lowercase()),
        Some(WireField::JsonPointer(pointer)) => Field::Json(pointer),
        None => return Err(Refusal::invalid("a filter must name a header or a JSON pointer")),
    };
    Ok(Filter { field, values: filter.values })
}

fn scheme(scheme: Scheme) -> WireScheme {
    let sender = match scheme {
        Scheme::Github => SignatureSender::Github,
        Scheme::Gitlab => SignatureSender::Gitlab,
        Scheme::Stripe => SignatureSender::Stripe,
        Scheme::Slack => SignatureSender::Slack,
        Scheme::Linear => SignatureSender::Linear,
        Scheme::Shopify => SignatureSender::Shopify,
        Scheme::Twilio => SignatureSender::Twilio,
        Scheme::Standard => SignatureSender::Standard,
        Scheme::Discord => SignatureSender::Discord,
        Scheme::Hmac(scheme) => return WireScheme::Hmac(hmac(scheme)),
    };
    WireScheme::Sender(sender.into())
}

fn hmac(scheme: HmacScheme) -> v1::HmacScheme {
    let algorithm = match scheme.algorithm {
        Algorithm::Sha1 => HmacAlgorithm::Sha1,
        Algorithm::Sha256 => HmacAlgorithm::Sha256,
        Algorithm::Sha512 => HmacAlgorithm::Sha512,
    };
    let encoding = match scheme.encoding {
        Encoding::Hex => HmacEncoding::Hex,
        Encoding::Base64 => HmacEncoding::Base64,
    };
    v1::HmacScheme {
        header: scheme.header,
        algorithm: algorithm.into(),
        encoding: encoding.into(),
        prefix: scheme.prefix,
        signed: scheme.signed,
        timestamp_header: scheme.timestamp_header.unwrap_or_default(),
        window: duration(scheme.window),
    }
}

/// Parses a webhook's options. Returns its sender's secrets beside them, not yet sealed.
///
/// # Errors
/// [`Refusal::Invalid`] if a scheme is missing or unknown, if a filter has no field, if a duration
/// is negative, if `dedupe_body` is false, or if the sender can't have such secrets.
pub(in crate::grpc) fn parse_options(
    options: v1::HookOptions,
) -> Result<(HookOptions, Vec<String>), Refusal> {
    let dedupe = match options.dedupe {
        None => Dedupe::KnownHeaders,
        Some(WireDedupe::DedupeHeader(name)) => Dedupe::Header(name.to_ascii_lowercase()),
        Some(WireDedupe::DedupeBody(true)) => Dedupe::Body,
        Some(WireDedupe::DedupeBody(false)) => {
            return Err(Refusal::invalid("dedupe_body can't be false: leave it out"));
        }
    };
    let wait = parse_duration(options.wait)?;
    let only = options.only.into_iter().map(parse_filter).collect::<Result<_, _>>()?;
    let parsed = HookOptions { dedupe, wait, only, ..HookOptions::default() };
    let Some(v1::Signature { secrets, scheme }) = options.signature else {
        return Ok((parsed, Vec::new()));
    };
    let scheme = parse_scheme(scheme)?;
    scheme.check_secrets(&secrets)?;
    let signature = Some(Signature { scheme, sealed_secrets: Vec::new() });
    Ok((HookOptions { signature, ..parsed }, secrets))
}

fn parse_scheme(scheme: Option<WireScheme>) -> Result<Scheme, Refusal> {
    let sender = match scheme {
        Some(WireScheme::Hmac(scheme)) => return parse_hmac(scheme).map(Scheme::Hmac),
        Some(WireScheme::Sender(sender)) => known(sender, "sender of signatures")?,
        None => SignatureSender::Unspecified,
    };
    Ok(match sender {
        SignatureSender::Github => Scheme::Github,
        SignatureSender::Gitlab => Scheme::Gitlab,
        SignatureSender::Stripe => Scheme::Stripe,
        SignatureSender::Slack => Scheme::Slack,
        SignatureSender::Linear => Scheme::Linear,
        SignatureSender::Shopify => Scheme::Shopify,
        SignatureSender::Twilio => Scheme::Twilio,
        SignatureSender::Standard => Scheme::Standard,
        SignatureSender::Discord => Scheme::Discord,
        SignatureSender::Unspecified => {
            return Err(Refusal::invalid("a signature must name its sender or describe an HMAC"));
        }
    })
}

fn parse_hmac(scheme: v1::HmacScheme) -> Result<HmacScheme, Refusal> {
    let algorithm = match known(scheme.algorithm, "algorithm of an HMAC")? {
        HmacAlgorithm::Sha1 => Algorithm::Sha1,
        HmacAlgorithm::Sha512 => Algorithm::Sha512,
        HmacAlgorithm::Sha256 | HmacAlgorithm::Unspecified => Algorithm::Sha256,
    };
    let encoding = match known(scheme.encoding, "encoding of an HMAC")? {
        HmacEncoding::Base64 => Encoding::Base64,
        HmacEncoding::Hex | HmacEncoding::Unspecified => Encoding::Hex,
    };
    let timestamp_header = scheme.timestamp_header.to_ascii_lowercase();
    let signed = if scheme.signed.is_empty() { "{body}".to_owned() } else { scheme.signed };
    Ok(HmacScheme {
        header: scheme.header.to_ascii_lowercase(),
        algorithm,
        encoding,
        prefix: scheme.prefix,
        signed,
        timestamp_header: (!timestamp_header.is_empty()).then_some(timestamp_header),
        window: parse_duration(scheme.window)?.unwrap_or(WINDOW),
    })
}

/// Returns a webhook's request without its headers and decoded body. `url` is the URL of the
/// webhook, with the token's id in place of the secret.
pub(in crate::grpc) fn request(request: HookRequest, url: &str) -> v1::HookRequest {
    let HookRequest { method, path, query, encoded_content } = request;
    let mark = if query.is_empty() { "" } else { "?" };
    v1::HookRequest {
        url: format!("{url}{path}{mark}{query}"),
        encoded_content: encoded_content.into_bytes().into(),
        method,
        path,
        query,
    }
}

/// Reads an agent's response to a webhook's sender.
pub(in crate::grpc) fn parse_response(response: v1::HttpResponse) -> HttpResponse {
    let v1::HttpResponse { status, content_type, headers, body } = response;
    let is_typed = !content_type.is_empty();
    HttpResponse {
        status: if status == 0 { 200 } else { status },
        content_type: if is_typed { content_type } else { "text/plain; charset=utf-8".to_owned() },
        headers: super::parse_headers(headers),
        body: Blob::new(&body),
    }
}

/// Returns an agent's response to a webhook's sender.
pub(in crate::grpc) fn response(response: HttpResponse) -> v1::HttpResponse {
    let HttpResponse { status, content_type, headers, body } = response;
    let (headers, body) = (super::headers(headers), body.into_bytes().into());
    v1::HttpResponse { status, content_type, headers, body }
}

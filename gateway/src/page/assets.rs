//! The page's style and script, in the binary. Their names contain a hash of their content, so that
//! browsers may cache them for ever.

use crate::{
    compression::{self, takes_gzip},
    problem::Problem,
    well_known,
};
use axum::{
    extract::OriginalUri,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest as _, Sha256};
use std::{fmt::Write as _, sync::LazyLock};

pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("css", "text/css; charset=utf-8", include_str!("../../web/page.css"))
});
/// The icon as part of the page, which costs no request.
pub(super) static ICON: LazyLock<String> =
    LazyLock::new(|| well_known::icon_url(well_known::ICON_COLOUR));
/// One file, so that its parts always have the same version and cost one request.
pub(super) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let script = concat!(
        include_str!("../../web/page/words.js"),
        include_str!("../../web/page/request.js"),
        include_str!("../../web/page/reply.js"),
        include_str!("../../web/page/turn.js"),
        include_str!("../../web/page/stream.js"),
        include_str!("../../web/page/proof.js"),
        include_str!("../../web/page/outbox.js"),
        include_str!("../../web/page/thread.js"),
        include_str!("../../web/page/conversations.js"),
        include_str!("../../web/page/view.js"),
    );
    Asset::new("js", "text/javascript; charset=utf-8", script)
});

/// The page's worker, which browsers load only when a link asks for a proof of work.
pub(super) static SOLVER: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("js", "text/javascript; charset=utf-8", include_str!("../../web/solver.js"))
});

/// A file of the page.
pub(super) struct Asset {
    pub(super) path: String,
    media_type: &'static str,
    content: &'static str,
    gzip: Bytes,
}

impl Asset {
    fn new(extension: &str, media_type: &'static str, content: &'static str) -> Self {
        let mut hash = String::new();
        for byte in &Sha256::digest(content)[..8] {
            let _ = write!(hash, "{byte:02x}");
        }
        let path = format!("/assets/page.{hash}.{extension}");
        Self { path, media_type, content, gzip: compression::file(content.as_bytes()).into() }
    }
}

/// GET `/assets/{name}`
pub(crate) async fn asset(
    OriginalUri(uri): OriginalUri,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let mut assets = [&*STYLE, &*SCRIPT, &*SOLVER].into_iter();
    let asset = assets.find(|asset| asset.path == uri.path()).ok_or_else(Problem::nothing_here)?;
    let headers = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::VARY, "accept-encoding"),
    ];
    if takes_gzip(&request) {
        let encoding = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        return Ok((headers, encoding, asset.gzip.clone()).into_response());
    }
    Ok((headers, asset.content).into_response())
}

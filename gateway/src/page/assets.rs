//! The page's style and script, and the scripts for other sites, in the binary. The page's own
//! files have a hash of their content in their names, so that browsers may cache them for ever.

use crate::{
    compression::{self, HasPart, Part, takes_gzip},
    language::{LANGUAGES, Language},
    problem::Problem,
    well_known,
};
use axum::{
    extract::OriginalUri,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};
use std::{fmt::Write as _, sync::LazyLock};

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("css", "text/css; charset=utf-8", slim(include_str!("../../web/page.css")))
});
/// The element that loads the style from its file, which browsers keep for other pages.
pub(super) static LINKED_STYLE: LazyLock<String> =
    LazyLock::new(|| format!(r#"<link rel="stylesheet" href="{}">"#, STYLE.path));
/// The style as a part of the page, so that the page is painted before anything else arrives.
pub(super) static INLINE_STYLE: LazyLock<Inline> = LazyLock::new(|| {
    let style = &STYLE.content;
    Inline {
        element: format!("<style>{}</style>", String::from_utf8_lossy(style)),
        policy: policy_source(style),
        part: Part::new(style),
    }
});
/// The icon as part of the page, which costs no request.
pub(super) static ICON: LazyLock<String> =
    LazyLock::new(|| well_known::icon_url(well_known::ICON_COLOUR));
/// The page's script in each language, with the language's words. Each is one file, so that its
/// parts always have the same version and cost one request.
static SCRIPTS: LazyLock<Vec<(&str, Asset)>> = LazyLock::new(|| {
    let script = slim(concat!(
        include_str!("../../web/sdk/link.js"),
        include_str!("../../web/sdk/proof.js"),
        include_str!("../../web/page/words.js"),
        include_str!("../../web/page/colours.js"),
        include_str!("../../web/page/reply.js"),
        include_str!("../../web/page/thumbs.js"),
        include_str!("../../web/page/turn.js"),
        include_str!("../../web/page/stream.js"),
        include_str!("../../web/page/outbox.js"),
        include_str!("../../web/page/editing.js"),
        include_str!("../../web/page/thread.js"),
        include_str!("../../web/page/conversations.js"),
        include_str!("../../web/page/bell.js"),
        include_str!("../../web/page/embedding.js"),
        include_str!("../../web/page/view.js"),
    ));
    let in_language = |language: &Language| {
        let words = format!("const words = {};\n{script}", language.script());
        (language.tag, Asset::new("js", JAVASCRIPT, words))
    };
    LANGUAGES.iter().map(in_language).collect()
});

/// One module: the files of the SDK without their imports of each other.
static SDK: LazyLock<Asset> = LazyLock::new(|| {
    let files = concat!(
        include_str!("../../web/sdk/link.js"),
        include_str!("../../web/sdk/proof.js"),
        include_str!("../../web/sdk/sdk.js"),
    );
    let lines = files.split_inclusive('\n').filter(|line| !line.starts_with("import "));
    Asset::new("js", JAVASCRIPT, lines.collect::<String>())
});
static SDK_TYPES: LazyLock<Asset> = LazyLock::new(|| {
    let types = include_str!("../../web/sdk/sdk.d.ts");
    Asset::new("d.ts", "application/typescript; charset=utf-8", types)
});

static EMBED: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("js", JAVASCRIPT, include_str!("../../web/embed.js")));

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Drops the indentation, and the lines that are only a comment: a third of what a browser would
/// load. A string that goes on in the next line would lose its spaces.
fn slim(source: &str) -> String {
    let mut is_comment = false;
    let mut kept = String::with_capacity(source.len());
    for line in source.lines().map(str::trim).filter(|line| !line.is_empty()) {
        is_comment |= line.starts_with("/*");
        if !is_comment && !line.starts_with("//") {
            kept.push_str(line);
            kept.push('\n');
        }
        is_comment &= !line.ends_with("*/");
    }
    kept
}

/// A style as an element of a page.
pub(super) struct Inline {
    pub(super) element: String,
    /// The source expression that allows it in a content security policy.
    pub(super) policy: String,
    part: Part,
}

impl Inline {
    /// Returns the place of the style in a page. The style must be the page's first style element.
    pub(super) fn place(&'static self, html: &str) -> Option<HasPart> {
        let tag = "<style>";
        Some(HasPart(html.find(tag)? + tag.len(), &self.part))
    }
}

/// Returns the source expression that allows a style element with this text in a content security
/// policy.
pub(super) fn policy_source(style: &[u8]) -> String {
    format!("'sha256-{}'", BASE64.encode(Sha256::digest(style)))
}

/// A file in the binary.
pub(super) struct Asset {
    pub(super) path: String,
    /// A hash of the content.
    tag: String,
    media_type: &'static str,
    content: Bytes,
    gzip: Bytes,
}

impl Asset {
    fn new(extension: &str, media_type: &'static str, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        let mut tag = String::new();
        for byte in &Sha256::digest(&content)[..8] {
            let _ = write!(tag, "{byte:02x}");
        }
        let path = format!("/assets/page.{tag}.{extension}");
        let gzip = compression::file(&content).into();
        Self { path, tag, media_type, content, gzip }
    }

    /// Answers with the file, compressed if the request takes that.
    fn response(&self, request: &HeaderMap) -> Response {
        let kind = [(header::CONTENT_TYPE, self.media_type)];
        if takes_gzip(request) {
            let encoding = [(header::CONTENT_ENCODING, "gzip"), (header::VARY, "accept-encoding")];
            return (kind, encoding, self.gzip.clone()).into_response();
        }
        // `compress` adds `Vary` where an answer is long enough to be compressed.
        (kind, self.content.clone()).into_response()
    }
}

/// Returns the path of the page's script in a language.
pub(super) fn script(language: &Language) -> &'static str {
    let mut scripts = SCRIPTS.iter();
    scripts.find(|(tag, _)| *tag == language.tag).map_or("", |(_, script)| &script.path)
}

/// GET `/assets/{name}`
pub(crate) async fn asset(
    OriginalUri(uri): OriginalUri,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let mut assets = SCRIPTS.iter().map(|(_, script)| script).chain([&*STYLE]);
    let asset = assets.find(|asset| asset.path == uri.path()).ok_or_else(Problem::nothing_here)?;
    let caching = [(header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((caching, asset.response(&request)).into_response())
}

/// GET `/embed.js`, `/sdk.js` and `/sdk.d.ts`: files for any site, under names that never change.
/// A browser asks for a newer version after a few minutes.
pub(crate) async fn for_sites(OriginalUri(uri): OriginalUri, request: HeaderMap) -> Response {
    let asset = match uri.path() {
        "/embed.js" => &*EMBED,
        "/sdk.d.ts" => &*SDK_TYPES,
        _ => &*SDK,
    };
    // A weak tag, which the compressed file shares.
    let tag = format!("W/\"{}\"", asset.tag);
    let known = request.get(header::IF_NONE_MATCH);
    let response = match known.and_then(|tags| tags.to_str().ok()) {
        Some(tags) if tags.split(',').any(|known| known.trim() == tag) => {
            StatusCode::NOT_MODIFIED.into_response()
        }
        _ => asset.response(&request),
    };
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    let mut response = (headers, [(header::ETAG, tag)], response).into_response();
    if uri.path() == "/sdk.js" {
        // For Deno.
        let types = HeaderValue::from_static("/sdk.d.ts");
        response.headers_mut().insert("x-typescript-types", types);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_comments_and_indentation_are_dropped() {
        let source = "// one\n/** two */\n/*\n  three\n*/\na = 1; // four\n\n  b = `// ${a}`;\n";
        assert_eq!(slim(source), "a = 1; // four\nb = `// ${a}`;\n");
        let script = std::str::from_utf8(&SCRIPTS[0].1.content).unwrap();
        for line in script.lines() {
            assert_eq!(
                line.matches('`').count() % 2,
                0,
                "a string goes on in the next line: {line}"
            );
        }
    }
}

//! Fuzz targets: what visitors and the callers of webhooks send, and the Markdown of agents, who
//! may repeat what visitors wrote. See `control/src/fuzz.rs`.

use crate::{
    accept::Accept,
    address::Visitor,
    encoding::Encoding,
    last_event_id,
    listener::Peer,
    markdown::{self, Patch, Streaming},
    message::NewMessage,
};
use bolero::check;
use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The longest message that the targets render as Markdown, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// How much CPU time one rendering or decoding may take: ten times what the rendering of the
/// slowest known message takes in an optimised program.
const BUDGET: Duration = Duration::from_secs(2);

fn headers(name: HeaderName, value: &[u8]) -> Option<HeaderMap> {
    Some(HeaderMap::from_iter([(name, HeaderValue::from_bytes(value).ok()?)]))
}

#[test]
fn accept() {
    check!().for_each(|input: &[u8]| {
        if let Some(headers) = headers(ACCEPT, input) {
            let form = Accept::of(&headers);
            let names =
                |word: &[u8]| input.to_ascii_lowercase().windows(word.len()).any(|w| w == word);
            assert!(form != Accept::Html || names(b"text/html"));
            assert!(form != Accept::EventStream || names(b"text/event-stream"));
        }
    });
}

#[test]
fn forwarded_for() {
    let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network"));
    let seen = |peer: &str, headers: &HeaderMap| {
        let mut extensions = Extensions::new();
        extensions.insert(Peer(format!("{peer}:1").parse().expect("an address")));
        Visitor::of(headers, &extensions, &trusted).0
    };
    check!().for_each(|input: &[u8]| {
        if let Some(forged) = headers(HeaderName::from_static("x-forwarded-for"), input) {
            let stranger = seen("9.9.9.9", &forged);
            assert_eq!(stranger, seen("9.9.9.9", &HeaderMap::new()), "only a proxy is believed");
            // Whatever a client puts before the proxy's hop changes nothing.
            let passed_on = [input, b", 9.9.9.9"].concat();
            let name = HeaderName::from_static("x-forwarded-for");
            let passed_on = headers(name, &passed_on).expect("it was a header");
            assert_eq!(seen("10.0.0.1", &passed_on), stranger);
        }
    });
}

#[test]
fn messages() {
    let kinds = ["application/json", "application/x-www-form-urlencoded", "text/plain"];
    check!().for_each(|input: &[u8]| {
        for kind in kinds {
            let headers = headers(CONTENT_TYPE, kind.as_bytes()).expect("it is a header");
            if let Ok(message) = NewMessage::parse(&headers, input) {
                // No escape is shorter than its character, but a byte that is not UTF-8 becomes a
                // character of 3 bytes.
                assert!(message.content.len() <= 3 * input.len(), "{kind}");
            }
        }
    });
}

#[test]
fn encoded_bodies() {
    const MOST: usize = 64 << 10;
    let encodings = [Encoding::Gzip, Encoding::Deflate, Encoding::Brotli, Encoding::Zstd];
    check!().for_each(|input: &[u8]| {
        for encoding in encodings {
            let encoded = Bytes::copy_from_slice(input);
            let decoded = within_budget(|| encoding.decode(encoded, MOST));
            assert!(decoded.is_err() || decoded.is_ok_and(|decoded| decoded.len() <= MOST + 1));
        }
    });
}

#[test]
fn cursors() {
    check!().for_each(|input: &[u8]| {
        let Ok(text) = str::from_utf8(input) else {
            return;
        };
        let cursor = last_event_id::parse(text);
        let printed = last_event_id::print(Some(cursor));
        assert!(printed == text || cursor.seq == u64::MAX, "{text:?} is no cursor");
        assert_eq!(last_event_id::parse(&printed), cursor);
    });
}

#[test]
fn markdown() {
    check!().for_each(|input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        let blocks = within_budget(|| markdown::render(&text, MAX_BYTES));
        blocks.iter().for_each(|html| assert_harmless(html));
    });
}

#[test]
fn streamed_markdown() {
    check!().for_each(|input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        let (mut streaming, mut shown) = (Streaming::new(String::new()), Vec::new());
        let mut rest = &*text;
        while !rest.is_empty() {
            let cut = rest.ceil_char_boundary(rest.len().div_ceil(8));
            streaming.push(&rest[..cut]);
            rest = &rest[cut..];
            if let Some(patch) = within_budget(|| streaming.render(MAX_BYTES)) {
                shown = patched(&shown, patch);
            }
        }
        let whole = markdown::render(&text, MAX_BYTES);
        shown = patched(&shown, streaming.finish(&whole));
        assert_eq!(shown, whole, "the reader has the whole message");
    });
}

fn within_budget<T>(work: impl FnOnce() -> T) -> T {
    let spent = || {
        let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock");
        Duration::from(time)
    };
    let begun = spent();
    let done = work();
    let took = spent() - begun;
    assert!(took < BUDGET, "it took {took:?}");
    done
}

/// Applies a patch as the page does.
fn patched(shown: &[String], patch: Patch) -> Vec<String> {
    let Patch { block, keep, tail, html } = patch;
    let old: Vec<u16> =
        shown.get(block).map(|old| old.encode_utf16().collect()).unwrap_or_default();
    let mut blocks = shown[..block].to_vec();
    for (index, part) in html.iter().enumerate() {
        blocks.push(match index {
            0 => {
                let part: Vec<u16> = part.encode_utf16().collect();
                let whole = [&old[..keep], &part, &old[old.len() - tail..]].concat();
                String::from_utf16(&whole).expect("no character is cut")
            }
            _ => part.clone(),
        });
    }
    blocks
}

/// Checks that the HTML has only elements that fetch and run nothing, and only harmless links.
fn assert_harmless(html: &str) {
    const ELEMENTS: [&str; 25] = [
        "a",
        "blockquote",
        "br",
        "code",
        "del",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "li",
        "ol",
        "p",
        "pre",
        "strong",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
        "tr",
        "ul",
    ];
    for tag in html.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        assert!(ELEMENTS.contains(&name), "<{tag}>");
        let link = tag.split_once("href=\"").map(|(_, link)| link);
        let schemes = ["http:", "https:", "mailto:", "tel:"];
        let is_known = |link: &str| {
            let link = link.to_ascii_lowercase();
            schemes.iter().any(|scheme| link.starts_with(scheme))
        };
        assert!(link.is_none_or(is_known), "<{tag}>");
    }
}

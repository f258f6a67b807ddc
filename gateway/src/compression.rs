//! Compresses answers with gzip for clients that take it. Streams are compressed piece by piece, as
//! they are written.
//!
//! An open stream holds no compressor. Each piece is deflated on its own, by a compressor that all
//! streams of a thread share, with the stream's last bytes as its dictionary. The pieces follow one
//! another as the blocks of one gzip file.
//!
//! If somebody chooses a part of an answer's text again and again and sees the compressed lengths,
//! they can find out the rest of the text (BREACH). So no compressed answer has both the link's
//! secret and a message in it (see [`Uncompressed`]). No other site can make a browser ask for an
//! answer again, since every request needs the secret. The text that others can get into a reply
//! comes once, at the agent's pace.

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    middleware::Next,
    response::Response,
};
use bytes::{Buf as _, Bytes};
use flate2::{Compress, CompressError, Compression, Crc, FlushCompress};
use http::{HeaderMap, HeaderValue, header};
use hyper::body::Frame;
use std::{
    cell::RefCell,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// How many bytes an answer must have to be compressed. A smaller one fits into the packet that
/// carries its head.
const SMALL_BYTES: u64 = 1024;
/// How many bytes are compressed at a time, at most: less than a millisecond's work.
const PIECE_BYTES: usize = 32 * 1024;
/// How many of a stream's last bytes its next piece may refer to. Events are much alike: with this
/// many bytes they shrink to a sixth of their size; with sixteen times as many, to an eighth.
const DICTIONARY_BYTES: usize = 2 * 1024;
/// A gzip header without a time, a name or a system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// The last block, which is empty.
const LAST_BLOCK: [u8; 2] = [3, 0];

thread_local! {
    static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(5), false));
}

/// The extension of a response that must not be compressed, because it has the link's secret and a
/// message in it.
#[derive(Clone)]
pub(crate) struct Uncompressed;

/// A text that many answers contain, compressed once.
pub(crate) struct Part {
    bytes: usize,
    blocks: Vec<u8>,
    crc: Crc,
}

/// Marks a response whose uncompressed body has, after this many bytes, this part.
#[derive(Clone)]
pub(crate) struct HasPart(pub(crate) usize, pub(crate) &'static Part);

/// Compresses an answer if it is text and the client takes gzip.
pub(crate) async fn compress(request: Request, next: Next) -> Response {
    let takes_gzip = takes_gzip(request.headers());
    let mut response = next.run(request).await;
    if !is_worth_it(&response) {
        return response;
    }
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if !takes_gzip {
        return response;
    }
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.remove(header::CONTENT_LENGTH);
    let part = response.extensions().get::<HasPart>().cloned();
    let gzip = Some(Gzip::default());
    response.map(|body| Body::new(Compressed { body, rest: Bytes::new(), part, gzip }))
}

fn is_worth_it(response: &Response) -> bool {
    let headers = response.headers();
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let is_text = kind.starts_with(b"text/") || kind.starts_with(b"application/json");
    is_text
        && !headers.contains_key(header::CONTENT_ENCODING)
        && response.extensions().get::<Uncompressed>().is_none()
        && response.body().size_hint().exact().is_none_or(|bytes| bytes >= SMALL_BYTES)
}

/// Whether a request's Accept-Encoding names gzip with a weight other than zero.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|item| {
        let (coding, weight) = item.split_once(';').unwrap_or((item, ""));
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
        coding.trim().eq_ignore_ascii_case("gzip") && weight.parse().is_ok_and(|q: f32| q > 0.0)
    })
}

/// A body, compressed as it comes.
struct Compressed {
    body: Body,
    /// The part of the body's last frame that is still to be compressed.
    rest: Bytes,
    /// A part that is still to come, and how many bytes come before it.
    part: Option<HasPart>,
    /// `None` after the end.
    gzip: Option<Gzip>,
}

impl HttpBody for Compressed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(gzip) = &mut this.gzip else {
            return Poll::Ready(None);
        };
        while this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                // Trailers, which no answer of ours has, are left out.
                Some(Ok(frame)) => this.rest = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let end = gzip.end();
                    this.gzip = None;
                    return Poll::Ready(Some(Ok(Frame::data(end.into()))));
                }
            }
        }
        let before = this.part.as_ref().map_or(PIECE_BYTES, |part| part.0.min(PIECE_BYTES));
        let written = match this.part.take_if(|part| part.0 == 0) {
            Some(HasPart(_, part)) => {
                this.rest.advance(part.bytes);
                Ok(gzip.add(part))
            }
            None => {
                let piece = this.rest.split_to(this.rest.len().min(before));
                if let Some(part) = &mut this.part {
                    part.0 -= piece.len();
                }
                gzip.write(&piece).map_err(axum::Error::new)
            }
        };
        Poll::Ready(Some(written.map(|written| Frame::data(written.into()))))
    }
}

/// A gzip file that is written piece by piece. Each piece can be read when it arrives.
#[derive(Default)]
struct Gzip {
    crc: Crc,
    dictionary: Vec<u8>,
}

impl Gzip {
    fn write(&mut self, piece: &[u8]) -> Result<Vec<u8>, CompressError> {
        let mut out = self.head();
        deflate(piece, &self.dictionary, &mut out)?;
        self.crc.update(piece);
        let kept = DICTIONARY_BYTES.saturating_sub(piece.len()).min(self.dictionary.len());
        self.dictionary.drain(..self.dictionary.len() - kept);
        self.dictionary.extend_from_slice(&piece[piece.len().saturating_sub(DICTIONARY_BYTES)..]);
        Ok(out)
    }

    fn add(&mut self, part: &Part) -> Vec<u8> {
        let mut out = self.head();
        out.extend(&part.blocks);
        self.crc.combine(&part.crc);
        self.dictionary.clear();
        out
    }

    fn end(&self) -> Vec<u8> {
        let mut out = self.head();
        out.extend(LAST_BLOCK);
        out.extend(self.crc.sum().to_le_bytes());
        out.extend(self.crc.amount().to_le_bytes());
        out
    }

    fn head(&self) -> Vec<u8> {
        if self.crc.amount() == 0 { HEAD.to_vec() } else { Vec::new() }
    }
}

/// Appends a text to `out` as deflate blocks that end on a byte boundary.
fn deflate(text: &[u8], dictionary: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
    DEFLATE.with_borrow_mut(|deflate| {
        deflate.reset();
        if !dictionary.is_empty() {
            deflate.set_dictionary(dictionary)?;
        }
        let begun = deflate.total_in();
        loop {
            out.reserve(text.len() / 2 + 64);
            let read = usize::try_from(deflate.total_in() - begun).unwrap_or(text.len());
            deflate.compress_vec(&text[read..], out, FlushCompress::Sync)?;
            if out.len() < out.capacity() {
                return Ok(());
            }
        }
    })
}

/// Compresses a file that is sent often, as small as gzip makes it.
pub(crate) fn file(content: &[u8]) -> Vec<u8> {
    smallest(Compress::new_gzip(Compression::best(), 15), content, FlushCompress::Finish)
}

fn smallest(mut compress: Compress, content: &[u8], flush: FlushCompress) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 128);
    let status = compress.compress_vec(content, &mut out, flush);
    assert!(
        status.is_ok() && out.len() < out.capacity(),
        "it has room for any content: {status:?}"
    );
    out
}

impl Part {
    pub(crate) fn new(text: &[u8]) -> Self {
        let deflate = Compress::new(Compression::best(), false);
        let blocks = smallest(deflate, text, FlushCompress::Sync);
        let mut crc = Crc::new();
        crc.update(text);
        Self { bytes: text.len(), blocks, crc }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Decompress, FlushDecompress, read::GzDecoder};
    use http_body_util::BodyExt as _;
    use std::{io::Read as _, sync::LazyLock};

    fn event(number: usize) -> String {
        let id = "AbCdEfGhIjKlMnOpQrStUv";
        format!(
            "id: {number}-0000ab12\nevent: delta\ndata: {{\"id\":\"{id}\",\"text\":\"word\"}}\n\n"
        )
    }

    #[test]
    fn each_piece_can_be_read_at_once_and_all_of_them_are_one_file() {
        let mut gzip = Gzip::default();
        let mut reader = Decompress::new(false);
        let (mut sent, mut all) = (Vec::new(), String::new());
        let pieces = (0..200).map(event).chain(["x".repeat(100_000), ":\n\n".into(), event(7)]);
        for piece in pieces {
            let written = gzip.write(piece.as_bytes()).unwrap();
            let blocks = if sent.is_empty() { &written[HEAD.len()..] } else { &written };
            let mut read = Vec::with_capacity(piece.len() + 1);
            reader.decompress_vec(blocks, &mut read, FlushDecompress::Sync).unwrap();
            assert_eq!(read, piece.as_bytes());
            sent.extend(written);
            all.push_str(&piece);
            assert!(gzip.dictionary.len() <= DICTIONARY_BYTES);
        }
        sent.extend(gzip.end());
        let mut read = String::new();
        GzDecoder::new(&*sent).read_to_string(&mut read).unwrap();
        assert_eq!(read, all);
    }

    #[tokio::test]
    async fn a_part_that_was_compressed_before_is_in_its_place() {
        static PART: LazyLock<Part> = LazyLock::new(|| Part::new("part ".repeat(9000).as_bytes()));
        for before in [0, 7, 2 * PIECE_BYTES + 1] {
            let text = ["a".repeat(before), "part ".repeat(9000), "part and b".into()].concat();
            let (body, part) = (Body::from(text.clone()), Some(HasPart(before, &PART)));
            let compressed =
                Compressed { body, rest: Bytes::new(), part, gzip: Some(Gzip::default()) };
            let sent = Body::new(compressed).collect().await.unwrap().to_bytes();
            let mut read = String::new();
            GzDecoder::new(&*sent).read_to_string(&mut read).unwrap();
            assert_eq!(read, text);
        }
    }

    #[test]
    fn events_that_are_alike_are_a_fifth_as_long_and_hold_two_kilobytes() {
        let mut gzip = Gzip::default();
        let (mut text, mut sent) = (0, 0);
        for number in 0..500 {
            let event = event(number);
            text += event.len();
            sent += gzip.write(event.as_bytes()).unwrap().len();
        }
        assert!(sent * 5 < text, "{sent} of {text}");
        assert!(gzip.dictionary.capacity() <= 2 * DICTIONARY_BYTES);
    }

    #[test]
    fn bytes_that_cannot_be_compressed_and_none_arrive() {
        let mut noise = vec![0; 70_000];
        getrandom::fill(&mut noise).unwrap();
        for content in [noise, Vec::new()] {
            let mut gzip = Gzip::default();
            let mut sent = Vec::new();
            for piece in content.chunks(PIECE_BYTES) {
                sent.extend(gzip.write(piece).unwrap());
            }
            sent.extend(gzip.end());
            for sent in [sent, file(&content)] {
                let mut read = Vec::new();
                GzDecoder::new(&*sent).read_to_end(&mut read).unwrap();
                assert!(read == content);
            }
        }
    }

    #[test]
    fn gzip_is_used_where_it_is_named() {
        let takes = |value: &'static str| {
            takes_gzip(&HeaderMap::from_iter([(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static(value),
            )]))
        };
        assert!(takes("gzip, deflate, br, zstd") && takes("br;q=1.0, GZIP;q=0.8"));
        assert!(
            !takes("") && !takes("br") && !takes("gzip;q=0") && !takes("identity, gzip; q=0.0")
        );
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}

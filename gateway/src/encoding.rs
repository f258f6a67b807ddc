//! Decodes the bodies that their senders have compressed, as `Content-Encoding` says.

use crate::{bodies::Share, problem::Problem};
use brotli_decompressor::Decompressor;
use bytes::{Buf as _, Bytes};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header::CONTENT_ENCODING};
use std::{
    io::{self, Read},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::timeout,
};

/// How long a body may wait for a free decoder.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest window of a zstd frame, as a power of two: 8 MiB, which is what RFC 9659 lets HTTP
/// use. A brotli window has 16 MiB at most.
const ZSTD_WINDOW_LOG: u32 = 23;
const BROTLI_BUFFER_BYTES: usize = 4 << 10;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Encoding {
    /// Returns the encoding that a request names.
    ///
    /// # Errors
    /// The request names an unknown encoding, or more than one.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut found = Self::Identity;
        for value in headers.get_all(CONTENT_ENCODING) {
            let text = value.to_str().map_err(|_| Problem::unsupported_encoding())?;
            for name in text.split(',').map(|name| name.trim().to_ascii_lowercase()) {
                let encoding = match name.as_str() {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Self::Gzip,
                    "deflate" => Self::Deflate,
                    "br" => Self::Brotli,
                    "zstd" => Self::Zstd,
                    _ => return Err(Problem::unsupported_encoding()),
                };
                if found != Self::Identity {
                    return Err(Problem::unsupported_encoding());
                }
                found = encoding;
            }
        }
        Ok(found)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    fn decoder(self, encoded: Bytes) -> io::Result<Box<dyn Read>> {
        let is_zlib = is_zlib(&encoded);
        let encoded = encoded.reader();
        Ok(match self {
            Self::Identity => Box::new(encoded),
            Self::Gzip => Box::new(MultiGzDecoder::new(encoded)),
            Self::Deflate if is_zlib => Box::new(ZlibDecoder::new(encoded)),
            Self::Deflate => Box::new(DeflateDecoder::new(encoded)),
            Self::Brotli => Box::new(Decompressor::new(encoded, BROTLI_BUFFER_BYTES)),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(encoded)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
        })
    }

    /// Decodes at most one byte more than `limit`, which shows that the body is too large.
    pub(crate) fn decode(self, encoded: Bytes, limit: usize) -> io::Result<Vec<u8>> {
        let mut decoded = Vec::new();
        self.decoder(encoded)?.take(limit as u64 + 1).read_to_end(&mut decoded)?;
        Ok(decoded)
    }
}

/// Whether a body begins with the head of zlib, as `deflate` should. Some senders leave it out.
fn is_zlib(encoded: &[u8]) -> bool {
    matches!(encoded, [first, second, ..]
        if first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0)
}

/// Decodes bodies, on threads of their own.
pub(crate) struct Decoders(Arc<Semaphore>);

impl Default for Decoders {
    /// Makes one decoder for every two processors, so that requests go on while all decoders are
    /// busy. The number of decoders also bounds the memory for windows.
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(processors.div_ceil(2))))
    }
}

impl Decoders {
    /// Decodes a body, and counts the decoded bytes in the body's share. Refuses a body that decodes
    /// to more than `limit` bytes.
    pub(crate) async fn decode(
        &self,
        encoding: Encoding,
        encoded: &Bytes,
        limit: usize,
        share: &mut Share,
    ) -> Result<Bytes, Problem> {
        if encoding == Encoding::Identity || encoded.is_empty() {
            return Ok(encoded.clone());
        }
        // Counts the bytes before the wait, so that only a few bodies from an address wait.
        share.grow(limit)?;
        let permit = timeout(PATIENCE, Arc::clone(&self.0).acquire_owned()).await;
        let permit = permit.ok().and_then(Result::ok).ok_or_else(Problem::busy)?;
        let decoded = decode_with(permit, encoding, encoded.clone(), limit).await?;
        share.shrink(limit - decoded.len());
        Ok(decoded.into())
    }
}

async fn decode_with(
    permit: OwnedSemaphorePermit,
    encoding: Encoding,
    encoded: Bytes,
    limit: usize,
) -> Result<Vec<u8>, Problem> {
    let decoding = spawn_blocking(move || {
        let decoded = encoding.decode(encoded, limit);
        drop(permit);
        decoded
    });
    let malformed = || {
        let name = encoding.name();
        Problem::invalid(format!(
            "The body is not {name}, though Content-Encoding says that it is."
        ))
    };
    let decoded = decoding.await.ok().and_then(Result::ok).ok_or_else(malformed)?;
    if decoded.len() > limit { Err(Problem::body_too_large(limit)) } else { Ok(decoded) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{
        Compression,
        read::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };

    fn all(mut encoder: impl Read) -> Bytes {
        let mut encoded = Vec::new();
        encoder.read_to_end(&mut encoded).unwrap();
        encoded.into()
    }

    #[test]
    fn what_senders_make_is_decoded() {
        let (plain, level) = (&b"hello hello hello"[..], Compression::best());
        let gzip = all(GzEncoder::new(plain, level));
        let encoded = [
            (Encoding::Gzip, gzip.clone()),
            (Encoding::Deflate, all(ZlibEncoder::new(plain, level))),
            (Encoding::Deflate, all(DeflateEncoder::new(plain, level))),
            (Encoding::Zstd, zstd::encode_all(plain, 3).unwrap().into()),
            (Encoding::Identity, plain.into()),
        ];
        for (encoding, encoded) in encoded {
            assert_eq!(encoding.decode(encoded, 17).unwrap(), plain, "{encoding:?}");
        }
        let twice = [&gzip[..], &gzip].concat();
        assert_eq!(Encoding::Gzip.decode(twice.into(), 100).unwrap(), [plain, plain].concat());
    }

    #[test]
    fn what_is_cut_or_grows_too_large_is_noticed() {
        let zeros = vec![0; 1 << 20];
        let bomb = all(GzEncoder::new(&zeros[..], Compression::best()));
        assert_eq!(Encoding::Gzip.decode(bomb.clone(), 10).unwrap().len(), 11);
        assert!(Encoding::Gzip.decode(bomb.slice(..bomb.len() - 9), 2 << 20).is_err());
        let zstd = Bytes::from(zstd::encode_all(&zeros[..], 3).unwrap());
        assert!(Encoding::Zstd.decode(zstd.slice(..zstd.len() - 4), 2 << 20).is_err());
        for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Brotli, Encoding::Zstd] {
            assert!(encoding.decode(Bytes::from_static(b"<html>"), 100).is_err(), "{encoding:?}");
        }
    }

    #[test]
    fn a_zstd_window_is_no_larger_than_http_allows() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(ZSTD_WINDOW_LOG + 1).unwrap();
        io::copy(&mut &vec![0; 20 << 20][..], &mut encoder).unwrap();
        let encoded = Bytes::from(encoder.finish().unwrap());
        assert!(Encoding::Zstd.decode(encoded, 100).is_err());
    }

    #[test]
    fn one_known_encoding_is_taken() {
        let of = |value: &'static str| {
            let value = http::HeaderValue::from_static(value);
            Encoding::of(&HeaderMap::from_iter([(CONTENT_ENCODING, value)])).ok()
        };
        assert_eq!(of("GZIP"), Some(Encoding::Gzip));
        assert_eq!(of("identity, br"), Some(Encoding::Brotli));
        assert_eq!((of("gzip, br"), of("compress")), (None, None));
        assert_eq!(Encoding::of(&HeaderMap::new()).ok(), Some(Encoding::Identity));
    }
}

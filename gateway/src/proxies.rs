//! Notices proxies that are not trusted: all visitors behind such a proxy share the limits of one
//! address.

use crate::listener::Peer;
use arizuko_proto::telemetry::sampler::Sampler;
use http::{Extensions, HeaderMap};
use ipnet::IpNet;
use lru::LruCache;
use std::{
    net::IpAddr,
    num::NonZero,
    sync::{Mutex, PoisonError},
};

const FORWARDED: &str = "x-forwarded-for";
/// How many peers to remember. Beyond that, those seen longest ago are forgotten.
const PEERS: NonZero<usize> = NonZero::new(1_024).unwrap();
/// How many different addresses a peer names before it is logged as a proxy.
const NAMED: usize = 3;
/// How many bytes an address in the header has, at most: an IPv6 address in brackets, with a port.
const ADDRESS_BYTES: usize = 48;

/// The peers that named addresses and are not trusted.
pub(crate) struct Proxies {
    /// The different addresses that each peer has named.
    named: Mutex<LruCache<IpAddr, Vec<Vec<u8>>>>,
    lines: Sampler,
}

impl Default for Proxies {
    fn default() -> Self {
        Self { named: Mutex::new(LruCache::new(PEERS)), lines: Sampler::default() }
    }
}

impl Proxies {
    /// Notes the address that a request names, if its peer isn't trusted, and logs the peer once it
    /// has named [`NAMED`] different addresses.
    pub(crate) fn note(&self, headers: &HeaderMap, extensions: &Extensions, trusted: &[IpNet]) {
        let Some(proxy) = untrusted(headers, extensions, trusted) else { return };
        let last = headers.get_all(FORWARDED).iter().next_back();
        let last = last.and_then(|value| value.as_bytes().rsplit(|byte| *byte == b',').next());
        let last = last.unwrap_or_default().trim_ascii();
        if last.len() <= ADDRESS_BYTES
            && self.is_the_last_needed(proxy, last)
            && let Some(left_out) = self.lines.sample()
        {
            tracing::warn!(
                %proxy,
                left_out,
                "requests from this address name different visitors in X-Forwarded-For, and it is \
                 not a trusted proxy: if it is yours, name it with --trusted-proxy; until then its \
                 visitors share the limits of one address"
            );
        }
    }

    /// Adds an address. Returns whether it is the one with which the peer reaches [`NAMED`].
    fn is_the_last_needed(&self, proxy: IpAddr, address: &[u8]) -> bool {
        // Nothing that can panic runs under this lock.
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let named = named.get_or_insert_mut(proxy, Vec::new);
        if named.len() == NAMED || named.iter().any(|known| known == address) {
            return false;
        }
        named.push(address.to_owned());
        named.len() == NAMED
    }
}

/// Returns the peer of a request that names a visitor's address, if the peer is not trusted.
pub(crate) fn untrusted(
    headers: &HeaderMap,
    extensions: &Extensions,
    trusted: &[IpNet],
) -> Option<IpAddr> {
    let peer = extensions.get::<Peer>()?.0.ip().to_canonical();
    let is_trusted = trusted.iter().any(|net| net.contains(&peer));
    (headers.contains_key(FORWARDED) && !is_trusted).then_some(peer)
}

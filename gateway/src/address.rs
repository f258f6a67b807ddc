//! The visitor's address.

use crate::{gateway::Gateway, listener::Peer, operation::Argument};
use arizuko_proto::connections::network;
use axum::extract::FromRequestParts;
use http::{Extensions, HeaderMap, request::Parts};
use ipnet::IpNet;
use std::{
    convert::Infallible,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// The address by which limits count a visitor's requests. An IPv6 address is reduced to its /64
/// network, since one visitor usually has all of the network's addresses.
#[derive(Clone, Copy)]
pub(crate) struct Visitor(pub(crate) IpAddr);

impl Visitor {
    /// Returns the address that a request comes from.
    pub(crate) fn of(headers: &HeaderMap, extensions: &Extensions, trusted: &[IpNet]) -> Self {
        // Requests without a connection, as in tests, count as one visitor.
        let peer = extensions.get::<Peer>();
        let peer = peer.map_or(Ipv6Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
        let forwarded = headers.get_all("x-forwarded-for");
        let hops = forwarded.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        Self(network(resolve(peer, hops, trusted)))
    }
}

impl Argument for Visitor {}

impl FromRequestParts<Arc<Gateway>> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers, &parts.extensions, &gateway.options.serving.trusted_proxies))
    }
}

/// Goes from the peer's address to the left through X-Forwarded-For, and returns the first address
/// that is not a trusted proxy's. Stops at a malformed entry. Then, or if every address belongs to
/// a trusted proxy, returns the last address that it has read. Clients can forge the entries to the
/// left of the returned address.
fn resolve<'a>(
    peer: IpAddr,
    forwarded: impl Iterator<Item = &'a [u8]>,
    trusted: &[IpNet],
) -> IpAddr {
    let mut address = peer.to_canonical();
    let mut hops: Vec<_> = forwarded.collect();
    while trusted.iter().any(|net| net.contains(&address)) {
        match hops.pop().map(parse) {
            Some(Some(hop)) => address = hop,
            // No further address, or a malformed one: this is the last known address.
            _ => break,
        }
    }
    address
}

/// Parses the address of one hop, which some proxies write with a port. Only this hop has to be
/// valid: a client may have put anything before the hop that a proxy added.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let hop = str::from_utf8(hop).ok()?.trim();
    let address = hop.parse().or_else(|_| {
        let socket = hop.parse::<SocketAddr>().map(|socket| socket.ip());
        socket.or_else(|_| hop.trim_matches(['[', ']']).parse())
    });
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(peer: &str, forwarded: &str, trusted: &str) -> String {
        let trusted: Vec<_> = trusted.split_whitespace().map(|n| n.parse().unwrap()).collect();
        resolve(peer.parse().unwrap(), forwarded.as_bytes().split(|byte| *byte == b','), &trusted)
            .to_string()
    }

    #[test]
    fn only_a_trusted_proxy_may_name_the_visitor() {
        assert_eq!(resolved("1.2.3.4", "9.9.9.9", ""), "1.2.3.4");
        assert_eq!(resolved("10.0.0.1", "9.9.9.9", "10.0.0.0/8"), "9.9.9.9");
        assert_eq!(resolved("::ffff:10.0.0.1", "9.9.9.9", "10.0.0.0/8"), "9.9.9.9");
    }

    #[test]
    fn the_rightmost_untrusted_address_counts() {
        let trusted = "10.0.0.0/8 fd00::/8";
        assert_eq!(resolved("10.0.0.1", "6.6.6.6, 9.9.9.9, 10.0.0.2", trusted), "9.9.9.9");
        assert_eq!(resolved("fd00::1", "9.9.9.9:4711", trusted), "9.9.9.9");
        assert_eq!(resolved("fd00::1", "[2001:db8::7]:80", trusted), "2001:db8::7");
        assert_eq!(resolved("10.0.0.1", "9.9.9.9, unknown", trusted), "10.0.0.1");
        assert_eq!(resolved("10.0.0.1", "", trusted), "10.0.0.1");
    }

    #[test]
    fn what_a_client_forges_hides_no_later_hop() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let resolved = |forwarded: &[u8]| {
            let hops = forwarded.split(|byte| *byte == b',');
            resolve("10.0.0.1".parse().unwrap(), hops, &trusted).to_string()
        };
        assert_eq!(resolved(b"\xff\xfe, 9.9.9.9"), "9.9.9.9");
        assert_eq!(resolved("ü, 9.9.9.9, 10.0.0.2".as_bytes()), "9.9.9.9");
        assert_eq!(resolved(b"9.9.9.9, \xff"), "10.0.0.1");
    }
}

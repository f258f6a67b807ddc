//! The visitor's address.

use crate::{gateway::Gateway, listener::Peer};
use axum::extract::FromRequestParts;
use http::{Extensions, HeaderMap, request::Parts};
use ipnet::IpNet;
use std::{
    convert::Infallible,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// The address that limits count. An IPv6 address is reduced to its /64 network, since one visitor
/// usually has all addresses of it.
#[derive(Clone, Copy)]
pub(crate) struct Visitor(pub(crate) IpAddr);

impl Visitor {
    /// Returns the address that a request comes from.
    pub(crate) fn of(headers: &HeaderMap, extensions: &Extensions, trusted: &[IpNet]) -> Self {
        // Requests without a connection, as in tests, count as one visitor.
        let peer = extensions.get::<Peer>();
        let peer = peer.map_or(Ipv6Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
        let forwarded = headers.get_all("x-forwarded-for");
        let forwarded = forwarded.iter().filter_map(|value| value.to_str().ok());
        let forwarded = forwarded.flat_map(|value| value.split(','));
        Self(counted(resolve(peer, forwarded, trusted)))
    }
}

impl FromRequestParts<Arc<Gateway>> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers, &parts.extensions, &gateway.options.trusted_proxies))
    }
}

/// Returns the rightmost address that is not a trusted proxy. Clients can forge those before it.
fn resolve<'a>(
    peer: IpAddr,
    forwarded: impl Iterator<Item = &'a str>,
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

/// Parses an address, which some proxies write with a port.
fn parse(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let address = hop.parse().or_else(|_| {
        let socket = hop.parse::<SocketAddr>().map(|socket| socket.ip());
        socket.or_else(|_| hop.trim_matches(['[', ']']).parse())
    });
    address.ok().map(|address: IpAddr| address.to_canonical())
}

fn counted(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(peer: &str, forwarded: &str, trusted: &str) -> String {
        let trusted: Vec<_> = trusted.split_whitespace().map(|n| n.parse().unwrap()).collect();
        resolve(peer.parse().unwrap(), forwarded.split(','), &trusted).to_string()
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
    fn an_ipv6_address_counts_as_its_network() {
        let address = "2001:db8:1:2:3:4:5:6".parse().unwrap();
        assert_eq!(counted(address).to_string(), "2001:db8:1:2::");
        let address = "192.0.2.1".parse().unwrap();
        assert_eq!(counted(address).to_string(), "192.0.2.1");
    }
}

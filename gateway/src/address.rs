//! Where a request comes from, and how many streams that address has open.

use crate::{Gateway, problem::Problem};
use arizuko_proto::telemetry::metrics::Share;
use axum::extract::FromRequestParts;
use http::{StatusCode, request::Parts};
use ipnet::IpNet;
use std::{
    collections::HashMap,
    convert::Infallible,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The other end of the connection, put into every request by the listener.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The visitor's address as limits count it: an IPv6 address as its /64, since a visitor has all
/// of one.
#[derive(Clone, Copy)]
pub(crate) struct Visitor(pub(crate) IpAddr);

impl FromRequestParts<Arc<Gateway>> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Infallible> {
        // Without a peer there is no connection: what comes then is counted as one visitor.
        let peer = parts.extensions.get::<Peer>();
        let peer = peer.map_or(Ipv6Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
        let forwarded = parts.headers.get_all("x-forwarded-for");
        let forwarded = forwarded.iter().filter_map(|value| value.to_str().ok());
        let address = resolve(
            peer,
            forwarded.flat_map(|value| value.split(',')),
            &gateway.options.trusted_proxies,
        );
        Ok(Self(counted(address)))
    }
}

/// The rightmost address that is not a trusted proxy's. What is left of it anybody can write.
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
            // Nothing further, or nonsense: this is the last that is known.
            _ => break,
        }
    }
    address
}

/// Some proxies name the port as well.
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

/// How many streams each address has open.
pub(crate) struct Streams {
    most: usize,
    // An entry is gone with its last stream, so this is no larger than what is open.
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One open stream, for as long as this lives.
pub(crate) struct OpenStream {
    gateway: Arc<Gateway>,
    address: IpAddr,
    _counted: Share,
}

impl Streams {
    pub(crate) fn new(most: usize) -> Self {
        let open = Mutex::default();
        Self { most, open }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Counting does not panic half way.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenStream {
    /// Counts one more stream of this address, unless it has too many.
    pub(crate) fn new(gateway: &Arc<Gateway>, Visitor(address): Visitor) -> Result<Self, Problem> {
        let mut open = gateway.streams.open();
        let count = open.entry(address).or_default();
        if *count >= gateway.streams.most {
            let detail = "Too many streams are open from your address. Close one, then try again.";
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_STREAMS", detail);
            return Err(problem.retry_after(Duration::from_secs(5)));
        }
        *count += 1;
        Ok(Self {
            gateway: gateway.clone(),
            address,
            _counted: Share::of(&gateway.metrics.streams, 1),
        })
    }
}

impl FromRequestParts<Arc<Gateway>> for OpenStream {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Problem> {
        let Ok(visitor) = Visitor::from_request_parts(parts, gateway).await;
        Self::new(gateway, visitor)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self.gateway.streams.open();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
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
    fn only_a_trusted_proxy_is_believed() {
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

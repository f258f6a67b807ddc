//! The senders of chat messages, as limits and queues tell them apart: by their addresses.

use crate::{ids::TokenId, secret::hash};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr};

/// How many hexadecimal digits of an address's hash are kept.
const DIGITS: usize = 16;
/// The mask of the first 48 bits of an IPv6 address, which name its site.
const NETWORK_BITS: u128 = u128::MAX << 80;

/// The hashes of a visitor's address and network. They differ from link to link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Visitor {
    /// The hash of the address, or of the /64 that the gateway reduces an IPv6 address to.
    pub(crate) address: String,
    /// The hash of the /48 that the address is in, since one sender may have all its addresses. An
    /// IPv4 address is a network of its own.
    pub(crate) network: String,
}

impl Visitor {
    /// Returns the visitor at an address; `None` if the address is empty, which means unknown.
    pub(crate) fn at(link: &TokenId, address: &str) -> Option<Self> {
        let short = |text: &str| hash(format!("{link} {text}"))[..DIGITS].to_owned();
        let network = match address.parse() {
            Ok(IpAddr::V6(v6)) => {
                format!("{}/48", Ipv6Addr::from_bits(v6.to_bits() & NETWORK_BITS))
            }
            _ => address.to_owned(),
        };
        (!address.is_empty()).then(|| Self { address: short(address), network: short(&network) })
    }

    /// Whether the visitor's network has other addresses.
    pub(crate) fn is_one_of_many(&self) -> bool {
        self.address != self.network
    }

    /// Returns the hashes by which the visitor's turns are counted.
    pub(crate) fn counted(&self) -> impl Iterator<Item = &str> {
        let network = self.is_one_of_many().then_some(self.network.as_str());
        std::iter::once(self.address.as_str()).chain(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_is_one_of_its_network() {
        let at = |address| Visitor::at(&"tok_x".to_owned().into(), address).expect("an address");
        let here = at("2001:db8:1:2::");
        assert!(here.is_one_of_many());
        assert_eq!(here.network, at("2001:db8:1:ffff::").network);
        assert_ne!(here.address, at("2001:db8:1:ffff::").address);
        assert_ne!(here.network, at("2001:db8:2:2::").network);
        assert!(!at("192.0.2.1").is_one_of_many());
        assert_ne!(at("192.0.2.1"), Visitor::at(&"tok_y".to_owned().into(), "192.0.2.1").unwrap());
        assert_eq!(Visitor::at(&"tok_x".to_owned().into(), ""), None);
    }
}

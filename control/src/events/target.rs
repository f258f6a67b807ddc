//! Which URLs events may be posted to. A subscription makes control send requests from inside the
//! operator's network, so the host of its URL must have a public address.

use crate::refusal::Refusal;
use ipnet::{Ipv4Net, Ipv6Net};
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tokio::net::lookup_host;

/// How many characters a URL has, at most.
const MAX_URL: usize = 2_000;

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
}

/// The addresses of IPv4 that aren't public: those in IANA's registry of special ones, and
/// multicast.
const NOT_PUBLIC_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 8),
    v4(10, 0, 0, 8),
    v4(100, 64, 0, 10),
    v4(127, 0, 0, 8),
    v4(169, 254, 0, 16),
    v4(172, 16, 0, 12),
    v4(192, 0, 0, 24),
    v4(192, 0, 2, 24),
    v4(192, 88, 99, 24),
    v4(192, 168, 0, 16),
    v4(198, 18, 0, 15),
    v4(198, 51, 100, 24),
    v4(203, 0, 113, 24),
    v4(224, 0, 0, 4),
    v4(240, 0, 0, 4),
];

const fn v6(a: u16, b: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

/// All public addresses of IPv6. Those that hold an IPv4 address (mapped, NAT64) are not among
/// them.
const PUBLIC_V6: Ipv6Net = v6(0x2000, 0, 3);
/// The parts of [`PUBLIC_V6`] that aren't public: Teredo and other protocols, documentation, 6to4.
const NOT_PUBLIC_V6: [Ipv6Net; 4] =
    [v6(0x2001, 0, 23), v6(0x2001, 0xdb8, 32), v6(0x2002, 0, 16), v6(0x3fff, 0, 20)];

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => {
            PUBLIC_V6.contains(&address) && !NOT_PUBLIC_V6.iter().any(|net| net.contains(&address))
        }
    }
}

/// Which targets are allowed.
#[derive(Clone, Copy)]
pub(crate) struct Targets {
    /// Whether private addresses are allowed, and http.
    pub(crate) private: bool,
}

impl Targets {
    /// Checks the URL of a new subscription, and the addresses to which its host resolves now.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a URL that is not allowed. A name that doesn't resolve is allowed.
    pub(crate) async fn check(self, text: &str) -> Result<(), Refusal> {
        let url = self.parse(text)?;
        let host = url.host_str().unwrap_or_default();
        // The sender looks the name up again, and connects only to allowed addresses.
        match self.look_up(host).await {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(Refusal::Invalid(error.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Reads a URL. If its host is an address, checks that, too.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a URL that is not allowed.
    pub(super) fn parse(self, text: &str) -> Result<Url, Refusal> {
        let wrong = |why: &str| Refusal::Invalid(format!("the URL of a subscription {why}"));
        if text.chars().count() > MAX_URL {
            return Err(wrong(&format!("has at most {MAX_URL} characters")));
        }
        let url: Url = text
            .parse()
            .map_err(|_| wrong("looks like https://acme.com/events: this is no URL"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.private => {}
            _ => return Err(wrong("begins with https://")),
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(wrong("has no user name, password or fragment"));
        }
        let host = url.host_str().unwrap_or_default();
        if let Ok(address) = host.trim_matches(['[', ']']).parse()
            && !self.allows(address)
        {
            return Err(wrong(NOT_ALLOWED));
        }
        Ok(url)
    }

    fn allows(self, address: IpAddr) -> bool {
        self.private || is_public(address)
    }

    /// Returns those of a name's addresses that are allowed.
    async fn look_up(self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<_> = lookup_host((name.trim_matches(['[', ']']), 0)).await?.collect();
        let any = !found.is_empty();
        let allowed: Vec<_> = found.into_iter().filter(|it| self.allows(it.ip())).collect();
        if any && allowed.is_empty() {
            let why = format!("the URL of a subscription {NOT_ALLOWED}");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        Ok(allowed)
    }
}

const NOT_ALLOWED: &str =
    "must lead to a public address: control allows others only with --private-event-targets";

/// Resolves names for the client that posts events. The client connects to an address of this very
/// answer, so a name that resolves to something else a moment later gains nothing.
impl Resolve for Targets {
    fn resolve(&self, name: Name) -> Resolving {
        let targets = *self;
        Box::pin(async move {
            let addresses: Addrs = Box::new(targets.look_up(name.as_str()).await?.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for address in ["1.1.1.1", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "2a00::1"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.1.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:1.1.1.1",
            "64:ff9b::a00:1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "fd00::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_url_is_checked_however_its_address_is_written() {
        let strict = Targets { private: false };
        assert!(strict.parse("https://acme.com/events?x=1").is_ok());
        for url in [
            "http://acme.com/",
            "ftp://acme.com/",
            "acme.com",
            "https://ana:secret@acme.com/",
            "https://acme.com/#top",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
        ] {
            assert!(strict.parse(url).is_err(), "{url}");
        }
        let loose = Targets { private: true };
        assert!(loose.parse("http://127.0.0.1:8000/").is_ok());
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_refused_when_it_is_looked_up() {
        let look_up = async |private| Targets { private }.look_up("localhost").await;
        assert!(look_up(false).await.is_err());
        assert!(!look_up(true).await.unwrap().is_empty());
    }
}

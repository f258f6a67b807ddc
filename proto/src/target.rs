//! The address of a control, as it was given. A host name may have the addresses of several
//! controls, and they may change as controls start and stop, as with a headless Service of
//! Kubernetes.

use crate::{
    client::{endpoint, tuned},
    tls::ClientFiles,
};
use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{net::lookup_host, time::timeout};
use tonic::transport::{ClientTlsConfig, Endpoint};

/// How long the resolver may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// One address from `--control`.
pub struct Target {
    endpoint: Endpoint,
    tls: Option<ClientTlsConfig>,
    is_name: bool,
}

impl Target {
    /// Prepares calls to a control at `http://` or `https://`, as [`endpoint`] does.
    ///
    /// # Errors
    ///
    /// The address is malformed, or a file can't be used.
    pub fn new(address: &str, files: &ClientFiles) -> anyhow::Result<Self> {
        let endpoint = endpoint(address, files)?;
        let host = endpoint.uri().host().unwrap_or_default();
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        // The addresses of localhost are of one machine, and often of one control.
        let is_name = !is_address && host != "localhost";
        let tls = match endpoint.uri().scheme_str() {
            // The certificate must be for the name, whichever of its addresses is called.
            Some("https") if is_name => Some(files.config()?.domain_name(host)),
            _ => None,
        };
        Ok(Self { endpoint, tls, is_name })
    }

    /// Whether the host is a name, whose addresses can change.
    pub fn is_name(&self) -> bool {
        self.is_name
    }

    /// Returns an endpoint for the host as it was given: each connection goes to any of its
    /// addresses.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    /// Asks the system for all addresses that the name has now, in random order. Empty if it has
    /// none, or if the resolver doesn't answer.
    pub async fn addresses(&self) -> Vec<SocketAddr> {
        let uri = self.endpoint.uri();
        let default = if self.tls.is_some() { 443 } else { 80 };
        let place = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(default));
        let found = timeout(LOOKUP_TIMEOUT, lookup_host(place)).await;
        let mut addresses: Vec<_> = found.into_iter().flatten().flatten().collect();
        let random = RandomState::new();
        addresses.sort_by_cached_key(|address| (random.hash_one(address), *address));
        addresses.dedup();
        addresses
    }

    /// Returns an endpoint for one of the name's addresses.
    ///
    /// # Errors
    ///
    /// The TLS files can't be used.
    pub fn at(&self, address: SocketAddr) -> anyhow::Result<Endpoint> {
        let name = self.endpoint.uri();
        let scheme = name.scheme_str().unwrap_or("http");
        let endpoint = tuned(Endpoint::from_shared(format!("{scheme}://{address}"))?);
        let endpoint = endpoint.origin(name.clone());
        Ok(match &self.tls {
            Some(tls) => endpoint.tls_config(tls.clone())?,
            None => endpoint,
        })
    }

    /// Returns an endpoint for each address that the name has now, in random order. If there is
    /// none, or the host is no name, returns the one for the host as it was given.
    pub async fn endpoints(&self) -> Vec<Endpoint> {
        let addresses = if self.is_name { self.addresses().await } else { Vec::new() };
        let found: Vec<_> = addresses.into_iter().filter_map(|at| self.at(at).ok()).collect();
        if found.is_empty() { vec![self.endpoint()] } else { found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_followed() {
        for (address, is_name) in [
            ("http://control:7070", true),
            ("control.chat.svc", true),
            ("http://127.0.0.1:7070", false),
            ("http://[::1]:7070", false),
            ("http://localhost:7070", false),
        ] {
            let target = Target::new(address, &ClientFiles::default()).unwrap();
            assert_eq!(target.is_name(), is_name, "{address}");
        }
    }
}

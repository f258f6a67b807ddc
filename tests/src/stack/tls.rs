//! A stack whose gateways and controls have TLS.

use super::{Instance, Kind, Stack, web};
use crate::{
    certificates::{Authority, Certificate},
    operator::{Channel, connect_with},
};
use arizuko_proto::tls::ClientFiles;
use std::fs;

/// The certificates of a stack.
pub struct Tls {
    /// The authority that issued them.
    pub authority: Authority,
    /// The certificate of its gateways and controls.
    pub server: Certificate,
    /// The certificate of control's clients.
    pub client: Certificate,
}

impl Stack {
    /// Starts a stack whose gateways serve HTTPS and whose controls require a certificate of each
    /// client. In `up`, control has no TLS.
    pub async fn with_tls(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let mut stack = Self::prepare(kind, settings, "https://{root}.example").await;
        let authority = Authority::new(&stack.folder().join("tls")).await;
        let hosts = ["IP:127.0.0.1", "DNS:localhost", "DNS:*.example"];
        let server = authority.issue("server", &hosts).await;
        let client = authority.issue("client", &[]).await;
        for (name, file) in [
            ("ARIZUKO_TLS_CERT", &server.cert),
            ("ARIZUKO_TLS_KEY", &server.key),
            ("ARIZUKO_CLIENT_CA", &authority.file()),
            ("ARIZUKO_CA", &authority.file()),
            ("ARIZUKO_CLIENT_CERT", &client.cert),
            ("ARIZUKO_CLIENT_KEY", &client.key),
        ] {
            stack.settings.push((name.into(), file.display().to_string()));
        }
        let root = fs::read(authority.file()).expect("openssl has written it");
        let root = reqwest::Certificate::from_pem(&root);
        let web = web().tls_certs_only([root.expect("it is a certificate")]);
        stack.web = web.build().expect("it trusts one authority");
        stack.tls = Some(Tls { authority, server, client });
        stack.populate(0).await;
        stack
    }

    /// Returns the stack's certificates.
    pub fn tls(&self) -> &Tls {
        self.tls.as_ref().expect("this stack has TLS")
    }

    pub(super) fn gateway_scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    pub(super) fn control_scheme(&self) -> &'static str {
        match self.kind {
            Kind::Embedded => "http",
            _ => self.gateway_scheme(),
        }
    }

    /// Connects to a control with a key.
    pub(crate) async fn channel(&self, control: Instance, key: &str) -> Channel {
        let files = self.tls.as_ref().map(|tls| ClientFiles {
            ca: Some(tls.authority.file()),
            client_cert: Some(tls.client.cert.clone()),
            client_key: Some(tls.client.key.clone()),
        });
        connect_with(&self.control(control), Some(key), &files.unwrap_or_default()).await
    }
}

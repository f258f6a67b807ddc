//! A stack that nobody talks to in the clear.

use super::{Instance, Kind, Stack, web};
use crate::{
    certificates::{Authority, Certificate},
    operator::{Channel, connect_to},
};
use std::{fs, path::Path};
use tonic::transport::{self, ClientTlsConfig, Endpoint, Identity};

/// Whose certificates a stack has.
pub struct Tls {
    /// Who made them.
    pub authority: Authority,
    /// Of gateways, and of controls.
    pub server: Certificate,
    /// Of control's clients.
    pub client: Certificate,
}

impl Stack {
    /// Starts one whose gateways have HTTPS, and whose controls want a certificate of everybody;
    /// in `up` control is by itself.
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
        let root = reqwest::Certificate::from_pem(&read(&authority.file()));
        let web = web().tls_certs_only([root.expect("it is a certificate")]);
        stack.web = web.build().expect("it trusts one authority");
        stack.tls = Some(Tls { authority, server, client });
        stack.populate(0).await;
        stack
    }

    /// Its certificates.
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
        let control = self.control(control);
        let mut endpoint = Endpoint::from_shared(control).expect("the stack's addresses are URLs");
        if let Some(Tls { authority, client, .. }) = &self.tls {
            let trusted = transport::Certificate::from_pem(read(&authority.file()));
            let shown = Identity::from_pem(read(&client.cert), read(&client.key));
            let tls = ClientTlsConfig::new().ca_certificate(trusted).identity(shown);
            endpoint = endpoint.tls_config(tls).expect("openssl makes what all can read");
        }
        connect_to(endpoint, Some(key)).await
    }
}

fn read(file: &Path) -> Vec<u8> {
    fs::read(file).expect("openssl has written it")
}

//! TLS of programs that connect to control.

use super::{authorities, certified};
use std::{fs, path::PathBuf};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Which authorities to trust, and which certificate to show.
#[derive(clap::Args, Clone, Default)]
pub struct ClientFiles {
    /// PEM file with the authorities to trust instead of the system's.
    #[arg(long, global = true, env = "ARIZUKO_CA", value_name = "FILE", help_heading = "Control")]
    pub ca: Option<PathBuf>,
    /// PEM file with the certificate to show, for a control that has --client-ca.
    #[arg(
        long,
        global = true,
        env = "ARIZUKO_CLIENT_CERT",
        value_name = "FILE",
        help_heading = "Control"
    )]
    pub client_cert: Option<PathBuf>,
    /// PEM file with the key of --client-cert.
    #[arg(
        long,
        global = true,
        env = "ARIZUKO_CLIENT_KEY",
        value_name = "FILE",
        help_heading = "Control"
    )]
    pub client_key: Option<PathBuf>,
}

impl ClientFiles {
    /// Returns the configuration for connections to `https://` addresses.
    ///
    /// # Errors
    ///
    /// A file can't be used, or only one of certificate and key is named.
    pub fn config(&self) -> anyhow::Result<ClientTlsConfig> {
        let mut config = ClientTlsConfig::new();
        match &self.ca {
            None => config = config.with_enabled_roots(),
            Some(file) => {
                authorities(file)?;
                config = config.ca_certificate(Certificate::from_pem(fs::read(file)?));
            }
        }
        match (&self.client_cert, &self.client_key) {
            (None, None) => Ok(config),
            (Some(cert), Some(key)) => {
                certified(cert, key)?;
                Ok(config.identity(Identity::from_pem(fs::read(cert)?, fs::read(key)?)))
            }
            _ => anyhow::bail!("--client-cert and --client-key go together: name both, or neither"),
        }
    }
}

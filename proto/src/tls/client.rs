//! The side that connects: control's clients.

use super::{authorities, certified};
use std::{fs, path::PathBuf};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Whom to trust, and what to show of oneself, where control has TLS.
#[derive(clap::Args, Clone, Default)]
pub struct ClientFiles {
    /// Trust the authorities in this file, PEM, and not the system's.
    #[arg(long, global = true, env = "ARIZUKO_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The certificate to show to a control that wants one, PEM.
    #[arg(long, global = true, env = "ARIZUKO_CLIENT_CERT", value_name = "FILE")]
    pub client_cert: Option<PathBuf>,
    /// That certificate's key, PEM.
    #[arg(long, global = true, env = "ARIZUKO_CLIENT_KEY", value_name = "FILE")]
    pub client_key: Option<PathBuf>,
}

impl ClientFiles {
    /// What to connect to an `https://` with.
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

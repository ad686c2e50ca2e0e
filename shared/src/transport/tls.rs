//! Mutual TLS between pods: TLS 1.3 only, both sides verified against one private CA.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::TransportError;

/// PEM files of one side. They are read anew for every listener and every connect, so that a rotated certificate is
/// taken up without a restart.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Private key of the leaf.
    pub key: PathBuf,
    /// The CA that the other side's certificate must come from.
    pub ca: PathBuf,
}

fn broken(path: &Path, reason: impl std::fmt::Display) -> TransportError {
    TransportError::Tls { path: path.to_owned(), reason: reason.to_string() }
}

impl TlsFiles {
    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TransportError> {
        certificates(&self.certificate)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TransportError> {
        PrivateKeyDer::from_pem_file(&self.key).map_err(|e| broken(&self.key, e))
    }

    fn roots(&self) -> Result<RootCertStore, TransportError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca)? {
            roots.add(certificate).map_err(|e| broken(&self.ca, e))?;
        }
        Ok(roots)
    }

    pub(super) fn server(&self) -> Result<Arc<ServerConfig>, TransportError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(self.roots()?),
            Arc::clone(&provider),
        )
        .build()
        .map_err(|e| broken(&self.ca, e))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| broken(&self.certificate, e))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain()?, self.private_key()?)
            .map_err(|e| broken(&self.certificate, e))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }

    pub(super) fn client(&self) -> Result<Arc<ClientConfig>, TransportError> {
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .map_err(|e| broken(&self.certificate, e))?
                .with_root_certificates(self.roots()?)
                .with_client_auth_cert(self.chain()?, self.private_key()?)
                .map_err(|e| broken(&self.certificate, e))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| broken(path, e))?;
    if found.is_empty() {
        return Err(broken(path, "no certificate in this file"));
    }
    Ok(found)
}

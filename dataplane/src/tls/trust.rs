//! Whether a peer's certificate is believed.
//!
//! With a CA its chain is verified; the *name* is verified only against a list of subject alternative names, when there
//! is one. A server's certificate is not compared with the SNI, unless its upstream stands for hosts that requests name: that
//! is how Gloo and Envoy read the configuration, and users who want it list the name. Without a CA a server is not verified at all, which is the API's default.

use std::sync::Arc;

use portcullis_shared::invalid::Invalid;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::SubjectNames;

/// Certificates that are believed, and the names that they must carry.
#[derive(Debug)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    /// A peer may present a trusted certificate itself: a self-signed one that is its own CA.
    exact: Box<[CertificateDer<'static>]>,
    names: Option<SubjectNames>,
}

impl Trust {
    /// Believes what the certificates of `ca` have signed.
    ///
    /// # Errors
    /// There is none, or one of them is not a certificate.
    pub fn new(ca: &[CertificateDer<'static>], names: Option<SubjectNames>) -> Result<Self, Invalid> {
        if ca.is_empty() {
            return Err(Invalid::new("", "has no CA certificate"));
        }
        let mut roots = RootCertStore::empty();
        for (i, der) in ca.iter().enumerate() {
            roots
                .add(der.clone())
                .map_err(|e| Invalid::new(format!("ca[{i}]"), format!("is not a CA certificate: {e}")))?;
        }
        Ok(Self { roots: Arc::new(roots), exact: ca.into(), names })
    }

    fn is_exact(&self, leaf: &CertificateDer<'_>, now: UnixTime) -> Result<bool, Error> {
        if !self.exact.iter().any(|der| der == leaf) {
            return Ok(false);
        }
        let (_, certificate) = X509Certificate::from_der(leaf)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let validity = certificate.validity();
        if now < validity.not_before.timestamp() {
            return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
        }
        if now > validity.not_after.timestamp() {
            return Err(Error::InvalidCertificate(CertificateError::Expired));
        }
        Ok(true)
    }

    fn names(&self, leaf: &CertificateDer<'_>) -> Result<(), Error> {
        match &self.names {
            Some(names) if !names.accept(leaf) => {
                Err(Error::InvalidCertificate(CertificateError::NotValidForName))
            }
            _ => Ok(()),
        }
    }
}

/// Verifies servers.
#[derive(Debug)]
pub struct ServerVerifier {
    /// None = every server is believed.
    trust: Option<Trust>,
    /// A trusted certificate must also be for the name that is asked for.
    by_name: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    /// A verifier; without `trust` it believes every server.
    #[must_use]
    pub fn new(trust: Option<Trust>, crypto: &CryptoProvider) -> Self {
        Self { trust, by_name: false, algorithms: crypto.signature_verification_algorithms }
    }

    /// As it is, or comparing the certificate with the name that is asked for.
    #[must_use]
    pub fn by_name(self, by_name: bool) -> Self {
        Self { by_name, ..self }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(trust) = &self.trust {
            if !trust.is_exact(leaf, now)? {
                let parsed = ParsedCertificate::try_from(leaf)?;
                let algorithms = self.algorithms.all;
                verify_server_cert_signed_by_trust_anchor(
                    &parsed,
                    &trust.roots,
                    intermediates,
                    now,
                    algorithms,
                )?;
            }
            trust.names(leaf)?;
            if self.by_name {
                verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    // Where nobody vouches for the certificate, a signature by its key proves nothing either; and servers that are not
    // verified often have certificates that the signature check could not even parse.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.trust {
            Some(_) => verify_tls12_signature(message, leaf, signed, &self.algorithms),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.trust {
            Some(_) => verify_tls13_signature(message, leaf, signed, &self.algorithms),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Verifies clients; a certificate is mandatory.
#[derive(Debug)]
pub struct ClientVerifier {
    trust: Trust,
    chains: Arc<dyn ClientCertVerifier>,
}

impl ClientVerifier {
    /// A verifier over `trust`.
    ///
    /// # Errors
    /// The CA certificates cannot be used.
    pub fn new(trust: Trust, crypto: &Arc<CryptoProvider>) -> Result<Self, Invalid> {
        let chains =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&trust.roots), Arc::clone(crypto));
        let chains = chains.build().map_err(|e| Invalid::new("", format!("cannot verify clients: {e}")))?;
        Ok(Self { trust, chains })
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if !self.trust.is_exact(leaf, now)? {
            self.chains.verify_client_cert(leaf, intermediates, now)?;
        }
        self.trust.names(leaf)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

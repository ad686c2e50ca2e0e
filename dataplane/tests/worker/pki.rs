//! Certificates made for one test.

use std::path::Path;
use std::sync::Arc;

use portcullis_shared::transport::TlsFiles;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate with its key.
pub struct Material {
    pub certificate: CertificateDer<'static>,
    /// PKCS#8.
    pub key: Vec<u8>,
}

impl Material {
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone().into())
    }
}

/// A certificate authority.
pub struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn issue(&self, names: &[&str]) -> Material {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Material { certificate: certificate.der().clone(), key: key.serialize_der() }
    }

    /// PEM files for one side of a network link, named by a URI where it is a worker.
    pub fn link_files(&self, folder: &Path, name: &str, uri: Option<&str>) -> TlsFiles {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["control.test".to_owned()]).unwrap();
        params.subject_alt_names.extend(uri.map(|uri| SanType::URI(uri.try_into().unwrap())));
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let file = |suffix: &str, text: String| {
            let path = folder.join(format!("{name}.{suffix}"));
            std::fs::write(&path, text).unwrap();
            path
        };
        TlsFiles {
            certificate: file("crt", certificate.pem()),
            key: file("key", key.serialize_pem()),
            ca: file("ca", self.0.pem()),
        }
    }

    /// The authority's own certificate, for those who trust it.
    pub fn anchor(&self) -> Material {
        Material { certificate: self.0.der().clone(), key: Vec::new() }
    }

    /// A client that trusts this authority, with a certificate of its own or not.
    pub fn client(&self, own: Option<&Material>, alpn: &[&str]) -> Arc<rustls::ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.anchor().certificate).unwrap();
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            Some(own) => {
                builder.with_client_auth_cert(vec![own.certificate.clone()], own.private_key()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

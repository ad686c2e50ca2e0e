//! One set of key material: PEM in, checked DER held, wire form out.

use std::sync::Arc;

use bytes::Bytes;
use portcullis_proto::table::v1 as wire;
use portcullis_shared::sensitive::Sensitive;
use portcullis_shared::version::Digest;
use prost::Message;
use rustls::RootCertStore;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::translate::SecretFacts;

/// The four parts as they were given: PEM, except the staple.
#[derive(Clone, Copy, Default)]
pub struct Parts<'a> {
    /// Certificate chain, leaf first.
    pub cert: Option<&'a [u8]>,
    /// Private key: PKCS#8, PKCS#1 or SEC1.
    pub key: Option<&'a [u8]>,
    /// Certificate authorities.
    pub ca: Option<&'a [u8]>,
    /// An OCSP response, DER.
    pub ocsp: Option<&'a [u8]>,
}

/// Why material cannot be used. The texts are the ones that users of Gloo know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Neither a chain with its key nor a CA.
    #[error("no certificate information found")]
    Nothing,
    /// A part does not decode, or the parts do not belong together.
    #[error("not a valid TLS secret: {0}")]
    Invalid(String),
}

/// Checked key material. Its bytes are only reachable as the wire form.
pub struct Material {
    name: Arc<str>,
    chain: Vec<CertificateDer<'static>>,
    key: Option<Sensitive<Vec<u8>>>,
    ca: Vec<CertificateDer<'static>>,
    ocsp: Bytes,
    digest: Digest,
    /// End of the leaf's validity, in seconds of Unix time.
    not_after: Option<i64>,
}

impl Material {
    /// Decodes and checks `parts`: every certificate parses, every CA can be a trust anchor, and the key is the leaf's.
    /// Being expired is no error: it would take down what still works.
    ///
    /// # Errors
    /// The material cannot be used; the text says which part and why.
    pub fn parse(name: Arc<str>, parts: Parts<'_>) -> Result<Self, Unusable> {
        let chain = certificates("certificate chain", parts.cert)?;
        let ca = certificates("root CA", parts.ca)?;
        check_anchors(&ca)?;
        let key = match parts.key.filter(|pem| !blank(pem)) {
            Some(pem) => {
                Some(PrivateKeyDer::from_pem_slice(pem).map_err(|e| invalid("private key", &describe(&e)))?)
            }
            None => None,
        };
        let not_after = match chain.first() {
            Some(leaf) => Some(not_after(leaf)?),
            None => None,
        };
        match (&key, chain.is_empty()) {
            (Some(key), false) => check_pair(&chain, key)?,
            (None, true) if ca.is_empty() => return Err(Unusable::Nothing),
            (None, true) => {}
            (None, false) => {
                return Err(Unusable::Invalid("certificate chain without a private key".to_owned()));
            }
            (Some(_), true) => {
                return Err(Unusable::Invalid("private key without a certificate chain".to_owned()));
            }
        }
        let mut material = Self {
            name,
            chain,
            key: key.map(|key| Sensitive::new(key.secret_der().to_vec())),
            ca,
            ocsp: Bytes::copy_from_slice(parts.ocsp.unwrap_or_default()),
            digest: Digest::default(),
            not_after,
        };
        // The encoding holds the key: it is wiped as soon as the digest is known.
        let encoded = Sensitive::new(material.to_wire().encode_to_vec());
        material.digest = Digest::of(encoded.expose());
        Ok(material)
    }

    /// The form that travels. Drop it as soon as it is written.
    #[must_use]
    pub fn to_wire(&self) -> wire::Certificate {
        let ders =
            |list: &[CertificateDer<'static>]| list.iter().map(|der| Bytes::copy_from_slice(der)).collect();
        wire::Certificate {
            name: self.name.to_string(),
            chain_der: ders(&self.chain),
            key_der: self.key.as_ref().map(|key| Bytes::copy_from_slice(key.expose())).unwrap_or_default(),
            ca_der: ders(&self.ca),
            ocsp_staple: self.ocsp.clone(),
        }
    }

    /// What may be known about it outside the keyring.
    #[must_use]
    pub fn facts(&self) -> SecretFacts {
        SecretFacts {
            digest: self.digest,
            has_certificate: !self.chain.is_empty(),
            has_ca: !self.ca.is_empty(),
            ..SecretFacts::default()
        }
    }

    /// When the leaf certificate ends, in seconds of Unix time; `None` without a chain.
    #[must_use]
    pub fn not_after(&self) -> Option<i64> {
        self.not_after
    }
}

fn blank(pem: &[u8]) -> bool {
    pem.iter().all(u8::is_ascii_whitespace)
}

fn invalid(part: &str, reason: &str) -> Unusable {
    Unusable::Invalid(format!("{part}: {reason}"))
}

fn describe(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "no PEM block of the expected kind found".to_owned(),
        pem::Error::Base64Decode(_) => "the PEM block is not valid base64".to_owned(),
        other => other.to_string(),
    }
}

fn certificates(part: &str, pem: Option<&[u8]>) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let Some(pem) = pem.filter(|pem| !blank(pem)) else { return Ok(Vec::new()) };
    let list = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| invalid(part, &describe(&error)))?;
    if list.is_empty() {
        return Err(invalid(part, "no PEM block of the expected kind found"));
    }
    Ok(list)
}

fn check_anchors(ca: &[CertificateDer<'static>]) -> Result<(), Unusable> {
    let mut store = RootCertStore::empty();
    for (i, der) in ca.iter().enumerate() {
        store
            .add(der.clone())
            .map_err(|error| invalid(&format!("root CA, certificate {}", i + 1), &error.to_string()))?;
    }
    Ok(())
}

fn not_after(leaf: &CertificateDer<'static>) -> Result<i64, Unusable> {
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| {
        invalid("certificate chain", "the first certificate is not a valid X.509 certificate")
    })?;
    Ok(parsed.validity().not_after.timestamp())
}

fn check_pair(chain: &[CertificateDer<'static>], key: &PrivateKeyDer<'static>) -> Result<(), Unusable> {
    let key = any_supported_type(key).map_err(|error| invalid("private key", &error.to_string()))?;
    CertifiedKey::new(chain.to_vec(), key).keys_match().map_err(|error| {
        Unusable::Invalid(match error {
            rustls::Error::InconsistentKeys(_) => {
                "the private key does not belong to the certificate".to_owned()
            }
            other => other.to_string(),
        })
    })
}

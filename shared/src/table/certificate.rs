//! Key material, decoded from DER. The only table type with secret bytes: no `Debug` of content, no serialisation.

use std::{fmt, sync::Arc};

use portcullis_proto::table::v1 as wire;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::field::required;
use crate::{Invalid, Sensitive};

/// A certificate chain with its key, a CA, or both.
#[derive(Clone)]
pub struct Certificate {
    /// `<namespace>.<name>`, or `file:<hash>`.
    pub name: Arc<str>,
    /// Leaf first; empty for a CA alone.
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS#8, PKCS#1 or SEC1 DER of the leaf's key. `None` without a chain, and in a form restored without its key.
    pub key: Option<Sensitive<Vec<u8>>>,
    /// What signs the peers' certificates; empty = peers are not verified by this one.
    pub ca: Vec<CertificateDer<'static>>,
    /// DER of an OCSP response for the leaf.
    pub ocsp: Option<Vec<u8>>,
}

impl Certificate {
    /// The key in the form rustls takes; `None` when there is no key.
    pub fn private_key(&self) -> Option<PrivateKeyDer<'static>> {
        PrivateKeyDer::try_from(self.key.as_ref()?.expose().clone()).ok()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("name", &self.name).finish_non_exhaustive()
    }
}

impl TryFrom<wire::Certificate> for Certificate {
    type Error = Invalid;

    fn try_from(wire: wire::Certificate) -> Result<Self, Invalid> {
        if wire.chain_der.is_empty() {
            if !wire.key_der.is_empty() {
                return Err(Invalid::new("key_der", "a key without a chain"));
            }
            if wire.ca_der.is_empty() {
                return Err(Invalid::new("chain_der", "neither a chain nor a CA"));
            }
        }
        let key = (!wire.key_der.is_empty()).then(|| Sensitive::new(wire.key_der.to_vec()));
        if key.as_ref().is_some_and(|key| PrivateKeyDer::try_from(key.expose().as_slice()).is_err()) {
            return Err(Invalid::new("key_der", "not a private key in PKCS#8, PKCS#1 or SEC1 form"));
        }
        Ok(Self {
            name: required("name", wire.name)?,
            chain: ders("chain_der", &wire.chain_der)?,
            key,
            ca: ders("ca_der", &wire.ca_der)?,
            ocsp: (!wire.ocsp_staple.is_empty()).then(|| wire.ocsp_staple.to_vec()),
        })
    }
}

fn ders(field: &str, list: &[bytes::Bytes]) -> Result<Vec<CertificateDer<'static>>, Invalid> {
    let der = |(i, der): (usize, &bytes::Bytes)| match der.is_empty() {
        true => Err(Invalid::new(format!("{field}[{i}]"), "must not be empty")),
        false => Ok(CertificateDer::from(der.to_vec())),
    };
    list.iter().enumerate().map(der).collect()
}

#[cfg(test)]
mod tests;

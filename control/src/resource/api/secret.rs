//! Secret: TLS material, in Kubernetes' form or in Gloo's own.

use std::fmt;
use std::sync::Arc;

use portcullis_shared::sensitive::Sensitive;
use portcullis_shared::version::Digest;

/// A TLS secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secret {
    /// The material.
    pub tls: TlsSecret,
}

/// TLS material: whatever of it was given. Compares by digest and shows only that.
#[derive(Clone, Default)]
pub struct TlsSecret {
    /// Certificate chain, PEM.
    pub cert_chain: Option<Arc<Sensitive<Vec<u8>>>>,
    /// Private key, PEM.
    pub private_key: Option<Arc<Sensitive<Vec<u8>>>>,
    /// CA certificates, PEM.
    pub root_ca: Option<Arc<Sensitive<Vec<u8>>>>,
    /// OCSP staple, DER.
    pub ocsp_staple: Option<Arc<Sensitive<Vec<u8>>>>,
    /// Digest over the four.
    pub digest: Digest,
}

impl PartialEq for TlsSecret {
    fn eq(&self, other: &TlsSecret) -> bool {
        self.digest == other.digest
    }
}

impl Eq for TlsSecret {}

impl fmt::Debug for TlsSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsSecret({})", self.digest)
    }
}

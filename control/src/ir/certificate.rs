//! Where key material comes from. A name for it; the bytes stay with the keyring.

use std::sync::Arc;

/// One set of key material that a listener or an upstream uses.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CertificateSource {
    /// A TLS Secret.
    Secret {
        /// Its namespace.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
    },
    /// Files of the machine that control runs on; each may also be PEM text itself.
    Files {
        /// Certificate chain.
        cert: Option<Arc<str>>,
        /// Private key.
        key: Option<Arc<str>>,
        /// Certificate authorities.
        root_ca: Option<Arc<str>>,
        /// DER of an OCSP response.
        ocsp: Option<Arc<str>>,
    },
}

impl CertificateSource {
    /// The name of the wire resource: `<namespace>.<name>`, or `file:<hash>` over the paths.
    pub fn name(&self) -> Arc<str> {
        match self {
            Self::Secret { namespace, name } => format!("{namespace}.{name}").into(),
            Self::Files {
                cert,
                key,
                root_ca,
                ocsp,
            } => {
                let mut hasher = blake3::Hasher::new();
                for part in [cert, key, root_ca, ocsp] {
                    let text = part.as_deref().unwrap_or_default();
                    hasher.update(&(text.len() as u64).to_le_bytes());
                    hasher.update(text.as_bytes());
                }
                let hex = hasher.finalize().to_hex();
                format!("file:{}", hex.get(..16).unwrap_or_default()).into()
            }
        }
    }
}

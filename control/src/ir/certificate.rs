//! Where key material comes from, and whatever else stands in files beside the configuration. A name for it; the bytes
//! stay with the keyring.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use portcullis_shared::sensitive::Sensitive;
use portcullis_shared::version::Digest;

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
    /// Files of the machine that control runs on; the text of each may also stand in place of its path.
    Files {
        /// Certificate chain.
        cert: Option<Arc<str>>,
        /// Private key.
        key: Option<KeySource>,
        /// Certificate authorities.
        root_ca: Option<Arc<str>>,
        /// DER of an OCSP response.
        ocsp: Option<Arc<str>>,
    },
    /// A file with descriptors of gRPC services. No key material: workers get it within a policy.
    Descriptor {
        /// Its path.
        path: Arc<str>,
    },
    /// Secrets of an SDS server, which control asks.
    Sds(Arc<Sds>),
}

/// Secrets of an SDS server. At least one of them is named.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sds {
    /// Host and port, or `unix:` and a path.
    pub server: Arc<str>,
    /// Certificate chain and key.
    pub certificates: Option<Arc<str>>,
    /// Certificate authorities.
    pub validation: Option<Arc<str>>,
    /// What the server wants to know of control.
    pub token: Option<SdsToken>,
}

/// The content of a file, sent with each call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SdsToken {
    /// Path.
    pub file: Arc<str>,
    /// Metadata key.
    pub header: Arc<str>,
}

impl CertificateSource {
    /// It is known only once it has been asked for: files, and what servers have.
    pub fn is_asked_for(&self) -> bool {
        !matches!(self, Self::Secret { .. })
    }

    /// The name of the wire resource: `<namespace>.<name>`, or `file:<hash>` or `sds:<hash>` over what names it.
    pub fn name(&self) -> Arc<str> {
        match self {
            Self::Secret { namespace, name } => format!("{namespace}.{name}").into(),
            Self::Descriptor { path } => format!("descriptor:{path}").into(),
            Self::Files { cert, key, root_ca, ocsp } => {
                let key = key.as_ref().map(|key| match key {
                    KeySource::Path(path) => Arc::clone(path),
                    KeySource::Inline { digest, .. } => digest.to_string().into(),
                });
                hashed("file", [cert, &key, root_ca, ocsp].map(|part| part.as_deref()))
            }
            Self::Sds(sds) => {
                let token = sds.token.as_ref();
                let parts = [
                    Some(&*sds.server),
                    sds.certificates.as_deref(),
                    sds.validation.as_deref(),
                    token.map(|token| &*token.file),
                    token.map(|token| &*token.header),
                ];
                hashed("sds", parts)
            }
        }
    }
}

fn hashed<const N: usize>(kind: &str, parts: [Option<&str>; N]) -> Arc<str> {
    let mut hasher = blake3::Hasher::new();
    for text in parts.map(Option::unwrap_or_default) {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    let hex = hasher.finalize().to_hex();
    format!("{kind}:{}", hex.get(..16).unwrap_or_default()).into()
}

/// A private key: its file, or a key that stands in the resource. Compares by path or digest and never shows the key.
#[derive(Clone)]
pub enum KeySource {
    /// Path of the file.
    Path(Arc<str>),
    /// The key itself.
    Inline {
        /// Over its text.
        digest: Digest,
        /// Its text; `None` when the resource was made again from a stored form, which holds no keys.
        pem: Option<Arc<Sensitive<String>>>,
    },
}

impl KeySource {
    fn identity(&self) -> Result<&str, &Digest> {
        match self {
            Self::Path(path) => Ok(path),
            Self::Inline { digest, .. } => Err(digest),
        }
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{path:?}"),
            Self::Inline { digest, .. } => write!(f, "inline:{digest}"),
        }
    }
}

impl PartialEq for KeySource {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for KeySource {}

impl PartialOrd for KeySource {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for KeySource {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl Hash for KeySource {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

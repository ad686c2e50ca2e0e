//! `sslConfig` of VirtualServices and Upstreams.

use std::fmt;
use std::sync::Arc;

use portcullis_shared::sensitive::Sensitive;
use portcullis_shared::version::Digest;
use serde::{Deserialize, Deserializer};

use super::reference::Ref;
use super::scalar::GoDuration;
use super::sds::SdsConfig;

/// `sslConfig` of a VirtualService.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SslConfig {
    /// A TLS Secret. At most one of `secretRef`, `sslFiles` and `sds` is set.
    pub secret_ref: Option<Ref>,
    /// Files, or text in place of them.
    pub ssl_files: Option<SslFiles>,
    /// Secrets of a server.
    pub sds: Option<SdsConfig>,
    /// Server names; empty = all.
    pub sni_domains: Vec<String>,
    /// Names of which a client certificate must have one.
    pub verify_subject_alt_name: Vec<String>,
    /// Versions, ciphers, curves.
    pub parameters: Option<SslParameters>,
    /// Protocols to offer; empty = `h2`, `http/1.1`; `allow_empty` alone = none.
    pub alpn_protocols: Vec<String>,
    /// Never ask for a client certificate.
    pub one_way_tls: Option<bool>,
    /// No stateless tickets.
    pub disable_tls_session_resumption: Option<bool>,
    /// Limit of the handshake.
    pub transport_socket_connect_timeout: Option<GoDuration>,
    /// What happens when the OCSP staple is missing or old.
    pub ocsp_staple_policy: OcspStaplePolicy,
}

/// `sslConfig` of an Upstream.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpstreamSslConfig {
    /// A TLS Secret. At most one of `secretRef`, `sslFiles` and `sds` is set.
    pub secret_ref: Option<Ref>,
    /// Files, or text in place of them.
    pub ssl_files: Option<SslFiles>,
    /// Secrets of a server.
    pub sds: Option<SdsConfig>,
    /// Server name to send.
    pub sni: String,
    /// Names of which the server's certificate must have one.
    pub verify_subject_alt_name: Vec<String>,
    /// Versions, ciphers, curves.
    pub parameters: Option<SslParameters>,
    /// Protocols to offer.
    pub alpn_protocols: Vec<String>,
    /// Never send a client certificate.
    pub one_way_tls: Option<bool>,
}

/// `sslFiles`: paths in the proxy's file system, or PEM text in their place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SslFiles {
    /// Certificate chain.
    pub tls_cert: String,
    /// Private key.
    pub tls_key: Option<KeyFile>,
    /// CA certificates.
    pub root_ca: String,
    /// OCSP staple.
    pub ocsp_staple: String,
}

/// A private key: the path of its file, or the key itself. Compares by path or digest; never shows the key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyFile {
    /// Path.
    Path(Arc<str>),
    /// PEM text that stands in the resource.
    Inline(InlineKey),
}

/// A private key that stands in a resource.
#[derive(Clone)]
pub struct InlineKey {
    /// Digest of its text.
    pub digest: Digest,
    /// Its text; `None` when the resource was made again from its stored document, which holds no key.
    pub pem: Option<Arc<Sensitive<String>>>,
}

impl InlineKey {
    /// How the stored document names the key.
    pub(crate) const MARK: &'static str = "inline:";
}

impl PartialEq for InlineKey {
    fn eq(&self, other: &InlineKey) -> bool {
        self.digest == other.digest
    }
}

impl Eq for InlineKey {}

impl PartialOrd for InlineKey {
    fn partial_cmp(&self, other: &InlineKey) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for InlineKey {
    fn cmp(&self, other: &InlineKey) -> std::cmp::Ordering {
        self.digest.cmp(&other.digest)
    }
}

impl std::hash::Hash for InlineKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyFile::Path(path) => write!(f, "Path({path:?})"),
            KeyFile::Inline(key) => write!(f, "Inline({})", key.digest),
        }
    }
}

impl<'de> Deserialize<'de> for KeyFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KeyFile, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.contains("-----BEGIN") {
            let digest = Digest::of(text.as_bytes());
            return Ok(KeyFile::Inline(InlineKey { digest, pem: Some(Arc::new(Sensitive::new(text))) }));
        }
        if let Some(digest) = text.strip_prefix(InlineKey::MARK).and_then(parse_digest) {
            return Ok(KeyFile::Inline(InlineKey { digest, pem: None }));
        }
        Ok(KeyFile::Path(text.into()))
    }
}

fn parse_digest(hex: &str) -> Option<Digest> {
    if hex.len() != 32 || !hex.is_ascii() {
        return None;
    }
    let bytes = (0..32).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok());
    Digest::from_slice(&bytes.collect::<Option<Vec<u8>>>()?)
}

/// `parameters`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SslParameters {
    /// Oldest version.
    pub minimum_protocol_version: ProtocolVersion,
    /// Newest version.
    pub maximum_protocol_version: ProtocolVersion,
    /// OpenSSL names of TLS 1.2 suites; empty = default.
    pub cipher_suites: Vec<String>,
    /// Curves; empty = default.
    pub ecdh_curves: Vec<String>,
}

/// A TLS version. The order is that of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "named as in the API")]
pub enum ProtocolVersion {
    #[default]
    #[serde(rename = "TLS_AUTO")]
    Auto,
    #[serde(rename = "TLSv1_0")]
    Tls10,
    #[serde(rename = "TLSv1_1")]
    Tls11,
    #[serde(rename = "TLSv1_2")]
    Tls12,
    #[serde(rename = "TLSv1_3")]
    Tls13,
}

/// `ocspStaplePolicy`. The order is that of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum OcspStaplePolicy {
    #[default]
    LenientStapling,
    StrictStapling,
    MustStaple,
}

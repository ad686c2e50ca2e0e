//! TLS settings, checked against what the data plane offers.

use std::sync::Arc;
use std::time::Duration;

use super::CertificateSource;

/// Versions that are offered at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum TlsVersion {
    /// The widest offered range.
    #[default]
    Auto,
    /// TLS 1.2 (RFC 5246).
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

/// Versions, suites and curves. Empty lists mean the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TlsParameters {
    /// Lowest version.
    pub min: TlsVersion,
    /// Highest version.
    pub max: TlsVersion,
    /// OpenSSL names of TLS 1.2 suites that are offered.
    pub cipher_suites: Vec<Arc<str>>,
    /// Key exchange groups that are offered.
    pub curves: Vec<Arc<str>>,
}

/// What to do when an OCSP staple is missing or too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum OcspPolicy {
    /// Staple when there is a valid one.
    #[default]
    Lenient,
    /// An expired staple breaks the chain.
    Strict,
    /// A valid staple is required.
    Must,
}

/// Termination of client connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DownstreamTls {
    /// Certificate and key, and the authorities of clients.
    pub certificate: CertificateSource,
    /// Clients must show a certificate that the authorities signed.
    pub require_client_certificate: bool,
    /// Exact names, one of which the client certificate must have; empty = any.
    pub verify_subject_alt_names: Vec<Arc<str>>,
    /// Versions, suites, curves.
    pub parameters: TlsParameters,
    /// In order of preference; empty = no ALPN.
    pub alpn: Vec<Arc<str>>,
    /// No tickets and no session ids.
    pub disable_session_resumption: bool,
    /// Limit of the handshake.
    pub handshake_timeout: Option<Duration>,
    /// OCSP stapling.
    pub ocsp_policy: OcspPolicy,
}

/// TLS towards an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpstreamTls {
    /// Server name where the endpoint has none of its own.
    pub sni: Option<Arc<str>>,
    /// Authorities that the server's chain is verified with; `None` = not verified.
    pub ca: Option<CertificateSource>,
    /// What is presented to the server.
    pub client: Option<CertificateSource>,
    /// Exact names, one of which the server certificate must have.
    pub verify_subject_alt_names: Vec<Arc<str>>,
    /// Versions, suites, curves.
    pub parameters: TlsParameters,
    /// Offered protocols.
    pub alpn: Vec<Arc<str>>,
    /// The certificate must be for the name that is asked for.
    pub verify_server_name: bool,
}

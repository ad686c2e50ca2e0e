//! What is known about a request and its connection, for policies and format operators. Borrowed, never allocated for.

use std::net::SocketAddr;
use std::time::SystemTime;

use portcullis_shared::table::Place;
use rustls_pki_types::CertificateDer;

/// What the handshake with the client settled. One per connection.
#[derive(Debug, Clone)]
pub struct TlsFacts {
    /// "TLSv1.2" or "TLSv1.3".
    pub version: &'static str,
    /// OpenSSL name of the cipher suite.
    pub cipher: &'static str,
    /// ALPN chose HTTP/2.
    pub http2: bool,
    /// The client's verified certificate.
    pub peer_certificate: Option<CertificateDer<'static>>,
}

/// One request's facts. `method`, `authority` and `path` are those that the client sent, before any rewrite.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The client: the TCP peer, or what the PROXY protocol said.
    pub client: SocketAddr,
    /// The TCP peer itself.
    pub direct: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
    /// The server name of the handshake.
    pub sni: Option<&'a str>,
    /// Present on TLS connections.
    pub tls: Option<&'a TlsFacts>,
    /// HTTP version of the request.
    pub protocol: http::Version,
    /// When the request's header was complete.
    pub started: SystemTime,
    /// Request method.
    pub method: &'a str,
    /// "http" or "https".
    pub scheme: &'a str,
    /// Host or `:authority`.
    pub authority: &'a str,
    /// Path with query.
    pub path: &'a str,
    /// Name of the route that matched.
    pub route_name: &'a str,
    /// Name of the chosen upstream.
    pub upstream: Option<&'a str>,
    /// The endpoint of the last try; none before the first.
    pub upstream_host: Option<&'a Place>,
    /// Tries so far.
    pub attempts: u32,
    /// Why the gateway answers itself, when it does.
    pub reason: Option<&'a str>,
    /// Envoy's response flags; "-" for none.
    pub flags: &'a str,
    /// Bytes of a body that may be kept.
    pub buffer_limit: usize,
}

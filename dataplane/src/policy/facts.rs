//! What is known about a request and its connection, for policies and format operators. Borrowed, never allocated for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// What the handshake with the client settled. One per connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// "TLSv1.2" or "TLSv1.3".
    pub version: &'static str,
    /// OpenSSL name of the cipher suite, as Envoy prints it.
    pub cipher: &'static str,
    /// The protocol chosen by ALPN.
    pub alpn: Option<Arc<str>>,
    /// Subject of the client's certificate, RFC 2253.
    pub peer_subject: Option<Arc<str>>,
    /// Issuer of the client's certificate, RFC 2253.
    pub peer_issuer: Option<Arc<str>>,
    /// URI names of the client's certificate.
    pub peer_uri_sans: Vec<Arc<str>>,
    /// DNS names of the client's certificate.
    pub peer_dns_sans: Vec<Arc<str>>,
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
    pub upstream_host: Option<SocketAddr>,
    /// Tries so far.
    pub attempts: u32,
}

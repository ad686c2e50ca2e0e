//! How connections to an upstream are made and kept, and how HTTP is spoken on them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::UpstreamTls;

/// How connections are made and kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Connections {
    /// Each begins with the addresses of the client that it is for.
    pub proxy_protocol: Option<ProxyVersion>,
    /// The endpoints are proxies, through which they go.
    pub http_connect: Option<HttpConnect>,
    /// `None` = off.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Of a connection without requests; zero = no limit.
    pub idle_timeout: Option<Duration>,
    /// Bytes that wait for an endpoint.
    pub buffer_limit: Option<u32>,
    /// Those that are made in advance.
    pub preconnect: Option<Preconnect>,
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// A tunnel by CONNECT.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConnect {
    /// Host and port that the proxy is asked for.
    pub authority: Arc<str>,
    /// Further fields of the request.
    pub headers: Vec<ConnectHeader>,
    /// Towards the proxy.
    pub tls: Option<UpstreamTls>,
}

/// A field of a request for a tunnel. Never shows its value.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectHeader {
    /// Lower case.
    pub name: Arc<str>,
    /// May be a secret.
    pub value: Arc<str>,
}

impl fmt::Debug for ConnectHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectHeader").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Probes of silent connections; 0 = the system's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpKeepalive {
    /// Unanswered ones that end a connection.
    pub probes: u32,
    /// Seconds of silence before the first.
    pub time: u32,
    /// Seconds between two.
    pub interval: u32,
}

/// Connections for each request under way; 1 to 3.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preconnect {
    /// At the endpoint of the request.
    pub per_endpoint: f64,
    /// Over all endpoints.
    pub ahead: f64,
}

/// How HTTP is spoken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamHttp {
    /// The version that the client speaks.
    pub as_downstream: bool,
    /// Most fields of an answer; 0 = the worker's.
    pub header_fields: u32,
    /// For each try; `None` = no limit.
    pub max_stream: Option<Duration>,
    /// How names of fields are written in HTTP/1.
    pub header_case: HeaderCase,
    /// HTTP/1 has trailers.
    pub trailers: bool,
    /// Receive window of a stream.
    pub stream_window: Option<u32>,
    /// Receive window of an HTTP/2 connection.
    pub connection_window: Option<u32>,
    /// Streams on one HTTP/2 connection.
    pub max_concurrent_streams: Option<u32>,
}

/// How names of fields are written in HTTP/1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HeaderCase {
    /// `content-type`.
    #[default]
    Lower,
    /// `Content-Type`, in requests.
    Proper,
    /// Those of answers stay as they came.
    Preserve,
}

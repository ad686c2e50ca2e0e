//! `connectionConfig` of an Upstream, and its other options about connections.

use std::fmt;

use serde::Deserialize;

use super::scalar::GoDuration;

/// `connectionConfig`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionConfig {
    /// 0 = no limit.
    pub max_requests_per_connection: u32,
    /// Absent = 5 s.
    pub connect_timeout: Option<GoDuration>,
    /// Absent = off.
    pub tcp_keepalive: Option<TcpKeepAlive>,
    /// Absent = 1 MiB.
    pub per_connection_buffer_limit_bytes: Option<u32>,
    /// For both versions of HTTP.
    pub common_http_protocol_options: Option<HttpProtocolOptions>,
    /// For HTTP/1.
    pub http1_protocol_options: Option<Http1ProtocolOptions>,
}

/// `tcpKeepalive`. 0 = the system's.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpKeepAlive {
    /// Unanswered ones that end a connection.
    pub keepalive_probes: u32,
    /// Of silence before the first; whole seconds.
    pub keepalive_time: Option<GoDuration>,
    /// Between two; whole seconds.
    pub keepalive_interval: Option<GoDuration>,
}

/// `commonHttpProtocolOptions`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpProtocolOptions {
    /// Of a connection without requests; 0 = none.
    pub idle_timeout: Option<GoDuration>,
    /// Of an answer; 0 = 100.
    pub max_headers_count: u32,
    /// Of a try.
    pub max_stream_duration: Option<GoDuration>,
    /// About requests of clients; Envoy reads it at listeners only.
    pub headers_with_underscores_action: UpstreamUnderscoresAction,
}

/// `headersWithUnderscoresAction`. The order is that of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum UpstreamUnderscoresAction {
    #[default]
    Allow,
    RejectRequest,
    DropHeader,
}

/// `http1ProtocolOptions`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Http1ProtocolOptions {
    /// Trailers pass.
    pub enable_trailers: bool,
    /// `Content-Type`, in requests.
    pub proper_case_header_key_format: Option<bool>,
    /// Names of an answer's fields stay as they came.
    pub preserve_case_header_key_format: Option<bool>,
    /// What an invalid message ends; there is one stream on a connection.
    pub override_stream_error_on_invalid_http_message: Option<bool>,
}

/// One of `httpConnectHeaders`.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpConnectHeader {
    /// Name.
    pub key: String,
    /// May be a secret.
    pub value: String,
}

impl fmt::Debug for HttpConnectHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConnectHeader").field("key", &self.key).finish_non_exhaustive()
    }
}

/// `protocolSelection`. The order is that of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum ClusterProtocolSelection {
    #[default]
    UseConfiguredProtocol,
    UseDownstreamProtocol,
}

/// `preconnectPolicy`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PreconnectPolicy {
    /// Connections for each request, at its endpoint; 1 to 3.
    pub per_upstream_preconnect_ratio: Option<f64>,
    /// Connections for each request, over all endpoints; 1 to 3.
    pub predictive_preconnect_ratio: Option<f64>,
}

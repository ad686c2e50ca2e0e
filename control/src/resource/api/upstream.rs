//! Upstream and UpstreamGroup: where traffic goes.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::connection_config::{
    ClusterProtocolSelection, ConnectionConfig, HttpConnectHeader, PreconnectPolicy,
};
use super::grpc_json_transcoder::ServiceSpec;
use super::health_check::{HealthCheck, OutlierDetection};
use super::load_balancer::{HostMetadata, LoadBalancerConfig, SubsetSpec};
use super::route::WeightedDestination;
use super::scalar::GoDuration;
use super::ssl::UpstreamSslConfig;

/// The `spec` of an Upstream.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Upstream {
    /// A fixed list of hosts. At most one type is set, see [`Upstream::upstream_type`].
    #[serde(rename = "static")]
    pub static_hosts: Option<StaticUpstream>,
    /// A unix socket.
    pub pipe: Option<PipeUpstream>,
    /// TLS towards the upstream; absent = plain unless the type says otherwise.
    pub ssl_config: Option<UpstreamSslConfig>,
    /// How an endpoint is chosen.
    pub load_balancer_config: Option<LoadBalancerConfig>,
    /// Connections.
    pub connection_config: Option<ConnectionConfig>,
    /// HTTP/2 with prior knowledge, or by ALPN with TLS.
    pub use_http2: Option<bool>,
    /// Whether the client's version of HTTP is spoken.
    pub protocol_selection: ClusterProtocolSelection,
    /// Bytes of a stream that an endpoint may send unasked.
    pub initial_stream_window_size: Option<u32>,
    /// Bytes of an HTTP/2 connection that an endpoint may send unasked.
    pub initial_connection_window_size: Option<u32>,
    /// Streams on one HTTP/2 connection.
    pub max_concurrent_streams: Option<u32>,
    /// Whether an invalid message ends its stream only, which it always does.
    pub override_stream_error_on_invalid_http_message: Option<bool>,
    /// `V1` or `V2`: each connection begins with the addresses of the client.
    pub proxy_protocol_version: Option<String>,
    /// Host and port that an HTTP proxy, which the endpoints are, is asked to connect to.
    pub http_proxy_hostname: Option<String>,
    /// Fields of the request to the proxy.
    pub http_connect_headers: Vec<HttpConnectHeader>,
    /// TLS towards the proxy.
    pub http_connect_ssl_config: Option<UpstreamSslConfig>,
    /// Names are looked up when their TTL ends.
    pub respect_dns_ttl: Option<bool>,
    /// Names are looked up so often; absent = 5 s.
    pub dns_refresh_rate: Option<GoDuration>,
    /// Connections that are made in advance.
    pub preconnect_policy: Option<PreconnectPolicy>,
    /// How much of it is used at one time; replaces the one of Settings as a whole.
    pub circuit_breakers: Option<CircuitBreakerConfig>,
    /// Active checks; one at most.
    pub health_checks: Vec<HealthCheck>,
    /// Passive checks.
    pub outlier_detection: Option<OutlierDetection>,
    /// Endpoints that discovery no longer has go at once, healthy or not.
    pub ignore_health_on_host_removal: Option<bool>,
    /// What discovery knew of the Service; information only.
    pub discovery_metadata: Option<DiscoveryMetadata>,
}

/// The type of an Upstream.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "each variant is the field of its name")]
pub enum UpstreamType<'a> {
    Static(&'a StaticUpstream),
    Pipe(&'a PipeUpstream),
}

impl Upstream {
    /// Its type, if one is set.
    pub fn upstream_type(&self) -> Option<UpstreamType<'_>> {
        let pipe = self.pipe.as_ref().map(UpstreamType::Pipe);
        pipe.or_else(|| self.static_hosts.as_ref().map(UpstreamType::Static))
    }
}

/// `static`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StaticUpstream {
    /// The hosts.
    pub hosts: Vec<StaticHost>,
    /// TLS without verification; absent = if any host has port 443 and there is no `sslConfig`.
    pub use_tls: Option<bool>,
    /// SNI is the host's `sniAddr`, else its `addr`; absent = true.
    pub auto_sni_rewrite: Option<bool>,
    /// Groups of hosts that destinations can ask for.
    pub subset_spec: Option<SubsetSpec>,
    /// What is known of the service there.
    pub service_spec: Option<ServiceSpec>,
}

/// `pipe`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PipeUpstream {
    /// Of the socket.
    pub path: String,
}

/// One host of a static upstream.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StaticHost {
    /// IP address or DNS name.
    pub addr: String,
    /// Port.
    pub port: u32,
    /// Server name to send.
    pub sni_addr: String,
    /// Share; absent = 1.
    pub load_balancing_weight: Option<u32>,
    /// Labels for subsets stand under `envoy.lb`.
    pub metadata: HostMetadata,
}

/// `circuitBreakers`, of an Upstream or of Settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CircuitBreakerConfig {
    /// Absent = 1024.
    pub max_connections: Option<u32>,
    /// Requests that wait for a connection; absent = 1024.
    pub max_pending_requests: Option<u32>,
    /// Absent = 1024.
    pub max_requests: Option<u32>,
    /// Absent = 3.
    pub max_retries: Option<u32>,
    /// Metrics say how much is left.
    pub track_remaining: bool,
}

/// `discoveryMetadata`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DiscoveryMetadata {
    /// Labels of the discovered Service.
    pub labels: BTreeMap<String, String>,
}

/// The `spec` of an UpstreamGroup.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpstreamGroup {
    /// The weighted list.
    pub destinations: Vec<WeightedDestination>,
}

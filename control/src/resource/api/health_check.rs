//! `healthChecks` and `outlierDetection` of an Upstream: which endpoints are fit for requests.

use serde::Deserialize;

use super::headers::{HeaderValue, HeaderValueOption};
use super::rate_limit::Int64Range;
use super::scalar::GoDuration;

/// One of `healthChecks`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// Limit of one check; needed.
    pub timeout: Option<GoDuration>,
    /// Needed.
    pub interval: Option<GoDuration>,
    /// The first check comes within this time.
    pub initial_jitter: Option<GoDuration>,
    /// Up to so much is added to each interval.
    pub interval_jitter: Option<GoDuration>,
    /// Up to so much of the interval is added to it.
    pub interval_jitter_percent: u32,
    /// Needed.
    pub unhealthy_threshold: Option<u32>,
    /// Needed.
    pub healthy_threshold: Option<u32>,
    /// Absent = true.
    pub reuse_connection: Option<bool>,
    /// Exactly one of the three is set, see [`HealthCheck::checker`].
    pub http_health_check: Option<HttpHealthCheck>,
    /// A connection, or bytes on it.
    pub tcp_health_check: Option<TcpHealthCheck>,
    /// `grpc.health.v1`.
    pub grpc_health_check: Option<GrpcHealthCheck>,
    /// While the upstream never had a request; absent = 60 s.
    pub no_traffic_interval: Option<GoDuration>,
    /// Absent = `interval`.
    pub unhealthy_interval: Option<GoDuration>,
    /// Once after an endpoint has become unhealthy; absent = `unhealthyInterval`.
    pub unhealthy_edge_interval: Option<GoDuration>,
    /// Once after an endpoint has become healthy; absent = `interval`.
    pub healthy_edge_interval: Option<GoDuration>,
    /// A file of JSON lines.
    pub event_log_path: String,
    /// Every failure is written there, not only the first.
    pub always_log_health_check_failures: bool,
}

/// What a check asks.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "each variant is the field of its name")]
pub enum HealthChecker<'a> {
    Http(&'a HttpHealthCheck),
    Tcp(&'a TcpHealthCheck),
    Grpc(&'a GrpcHealthCheck),
}

impl HealthCheck {
    /// What it asks, if that is set.
    pub fn checker(&self) -> Option<HealthChecker<'_>> {
        let grpc = self.grpc_health_check.as_ref().map(HealthChecker::Grpc);
        let tcp = || self.tcp_health_check.as_ref().map(HealthChecker::Tcp);
        let http = || self.http_health_check.as_ref().map(HealthChecker::Http);
        grpc.or_else(tcp).or_else(http)
    }
}

/// `httpHealthCheck`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpHealthCheck {
    /// Empty = the upstream's name.
    pub host: String,
    /// Needed.
    pub path: String,
    /// Empty = GET.
    pub method: CheckMethod,
    /// Whom the answer must name.
    pub service_name: String,
    /// Added to the request.
    pub request_headers_to_add: Vec<HeaderValueOption>,
    /// Removed from the request.
    pub request_headers_to_remove: Vec<String>,
    /// HTTP/2 by prior knowledge.
    pub use_http2: bool,
    /// Statuses of health; empty = 200.
    pub expected_statuses: Vec<Int64Range>,
}

/// `method` of a check. The order is that of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum CheckMethod {
    #[default]
    MethodUnspecified,
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
}

/// `tcpHealthCheck`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpHealthCheck {
    /// Absent = a connection is enough.
    pub send: Option<Payload>,
    /// Found in this order, not necessarily side by side.
    pub receive: Vec<Payload>,
}

/// Bytes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Payload {
    /// In hexadecimal digits.
    pub text: String,
}

/// `grpcHealthCheck`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcHealthCheck {
    /// Empty = the server as a whole.
    pub service_name: String,
    /// Empty = the upstream's name.
    pub authority: String,
    /// Added to the request.
    pub initial_metadata: Vec<HeaderValueOption>,
}

impl HeaderValueOption {
    /// Name and value, and whether they are added to what is there.
    pub fn parts(&self) -> Option<(&HeaderValue, bool)> {
        self.header.as_ref().map(|header| (header, self.append.unwrap_or(true)))
    }
}

/// `outlierDetection`. Fields are named as in Envoy's API and have its defaults.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "see above")]
pub struct OutlierDetection {
    pub consecutive_5xx: Option<u32>,
    /// Needed.
    pub interval: Option<GoDuration>,
    pub base_ejection_time: Option<GoDuration>,
    pub max_ejection_percent: Option<u32>,
    pub enforcing_consecutive_5xx: Option<u32>,
    pub enforcing_success_rate: Option<u32>,
    pub success_rate_minimum_hosts: Option<u32>,
    pub success_rate_request_volume: Option<u32>,
    pub success_rate_stdev_factor: Option<u32>,
    pub consecutive_gateway_failure: Option<u32>,
    pub enforcing_consecutive_gateway_failure: Option<u32>,
    pub split_external_local_origin_errors: bool,
    pub consecutive_local_origin_failure: Option<u32>,
    pub enforcing_consecutive_local_origin_failure: Option<u32>,
    pub enforcing_local_origin_success_rate: Option<u32>,
}

//! Which endpoints of an upstream are fit for requests.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Active checks. `None` of a duration = it follows from the others.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthCheck {
    /// Limit of one check.
    pub timeout: Duration,
    /// Between two checks.
    pub interval: Duration,
    /// Failures in a row; at least 1.
    pub unhealthy_threshold: u32,
    /// Passes in a row; at least 1.
    pub healthy_threshold: u32,
    /// The first check comes within this time.
    pub initial_jitter: Duration,
    /// Up to so much is added to each interval.
    pub interval_jitter: Duration,
    /// Up to so much of the interval is added to it.
    pub interval_jitter_percent: u32,
    /// The connection of one check serves the next.
    pub reuse_connection: bool,
    /// While the upstream never had a request.
    pub no_traffic_interval: Option<Duration>,
    /// Of unhealthy endpoints.
    pub unhealthy_interval: Option<Duration>,
    /// Once after an endpoint has become unhealthy.
    pub unhealthy_edge_interval: Option<Duration>,
    /// Once after an endpoint has become healthy.
    pub healthy_edge_interval: Option<Duration>,
    /// A file of JSON lines.
    pub event_log: Option<Arc<str>>,
    /// Every failure is written there.
    pub always_log_failures: bool,
    /// What is asked.
    pub checker: Checker,
}

/// What a check asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Checker {
    /// An HTTP request.
    Http(HttpCheck),
    /// A connection, or bytes on it.
    Tcp {
        /// Empty = a connection is enough.
        send: Vec<u8>,
        /// Found in this order.
        receive: Vec<Vec<u8>>,
    },
    /// `grpc.health.v1`.
    Grpc {
        /// May be empty.
        service_name: Arc<str>,
        /// Empty = the upstream's name.
        authority: Arc<str>,
        /// Added to the request.
        metadata: Vec<CheckHeader>,
    },
}

/// An HTTP request and the answers that mean health.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpCheck {
    /// Empty = the upstream's name.
    pub host: Arc<str>,
    /// With its query.
    pub path: Arc<str>,
    /// Empty = GET.
    pub method: &'static str,
    /// Added to the request.
    pub add_headers: Vec<CheckHeader>,
    /// Removed from the request; lower case.
    pub remove_headers: Vec<Arc<str>>,
    /// Empty = 200.
    pub expected: Vec<Range<u32>>,
    /// By prior knowledge.
    pub http2: bool,
    /// Whom the answer must name; empty = anybody.
    pub service_name: Arc<str>,
}

/// A field of a check's request.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckHeader {
    /// Lower case.
    pub name: Arc<str>,
    /// Value.
    pub value: Arc<str>,
    /// Added to what is there; else it replaces that.
    pub append: bool,
}

/// Endpoints on which requests go wrong are left out. `None` = the worker's default.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs, reason = "fields are named as in Envoy's API")]
pub struct OutlierDetection {
    pub interval: Duration,
    pub consecutive_5xx: Option<u32>,
    pub enforcing_consecutive_5xx: Option<u32>,
    pub consecutive_gateway_failure: Option<u32>,
    pub enforcing_consecutive_gateway_failure: Option<u32>,
    pub base_ejection_time: Option<Duration>,
    pub max_ejection_percent: Option<u32>,
    pub enforcing_success_rate: Option<u32>,
    pub success_rate_minimum_hosts: Option<u32>,
    pub success_rate_request_volume: Option<u32>,
    pub success_rate_stdev_factor: Option<u32>,
    pub split_external_local_origin_errors: bool,
    pub consecutive_local_origin_failure: Option<u32>,
    pub enforcing_consecutive_local_origin_failure: Option<u32>,
    pub enforcing_local_origin_success_rate: Option<u32>,
}

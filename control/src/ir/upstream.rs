//! A group of endpoints and how to talk to them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Balancing, Connections, HealthCheck, Labels, Origin, OutlierDetection, Policy, UpstreamHttp, UpstreamTls,
};

/// What a route's destination refers to by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// `<name>_<namespace>`.
    pub name: Arc<str>,
    /// The user's resource.
    pub origin: Origin,
    /// Where requests go.
    pub endpoints: Endpoints,
    /// `None` = plain text.
    pub tls: Option<UpstreamTls>,
    /// HTTP/2 with prior knowledge, or by ALPN with TLS.
    pub http2: bool,
    /// `None` = the worker's default, 5 s.
    pub connect_timeout: Option<Duration>,
    /// 0 = unlimited.
    pub max_requests_per_connection: u32,
    /// How an endpoint is chosen.
    pub balancing: Balancing,
    /// Active checks.
    pub health_check: Option<HealthCheck>,
    /// Passive checks.
    pub outlier_detection: Option<OutlierDetection>,
    /// Endpoints that discovery no longer has go at once, healthy or not.
    pub ignore_health_on_host_removal: bool,
    /// How connections are made and kept.
    pub connections: Connections,
    /// How HTTP is spoken.
    pub http: UpstreamHttp,
    /// `None` = all defaults.
    pub circuit_breakers: Option<CircuitBreakers>,
    /// Of every request that goes there.
    pub policies: Vec<Policy>,
}

/// How much of an upstream a worker uses at one time. `None` = the worker's default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CircuitBreakers {
    /// Open connections.
    pub max_connections: Option<u32>,
    /// Requests that wait for a connection.
    pub max_pending_requests: Option<u32>,
    /// Requests on a connection.
    pub max_requests: Option<u32>,
    /// Retries under way.
    pub max_retries: Option<u32>,
    /// Metrics say how much is left.
    pub track_remaining: bool,
}

/// Where the endpoints of an upstream come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Endpoints {
    /// Known from the resource.
    Fixed(Vec<Endpoint>),
    /// Found by discovery; they travel on the endpoint lane.
    Discovered,
    /// A unix socket of this path.
    Pipe(Arc<str>),
}

/// One address.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// At least 1.
    pub weight: u32,
    /// Server name of this endpoint.
    pub sni: Option<Arc<str>>,
    /// What subsets are made by.
    pub labels: Labels,
}

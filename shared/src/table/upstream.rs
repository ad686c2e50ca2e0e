//! A group of endpoints and how to talk to them.

use std::{sync::Arc, time::Duration};

use portcullis_proto::table::v1 as wire;
use prost_types::Any;

use super::{
    CircuitBreakers, Connections, Endpoint, HealthCheck, LoadBalancer, Origin, OutlierDetection, SlowStart,
    SubsetRules, TlsVersion, UpstreamHttp,
    field::{alpn, each, millis, optional, required, texts},
    listener::versions,
    route::policies,
};
use crate::Invalid;

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_PANIC_THRESHOLD: f64 = 50.0;
const DEFAULT_MERGE_WINDOW: Duration = Duration::from_secs(1);

/// A group of endpoints and how to talk to them.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// `<name>_<namespace>`; the name in metrics and in a cluster header.
    pub name: Arc<str>,
    /// The user's resource.
    pub origin: Origin,
    /// Endpoints known from the resource itself; empty with `dynamic_endpoints`.
    pub endpoints: Vec<Endpoint>,
    /// Endpoints come by the endpoint lane.
    pub dynamic_endpoints: bool,
    /// `None` = plain text.
    pub tls: Option<UpstreamTls>,
    /// HTTP/2: by prior knowledge, or by ALPN with TLS.
    pub http2: bool,
    /// Limit of TCP connect and TLS handshake together.
    pub connect_timeout: Duration,
    /// A connection is closed after so many requests; `None` = never for this reason.
    pub max_requests_per_connection: Option<u32>,
    /// How an endpoint is chosen.
    pub load_balancer: LoadBalancer,
    /// How much of it is used at one time.
    pub circuit_breakers: CircuitBreakers,
    /// Active checks.
    pub health_check: Option<HealthCheck>,
    /// Passive checks.
    pub outlier_detection: Option<OutlierDetection>,
    /// With a smaller share of healthy endpoints, in percent, health is not looked at; 0 to 100.
    pub healthy_panic_threshold: f64,
    /// New endpoints get less than their share.
    pub slow_start: Option<SlowStart>,
    /// Rings and tables are made of names, not of addresses.
    pub hash_by_hostname: bool,
    /// No connection is used longer than its endpoint set.
    pub close_connections_on_host_set_change: bool,
    /// Changes of health within this time are put in force together.
    pub update_merge_window: Duration,
    /// Groups that requests can ask for.
    pub subsets: Option<SubsetRules>,
    /// An endpoint that discovery no longer has is gone at once, healthy or not.
    pub ignore_health_on_host_removal: bool,
    /// How connections are made and kept.
    pub connections: Connections,
    /// How HTTP is spoken.
    pub http: UpstreamHttp,
    /// Of every request that goes there. Replace its route's of the same type.
    pub policies: Vec<Any>,
}

/// TLS towards the endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Server name where the endpoint has none of its own; `None` = no SNI.
    pub sni: Option<Arc<str>>,
    /// Name of the certificate whose CA verifies the server; `None` = the server is not verified.
    pub ca_certificate: Option<Arc<str>>,
    /// Name of the certificate that is presented.
    pub client_certificate: Option<Arc<str>>,
    /// The server must hold one of these names; empty = any that the CA signed.
    pub verify_subject_alt_names: Vec<Arc<str>>,
    /// Offered protocols in order of preference.
    pub alpn: Vec<Arc<str>>,
    /// Lowest version.
    pub min_version: TlsVersion,
    /// Highest version.
    pub max_version: TlsVersion,
    /// OpenSSL names of TLS 1.2 suites; empty = the default.
    pub cipher_suites: Vec<Arc<str>>,
    /// Key exchange groups; empty = the default.
    pub curves: Vec<Arc<str>>,
    /// The certificate must be for the name that is asked for.
    pub verify_server_name: bool,
}

impl TryFrom<wire::Upstream> for Upstream {
    type Error = Invalid;

    fn try_from(wire: wire::Upstream) -> Result<Self, Invalid> {
        if wire.dynamic_endpoints && !wire.endpoints.is_empty() {
            return Err(Invalid::new("endpoints", "given although they are dynamic"));
        }
        Ok(Self {
            name: required("name", wire.name)?,
            origin: Origin::try_from(wire.origin).map_err(|e| e.under("origin"))?,
            endpoints: each("endpoints", wire.endpoints)?,
            dynamic_endpoints: wire.dynamic_endpoints,
            tls: wire.tls.map(UpstreamTls::try_from).transpose().map_err(|e| e.under("tls"))?,
            http2: wire.http2,
            connect_timeout: millis(wire.connect_timeout_ms).unwrap_or(DEFAULT_CONNECT_TIMEOUT),
            max_requests_per_connection: Some(wire.max_requests_per_connection).filter(|n| *n != 0),
            load_balancer: wire.load_balancer.map(LoadBalancer::try_from).transpose()?.unwrap_or_default(),
            circuit_breakers: wire.circuit_breakers.unwrap_or_default().into(),
            health_check: message("health_check", wire.health_check)?,
            outlier_detection: message("outlier_detection", wire.outlier_detection)?,
            healthy_panic_threshold: panic_threshold(wire.healthy_panic_threshold)?,
            slow_start: message("slow_start", wire.slow_start)?,
            hash_by_hostname: wire.hash_by_hostname,
            close_connections_on_host_set_change: wire.close_connections_on_host_set_change,
            update_merge_window: wire
                .update_merge_window_ms
                .map_or(DEFAULT_MERGE_WINDOW, Duration::from_millis),
            subsets: message("subsets", wire.subsets)?,
            ignore_health_on_host_removal: wire.ignore_health_on_host_removal,
            connections: message("connections", wire.connections)?.unwrap_or_default(),
            http: message("http", wire.http)?.unwrap_or_default(),
            policies: policies(wire.policies)?,
        })
    }
}

fn message<W, T: TryFrom<W, Error = Invalid>>(field: &str, wire: Option<W>) -> Result<Option<T>, Invalid> {
    wire.map(T::try_from).transpose().map_err(|e| e.under(field))
}

fn panic_threshold(wire: Option<f64>) -> Result<f64, Invalid> {
    let percent = wire.unwrap_or(DEFAULT_PANIC_THRESHOLD);
    match (0.0..=100.0).contains(&percent) {
        true => Ok(percent),
        false => Err(Invalid::new("healthy_panic_threshold", format!("{percent} is not a percentage"))),
    }
}

impl TryFrom<wire::UpstreamTls> for UpstreamTls {
    type Error = Invalid;

    fn try_from(wire: wire::UpstreamTls) -> Result<Self, Invalid> {
        // Names that nobody vouches for prove nothing: refusing is better than a check that looks like one.
        if wire.ca_certificate.is_empty() && !wire.verify_subject_alt_names.is_empty() {
            return Err(Invalid::new("verify_subject_alt_names", "needs ca_certificate"));
        }
        let (min_version, max_version) = versions(wire.min_version, wire.max_version)?;
        Ok(Self {
            sni: optional(wire.sni),
            ca_certificate: optional(wire.ca_certificate),
            client_certificate: optional(wire.client_certificate),
            verify_subject_alt_names: texts("verify_subject_alt_names", wire.verify_subject_alt_names)?,
            alpn: alpn("alpn", wire.alpn)?,
            min_version,
            max_version,
            cipher_suites: texts("cipher_suites", wire.cipher_suites)?,
            curves: texts("curves", wire.curves)?,
            verify_server_name: wire.verify_server_name,
        })
    }
}

#[cfg(test)]
mod tests;

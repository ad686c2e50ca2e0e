//! A group of endpoints and how to talk to them.

use std::{sync::Arc, time::Duration};

use portcullis_proto::table::v1 as wire;

use super::{
    CircuitBreakers, Endpoint, Origin, TlsVersion,
    field::{alpn, each, millis, optional, required, texts},
    listener::versions,
};
use crate::Invalid;

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_CHOICES: u32 = 2;

/// A group of endpoints and how to talk to them.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// How an endpoint is chosen. All of them respect the endpoints' weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoadBalancer {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest running requests of `choice_count` random ones.
    LeastRequest {
        /// At least 1.
        choice_count: u32,
    },
    /// At random.
    Random,
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
            load_balancer: wire.load_balancer.map(LoadBalancer::from).unwrap_or_default(),
            circuit_breakers: wire.circuit_breakers.unwrap_or_default().into(),
        })
    }
}

impl From<wire::upstream::LoadBalancer> for LoadBalancer {
    fn from(wire: wire::upstream::LoadBalancer) -> Self {
        match wire {
            wire::upstream::LoadBalancer::RoundRobin(_) => Self::RoundRobin,
            wire::upstream::LoadBalancer::Random(_) => Self::Random,
            wire::upstream::LoadBalancer::LeastRequest(least) => Self::LeastRequest {
                choice_count: Some(least.choice_count).filter(|n| *n != 0).unwrap_or(DEFAULT_CHOICES),
            },
        }
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
        })
    }
}

#[cfg(test)]
mod tests;

//! `dynamicForwardProxy`: requests that go to the host which they name.

use std::fmt;

use serde::Deserialize;

use super::scalar::GoDuration;
use super::ssl::UpstreamSslConfig;
use super::upstream::CircuitBreakerConfig;

/// `httpGateway.options.dynamicForwardProxy`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DynamicForwardProxy {
    /// How hosts are looked up and how long they are remembered.
    pub dns_cache_config: Option<DnsCacheConfig>,
    /// Logs may ask for the address that was found as filter state.
    pub save_upstream_address: bool,
    /// TLS towards the hosts, whose names it asks for and verifies.
    pub ssl_config: Option<UpstreamSslConfig>,
    /// Limits for all hosts together.
    pub circuit_breakers: Option<CircuitBreakerConfig>,
}

/// `dnsCacheConfig`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DnsCacheConfig {
    /// Which addresses are asked for.
    pub dns_lookup_family: DnsLookupFamily,
    /// How often a host in use is looked up again; absent = 60 s.
    pub dns_refresh_rate: Option<GoDuration>,
    /// A host that is not asked for so long is forgotten; absent = 5 min.
    pub host_ttl: Option<GoDuration>,
    /// Hosts that are remembered; absent = 1024.
    pub max_hosts: Option<u32>,
    /// Limits of the lookups.
    pub dns_cache_circuit_breaker: Option<DnsCacheCircuitBreakers>,
    /// Looked up before they are asked for.
    pub preresolve_hostnames: Vec<SocketAddress>,
    /// Limit of a lookup; absent = 5 s.
    pub dns_query_timeout: Option<GoDuration>,
    /// How often a host that was not found is looked up again; absent = at the next request.
    pub dns_failure_refresh_rate: Option<RefreshRate>,
    /// Who is asked; absent = the system's servers.
    pub cares_dns: Option<CaresDns>,
}

/// `dnsFailureRefreshRate`: the wait doubles.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RefreshRate {
    /// At first.
    pub base_interval: Option<GoDuration>,
    /// At most; absent = ten times as much.
    pub max_interval: Option<GoDuration>,
}

/// `caresDns`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CaresDns {
    /// In place of the system's servers, unless empty.
    pub resolvers: Vec<ResolverAddress>,
    /// How they are asked.
    pub dns_resolver_options: Option<DnsResolverOptions>,
}

/// One of `resolvers`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResolverAddress {
    /// An address and a port.
    pub socket_address: Option<SocketAddress>,
}

/// `dnsResolverOptions`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DnsResolverOptions {
    /// Never by UDP.
    pub use_tcp_for_dns_lookups: bool,
    /// Without the system's search domains.
    pub no_default_search_domain: bool,
}

/// `dnsCacheCircuitBreaker`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DnsCacheCircuitBreakers {
    /// Lookups at one time; absent = 1024.
    pub max_pending_requests: Option<u32>,
}

/// A host and its port.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SocketAddress {
    /// Name or address.
    pub address: String,
    /// Port.
    pub port_value: u32,
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address.contains(':') {
            true => write!(f, "[{}]:{}", self.address, self.port_value),
            false => write!(f, "{}:{}", self.address, self.port_value),
        }
    }
}

/// Which addresses are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the user API")]
pub enum DnsLookupFamily {
    #[default]
    #[serde(rename = "V4_PREFERRED")]
    V4Preferred,
    #[serde(rename = "V4_ONLY")]
    V4Only,
    #[serde(rename = "V6_ONLY")]
    V6Only,
    #[serde(rename = "AUTO")]
    Auto,
    #[serde(rename = "ALL")]
    All,
}

/// `routeAction.dynamicForwardProxy`. At most one of the two is set; the latter counts.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PerRouteConfig {
    /// Host in place of the request's.
    pub host_rewrite: Option<String>,
    /// Request header whose value is the host in place of the request's.
    pub auto_host_rewrite_header: Option<String>,
}

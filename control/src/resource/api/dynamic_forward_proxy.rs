//! `dynamicForwardProxy`: requests that go to the host which they name.

use std::fmt;

use serde::Deserialize;

use super::scalar::GoDuration;

/// `httpGateway.options.dynamicForwardProxy`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DynamicForwardProxy {
    /// How hosts are looked up and how long they are remembered.
    pub dns_cache_config: Option<DnsCacheConfig>,
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

//! Settings: switches of the whole installation. Only what changes how resources are read is here.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::ext_auth::ExtAuthSettings;
use super::rate_limit::RateLimitServerSettings;
use super::upstream::CircuitBreakerConfig;

/// The `spec` of Settings.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// `gloo`.
    pub gloo: Option<GlooSettings>,
    /// `gateway`.
    pub gateway: Option<GatewaySettings>,
    /// The auth server of listeners that name none.
    pub extauth: Option<ExtAuthSettings>,
    /// Further auth servers, which options choose by name.
    pub named_extauth: BTreeMap<String, ExtAuthSettings>,
    /// The rate limit server of listeners that name none.
    pub ratelimit_server: Option<RateLimitServerSettings>,
}

/// `gloo`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GlooSettings {
    /// What happens to a broken route.
    pub invalid_config_policy: Option<InvalidConfigPolicy>,
    /// For Upstreams without their own.
    pub circuit_breakers: Option<CircuitBreakerConfig>,
}

/// `gloo.invalidConfigPolicy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InvalidConfigPolicy {
    /// A broken route answers by itself and the rest of its virtual host is served.
    pub replace_invalid_routes: bool,
    /// Status of that answer; 0 = 404.
    pub invalid_route_response_code: u32,
    /// Body of that answer.
    pub invalid_route_response_body: String,
}

/// `gateway`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewaySettings {
    /// Gateways count in every namespace, not only in the own one.
    pub read_gateways_from_all_namespaces: bool,
    /// Defaults for VirtualServices.
    pub virtual_service_options: Option<VirtualServiceDefaults>,
    /// A TLS connection reaches only the virtual hosts of its own sslConfig.
    pub isolate_virtual_hosts_by_ssl_config: Option<bool>,
}

/// `gateway.virtualServiceOptions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualServiceDefaults {
    /// Default of every VirtualService's `sslConfig.oneWayTls`.
    pub one_way_tls: Option<bool>,
}

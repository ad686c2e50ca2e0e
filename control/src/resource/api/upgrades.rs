//! `upgrades` and `tracing` of routes.

use serde::Deserialize;

/// One protocol that requests may change to. One member is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProtocolUpgradeConfig {
    /// WebSocket.
    pub websocket: Option<ProtocolUpgradeSpec>,
    /// CONNECT, as which it goes to the upstream.
    pub connect: Option<ProtocolUpgradeSpec>,
    /// CONNECT that ends at the gateway: the upstream gets what comes through the tunnel.
    pub connect_terminate: Option<ProtocolUpgradeSpec>,
}

/// Whether that is allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProtocolUpgradeSpec {
    /// Absent = it is.
    pub enabled: Option<bool>,
}

/// `tracing` of a route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteTracingSettings {
    /// Name of the span.
    pub route_descriptor: String,
    /// Whether upstreams learn the context; absent = they do.
    pub propagate: Option<bool>,
}

//! `hybridGateway`, and the resources that parts of one may be kept in.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::gateway::HttpGateway;
use super::http_connection::{CidrRange, HttpConnectionManagerSettings};
use super::reference::Ref;
use super::selector::Expression;
use super::ssl::SslConfig;
use super::tcp::TcpGateway;

/// `hybridGateway`: several gateways on one port, of which each connection gets one.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HybridGateway {
    /// The gateways; when there are any, the delegated ones do not count.
    pub matched_gateways: Vec<MatchedGateway>,
    /// Those that MatchableHttpGateways hold.
    pub delegated_http_gateways: Option<DelegatedHttpGateway>,
    /// Those that MatchableTcpGateways hold.
    pub delegated_tcp_gateways: Option<DelegatedTcpGateway>,
}

/// One of `matchedGateways`. At most one of the gateways is set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MatchedGateway {
    /// Whose connections it takes; absent = all.
    pub matcher: Option<ConnectionMatcher>,
    /// HTTP routing.
    pub http_gateway: Option<HttpGateway>,
    /// Passing connections on.
    pub tcp_gateway: Option<TcpGateway>,
}

/// `matcher` of a part of a hybrid gateway.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionMatcher {
    /// TLS, and what holds for the sslConfig of VirtualServices where they say nothing.
    pub ssl_config: Option<SslConfig>,
    /// Networks of clients; empty = any address.
    pub source_prefix_ranges: Vec<CidrRange>,
}

/// `delegatedHttpGateways`. At most one of `ref` and `selector` is set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelegatedHttpGateway {
    /// One of them.
    #[serde(rename = "ref")]
    pub reference: Option<Ref>,
    /// Those that fit.
    pub selector: Option<GatewaySelector>,
    /// Fields that are set here win over those of the gateways.
    pub prevent_child_overrides: bool,
    /// For gateways whose own say nothing.
    pub http_connection_manager_settings: Option<HttpConnectionManagerSettings>,
    /// Likewise. Only gateways with TLS are taken if it is there, and only those without if it is not.
    pub ssl_config: Option<SslConfig>,
}

/// `delegatedTcpGateways`. At most one of `ref` and `selector` is set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelegatedTcpGateway {
    /// One of them.
    #[serde(rename = "ref")]
    pub reference: Option<Ref>,
    /// Those that fit.
    pub selector: Option<GatewaySelector>,
}

/// Chooses MatchableHttpGateways and MatchableTcpGateways. All that is said must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewaySelector {
    /// Namespaces to look in; empty or `*` = all.
    pub namespaces: Vec<String>,
    /// Labels that must all be equal.
    pub labels: BTreeMap<String, String>,
    /// Tests that must all hold.
    pub expressions: Vec<Expression>,
}

/// The `spec` of a MatchableHttpGateway.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MatchableHttpGateway {
    /// Whose connections it takes; absent = all.
    pub matcher: Option<ConnectionMatcher>,
    /// HTTP routing.
    pub http_gateway: Option<HttpGateway>,
}

/// The `spec` of a MatchableTcpGateway.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MatchableTcpGateway {
    /// Whose connections it takes; absent = all.
    pub matcher: Option<ConnectionMatcher>,
    /// Passing connections on.
    pub tcp_gateway: Option<TcpGateway>,
}

//! `tcpGateway`: connections whose bytes are passed on.

use serde::Deserialize;

use super::listener_connections::{ConnectionLimit, TunnelingConfig};
use super::rate_limit::TokenBucket;
use super::reference::{Empty, Ref};
use super::route::{Destination, MultiDestination};
use super::scalar::GoDuration;
use super::ssl::SslConfig;

/// `tcpGateway`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpGateway {
    /// What connections get, each in a filter chain of its own.
    pub tcp_hosts: Vec<TcpHost>,
    /// Options of all of them.
    pub options: Option<TcpListenerOptions>,
}

/// One of `tcpHosts`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpHost {
    /// Unique among the hosts of a gateway.
    pub name: String,
    /// With a certificate TLS ends here; with server names alone it is passed on.
    pub ssl_config: Option<SslConfig>,
    /// Where to.
    pub destination: Option<TcpAction>,
}

/// `destination` of a TCP host. At most one is set, see [`TcpAction::target`].
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpAction {
    /// One destination.
    pub single: Option<Destination>,
    /// A weighted list.
    pub multi: Option<MultiDestination>,
    /// A weighted list kept in an UpstreamGroup.
    pub upstream_group: Option<Ref>,
    /// The upstream that the client's server name names.
    pub forward_sni_cluster_name: Option<Empty>,
}

/// Where a TCP host passes its connections on to.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "each variant is the field of its name")]
pub enum TcpTarget<'a> {
    Single(&'a Destination),
    Multi(&'a MultiDestination),
    UpstreamGroup(&'a Ref),
    ForwardSniClusterName,
}

impl TcpAction {
    /// Where it goes, if that is set.
    pub fn target(&self) -> Option<TcpTarget<'_>> {
        if self.forward_sni_cluster_name.is_some() {
            return Some(TcpTarget::ForwardSniClusterName);
        }
        if let Some(group) = &self.upstream_group {
            return Some(TcpTarget::UpstreamGroup(group));
        }
        if let Some(multi) = &self.multi {
            return Some(TcpTarget::Multi(multi));
        }
        self.single.as_ref().map(TcpTarget::Single)
    }
}

/// `tcpGateway.options`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpListenerOptions {
    /// How connections are passed on.
    pub tcp_proxy_settings: Option<TcpProxySettings>,
    /// How many there may be.
    pub connection_limit: Option<ConnectionLimit>,
    /// A token bucket of connections.
    pub local_ratelimit: Option<TokenBucket>,
}

/// `tcpGateway.options.tcpProxySettings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpProxySettings {
    /// Tries to connect; absent = 1.
    pub max_connect_attempts: Option<u32>,
    /// Silence after which a connection is closed; absent = 1h, `0s` = never.
    pub idle_timeout: Option<GoDuration>,
    /// The upstream is asked by CONNECT to pass the bytes on.
    pub tunneling_config: Option<TunnelingConfig>,
    /// How often a connection is logged while it lasts.
    pub access_log_flush_interval: Option<GoDuration>,
}

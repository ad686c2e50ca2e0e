//! A bound address and what serves its connections.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::{DownstreamTls, Origin, Policy};

/// One address and port of one proxy. It has at least one filter chain, else it is not bound and not here.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// `listener-<address>-<port>`.
    pub name: Arc<str>,
    /// The Gateway.
    pub origin: Origin,
    /// Address to bind; `::` takes IPv4 as well.
    pub address: IpAddr,
    /// 1..=65535.
    pub port: u16,
    /// A PROXY header (v1 or v2) is required before anything else.
    pub proxy_protocol: bool,
    /// In order of name; no two match the same server name.
    pub chains: Vec<FilterChain>,
    /// What is written about each connection, encoded: there is nothing to resolve in it.
    pub connection_logs: Vec<Bytes>,
}

/// What serves the connections whose server name fits.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterChain {
    /// Unique within the listener.
    pub name: Arc<str>,
    /// Sorted lower case names; empty = every name and none.
    pub server_names: Vec<Arc<str>>,
    /// `None` = plain text.
    pub tls: Option<DownstreamTls>,
    /// The route configuration that its requests are routed by.
    pub route_config: Arc<str>,
    /// How HTTP is spoken, encoded; empty = the defaults.
    pub http: Bytes,
    /// For every request that comes this way, in execution order.
    pub policies: Vec<Policy>,
}

//! A bound address and what serves its connections.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;

use super::{Destination, DownstreamTls, Origin, Policy};

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
    /// No two take the same connections.
    pub chains: Vec<FilterChain>,
    /// What is written about each connection, encoded: there is nothing to resolve in it.
    pub connection_logs: Vec<Bytes>,
    /// What else travels with it, encoded as a listener that has nothing else.
    pub options: Bytes,
}

/// What serves the connections whose server name and address fit.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterChain {
    /// Unique within the listener.
    pub name: Arc<str>,
    /// Sorted lower case names; empty = every name and none.
    pub server_names: Vec<Arc<str>>,
    /// Networks of clients, without host bits, sorted; empty = any address.
    pub source_prefixes: Vec<IpNet>,
    /// `None` = plain text, or TLS that is passed on.
    pub tls: Option<DownstreamTls>,
    /// What is done with them.
    pub serve: Serve,
    /// How HTTP is spoken, encoded; empty = the defaults.
    pub http: Bytes,
    /// For every request that comes this way, in execution order; none where bytes are passed on.
    pub policies: Vec<Policy>,
    /// Of a part of a hybrid gateway: the resource that holds it, and its place there.
    pub part: Option<(Origin, Arc<str>)>,
    /// Which connections are let in, encoded; empty = all.
    pub admission: Bytes,
}

/// What a filter chain does with its connections.
#[derive(Debug, Clone, PartialEq)]
pub enum Serve {
    /// Requests are routed by this route configuration.
    Http(Arc<str>),
    /// Bytes are passed on.
    Tcp(TcpProxy),
}

/// How connections are passed on.
#[derive(Debug, Clone, PartialEq)]
pub struct TcpProxy {
    /// The TCP host's name.
    pub name: Arc<str>,
    /// Where to.
    pub target: TcpTarget,
    /// At least 1.
    pub max_connect_attempts: u32,
    /// `None` = for ever.
    pub idle_timeout: Option<Duration>,
    /// What else travels with it, encoded as a message that has nothing else.
    pub options: Bytes,
}

/// Where connections are passed on to.
#[derive(Debug, Clone, PartialEq)]
pub enum TcpTarget {
    /// A weighted list; at least one of them has weight.
    Destinations(Vec<Destination>),
    /// A split by name.
    Split(Arc<str>),
    /// The upstream whose name is the server name.
    Sni,
}

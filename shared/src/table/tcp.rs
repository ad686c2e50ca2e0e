//! What a filter chain does with bytes that it does not interpret.

use std::{sync::Arc, time::Duration};

use portcullis_proto::policy::v1::HeaderAdd;
use portcullis_proto::table::v1 as wire;

use super::{
    AccessLog, Destination,
    field::{bytes, each, millis, required},
    route::destinations,
};
use crate::Invalid;
use crate::format::Format;

/// Passes connections on.
#[derive(Debug, Clone, PartialEq)]
pub struct TcpProxy {
    /// The TCP host's name, for logs.
    pub name: Arc<str>,
    /// Where to.
    pub target: TcpTarget,
    /// Tries to connect before the client's connection is closed; at least 1.
    pub max_connect_attempts: u32,
    /// Both connections are closed when no byte moves for so long; `None` = never.
    pub idle_timeout: Option<Duration>,
    /// In place of the worker's own log.
    pub access_logs: Vec<AccessLog>,
    /// How often a connection is logged while it lasts; `None` = at its end only.
    pub log_interval: Option<Duration>,
    /// The upstream is asked to pass the bytes on.
    pub tunnel: Option<Tunnel>,
    /// Bytes kept for one side that the other does not take; `None` = the worker's default.
    pub buffer_limit: Option<usize>,
}

/// The CONNECT request for a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Tunnel {
    /// Host and port.
    pub host: Format,
    /// Further fields.
    pub headers: Vec<HeaderAdd>,
}

/// Where connections are passed on to.
#[derive(Debug, Clone, PartialEq)]
pub enum TcpTarget {
    /// A weighted list; at least one of them has weight.
    Destinations(Vec<Destination>),
    /// A split by name.
    Split(Arc<str>),
    /// The upstream whose name is the client's server name.
    Sni,
}

impl TryFrom<wire::Tunnel> for Tunnel {
    type Error = Invalid;

    fn try_from(wire: wire::Tunnel) -> Result<Self, Invalid> {
        required("host", wire.host.clone())?;
        let host = Format::parse(&wire.host).map_err(|e| Invalid::new("host", e))?;
        Ok(Self { host, headers: wire.headers })
    }
}

impl TryFrom<wire::TcpProxy> for TcpProxy {
    type Error = Invalid;

    fn try_from(wire: wire::TcpProxy) -> Result<Self, Invalid> {
        use wire::tcp_proxy::Target;
        let target = match wire.target.ok_or_else(|| Invalid::new("target", "missing"))? {
            Target::Destinations(list) => {
                TcpTarget::Destinations(destinations(list).map_err(|e| e.under("destinations"))?)
            }
            Target::Split(name) => TcpTarget::Split(required("split", name)?),
            Target::SniUpstream(true) => TcpTarget::Sni,
            Target::SniUpstream(false) => return Err(Invalid::new("sni_upstream", "must be true")),
        };
        Ok(Self {
            name: wire.name.into(),
            target,
            max_connect_attempts: wire.max_connect_attempts.max(1),
            idle_timeout: millis(wire.idle_timeout_ms),
            access_logs: each("access_logs", wire.access_logs)?,
            log_interval: millis(wire.log_interval_ms),
            tunnel: wire.tunnel.map(Tunnel::try_from).transpose().map_err(|e| e.under("tunnel"))?,
            buffer_limit: bytes(wire.buffer_limit),
        })
    }
}

//! What a filter chain does with bytes that it does not interpret.

use std::{sync::Arc, time::Duration};

use portcullis_proto::table::v1 as wire;

use super::{
    Destination,
    field::{millis, required},
    route::destinations,
};
use crate::Invalid;

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
        })
    }
}

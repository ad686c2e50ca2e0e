//! Where a filter chain passes its connections on to.

use std::sync::Arc;
use std::time::Duration;

use portcullis_shared::invalid::Invalid;
use portcullis_shared::table;

use super::destinations::Destinations;
use super::names::Names;

/// How connections are passed on.
#[derive(Debug)]
pub struct TcpRoute {
    /// The TCP host's name, for logs.
    pub name: Arc<str>,
    /// Where to.
    pub target: TcpTarget,
    /// At least 1.
    pub max_connect_attempts: u32,
    /// None = for ever.
    pub idle_timeout: Option<Duration>,
}

/// Where connections are passed on to.
#[derive(Debug)]
pub enum TcpTarget {
    /// A list of its own.
    Destinations(Destinations),
    /// A split by name.
    Split(Arc<str>),
    /// The upstream whose name is the server name.
    Sni,
}

impl TcpRoute {
    pub(super) fn build(config: &table::TcpProxy) -> Result<Self, Invalid> {
        let target = match &config.target {
            table::TcpTarget::Destinations(list) => TcpTarget::Destinations(
                Destinations::build(list, None, &Names::default()).map_err(|e| e.under("destinations"))?,
            ),
            table::TcpTarget::Split(name) => TcpTarget::Split(Arc::clone(name)),
            table::TcpTarget::Sni => TcpTarget::Sni,
        };
        Ok(Self {
            name: Arc::clone(&config.name),
            target,
            max_connect_attempts: config.max_connect_attempts,
            idle_timeout: config.idle_timeout,
        })
    }
}

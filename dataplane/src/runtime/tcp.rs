//! Where a filter chain passes its connections on to.

use std::sync::Arc;
use std::time::Duration;

use portcullis_shared::invalid::Invalid;
use portcullis_shared::table;

use super::destinations::Destinations;
use super::names::Names;
use crate::proxy::{ListenerLogs, TunnelRequest, limits};

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
    /// In place of the worker's own log.
    pub access_logs: Option<ListenerLogs>,
    /// How often a connection is logged while it lasts.
    pub log_interval: Option<Duration>,
    /// The upstream is asked to pass the bytes on.
    pub tunnel: Option<TunnelRequest>,
    /// Bytes kept for one side that the other does not take.
    pub buffer_limit: usize,
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
            access_logs: ListenerLogs::open(&config.access_logs)
                .map_err(|e| Invalid::new("access_logs", e))?,
            log_interval: config.log_interval.filter(|_| !config.access_logs.is_empty()),
            tunnel: config
                .tunnel
                .as_ref()
                .map(TunnelRequest::build)
                .transpose()
                .map_err(|e| e.under("tunnel"))?,
            buffer_limit: config.buffer_limit.unwrap_or(limits::BUFFER),
        })
    }
}

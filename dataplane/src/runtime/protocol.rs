//! How HTTP is spoken on the connections of a filter chain: what they share, ready to be used.
//!
//! The engine's own limits stand in for what users leave out.

use std::sync::Arc;
use std::time::Duration;

use portcullis_shared::invalid::Invalid;
use portcullis_shared::table;

use crate::policy::Early;
use crate::proxy::{access_log::ListenerLogs, limits};

/// See the module. The default is what holds without a configuration.
#[derive(Debug)]
pub struct Http {
    /// What users have set.
    pub settings: table::HttpSettings,
    /// In place of the worker's own log.
    pub access_logs: Option<ListenerLogs>,
    /// On a request before anything else looks at it.
    pub early_headers: Option<Early>,
    /// Bytes of a header.
    pub header_bytes: usize,
    /// Fields of a header.
    pub header_fields: usize,
    /// Silence that ends a request.
    pub stream_idle: Option<Duration>,
    /// A connection without requests, the time to drain included.
    pub idle: Option<Duration>,
    /// From the first byte of a header to its last.
    pub request_headers: Option<Duration>,
    /// From closing one side of a connection to closing it.
    pub delayed_close: Duration,
    /// Bytes of a body that are kept for retries and policies.
    pub buffer_limit: usize,
}

impl Default for Http {
    fn default() -> Self {
        Self::of(table::HttpSettings::default(), None, None)
    }
}

impl Http {
    fn of(settings: table::HttpSettings, logs: Option<ListenerLogs>, early: Option<Early>) -> Self {
        let times = settings.timeouts;
        let drain = times.drain.map(Option::unwrap_or_default);
        Self {
            access_logs: logs,
            early_headers: early,
            header_bytes: settings.header_bytes.unwrap_or(limits::HEADER_BYTES),
            header_fields: settings.header_fields.unwrap_or(limits::HEADER_FIELDS),
            stream_idle: times.stream_idle.unwrap_or(Some(limits::STREAM_IDLE)),
            // As Envoy: idle it begins to drain, and closes after that.
            idle: match times.idle {
                None => Some(limits::KEEPALIVE_IDLE),
                Some(idle) => idle.map(|idle| idle + drain.unwrap_or(limits::DRAIN)),
            },
            request_headers: times.request_headers.unwrap_or(Some(limits::HEADER_DEADLINE)),
            delayed_close: times.delayed_close.map_or(limits::LINGER, Option::unwrap_or_default),
            buffer_limit: settings.buffer_limit.unwrap_or(limits::BUFFER),
            settings,
        }
    }

    /// Makes the settings ready.
    ///
    /// # Errors
    /// The field that cannot be made ready.
    pub fn build(config: &table::HttpSettings) -> Result<Arc<Self>, Invalid> {
        let logs = ListenerLogs::open(&config.access_logs).map_err(|e| Invalid::new("access_logs", e))?;
        let early = match config.early_headers.as_slice() {
            [] => None,
            levels => Some(Early::build(levels).map_err(|e| e.under("early_headers"))?),
        };
        Ok(Arc::new(Self::of(config.clone(), logs, early)))
    }

    /// Whether CONNECT makes tunnels, where a route says nothing. The name is one that no protocol has: those are lower
    /// case.
    #[must_use]
    pub fn allows_connect(&self) -> bool {
        self.settings.upgrades.iter().any(|(name, enabled)| **name == *"CONNECT" && *enabled)
    }

    /// Whether a connection may change to `protocol`, which is lower case. Envoy's default: WebSocket alone.
    #[must_use]
    pub fn allows_upgrade(&self, protocol: &str) -> bool {
        let named = self.settings.upgrades.iter().find(|(name, _)| **name == *protocol);
        named.map_or(protocol == "websocket", |(_, enabled)| *enabled)
    }
}

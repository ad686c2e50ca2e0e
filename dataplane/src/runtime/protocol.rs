//! How HTTP is spoken on the connections of a filter chain: what they share, ready to be used.

use std::sync::Arc;

use portcullis_shared::invalid::Invalid;
use portcullis_shared::table;

use crate::proxy::access_log::ListenerLogs;

/// See the module. The default is what holds without a configuration.
#[derive(Debug, Default)]
pub struct Http {
    /// In place of the worker's own log.
    pub access_logs: Option<ListenerLogs>,
}

impl Http {
    /// Makes the settings ready.
    ///
    /// # Errors
    /// The field that cannot be made ready.
    pub fn build(config: &table::HttpSettings) -> Result<Arc<Self>, Invalid> {
        let access_logs =
            ListenerLogs::open(&config.access_logs).map_err(|error| Invalid::new("access_logs", error))?;
        Ok(Arc::new(Self { access_logs }))
    }
}

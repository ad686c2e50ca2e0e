//! The model: merges what the sources hold with the facts of secrets, and publishes tables and report.
//!
//! Owns the snapshot, the memos and the versions. Everything heavy runs in `spawn_blocking`; the loop here only waits.
//! Must not read files or secrets, and must not hold back an answer for anything but secrets that are being read.

mod actor;
mod build;
mod debounce;
mod memory;
mod merge;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_shared::version::Version;

pub use actor::{Config, run};
pub use debounce::Debounce;

use crate::compile::Table;
use crate::keyring::Keys;
use crate::ordered::Ordered;
use crate::publish::Target;
use crate::resource::{Entry, Finding, ObjectRef};
use crate::translate::Report;

/// The outcome of one build.
pub struct Published {
    /// Grows with every build.
    pub version: Version,
    /// By proxy name. A proxy that has no Gateway any more keeps an empty table.
    pub proxies: BTreeMap<Arc<str>, ProxyTable>,
    /// What is said about each object.
    pub report: Arc<Report>,
    /// The objects, also the ones that do not decode.
    pub entries: Ordered<ObjectRef, Arc<Entry>>,
    /// When each object was seen first.
    pub first_seen: Arc<BTreeMap<ObjectRef, SystemTime>>,
    /// What belongs to no object: files that cannot be read, documents without a name.
    pub problems: Arc<Vec<Finding>>,
    /// Documents of kinds that are not served.
    pub notices: Arc<Vec<Finding>>,
    /// The secrets that the tables were compiled against.
    pub keys: Arc<Keys>,
    /// How long the build took.
    pub took: Duration,
}

/// One proxy's table.
#[derive(Clone)]
pub struct ProxyTable {
    /// The version at which the table changed last.
    pub version: Version,
    /// The table.
    pub table: Arc<Table>,
}

impl Published {
    /// What a worker of `proxy` should run. A proxy that nobody configured runs nothing.
    #[must_use]
    pub fn target(&self, proxy: &str) -> Target {
        let known = self.proxies.get(proxy).cloned();
        let ProxyTable { version, table } = known.unwrap_or_else(|| ProxyTable {
            version: Version { epoch: self.version.epoch, seq: 0 },
            table: Arc::default(),
        });
        Target { version, table, keys: Arc::clone(&self.keys) }
    }
}

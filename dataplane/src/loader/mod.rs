//! From tables to runtimes: the one place where what is served changes.
//!
//! [`Loader`] applies transactions and restores the cache, [`Endpoints`] is the lane for endpoint sets, [`actor`] takes
//! requests one at a time and does the work off the request path. A new runtime is published by one pointer swap; the
//! data threads then reconcile their sockets. What a resource means is the runtime's business, not this module's.

pub mod actor;
mod endpoints;
mod load;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use portcullis_shared::version::{Digest, Version};

pub use actor::{Client, Mailbox};
pub use endpoints::Endpoints;
pub use load::{Loader, Topics};

use crate::runtime::Runtime;

/// What is served, and how many times that has changed.
#[derive(Clone)]
pub struct Published {
    /// The runtime.
    pub runtime: Arc<Runtime>,
    /// Its number.
    pub generation: u64,
}

/// Where the table came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// There is none.
    #[default]
    Nowhere,
    /// The worker's cache.
    Cache {
        /// Which version it was.
        version: Option<Version>,
        /// When it was written.
        written: Option<SystemTime>,
    },
    /// Control.
    Control {
        /// Which version.
        version: Version,
    },
}

/// What the rest of the worker may know about the table.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// Where it came from.
    pub origin: Origin,
    /// Digest of the table that control believes we have.
    pub table_digest: Digest,
    /// It is a whole table: from the cache, or all that control knew.
    pub complete: bool,
    /// Control has compared it with its own since it was loaded.
    pub confirmed: bool,
    /// Listeners in it.
    pub listeners: usize,
    /// Resources of it that were rejected.
    pub rejected: usize,
}

impl Loaded {
    /// Whether it is an old table that control has not seen yet.
    #[must_use]
    pub fn is_from_cache(&self) -> bool {
        matches!(self.origin, Origin::Cache { .. }) && !self.confirmed
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::Nowhere => f.write_str("none")?,
            Origin::Control { version } => write!(f, "version {version}")?,
            Origin::Cache { version, written } => {
                f.write_str("from cache")?;
                if let Some(version) = version {
                    write!(f, ", version {version}")?;
                }
                if let Some(age) = written.and_then(|at| SystemTime::now().duration_since(at).ok()) {
                    write!(f, ", age {} s", age.as_secs())?;
                }
                if self.confirmed {
                    f.write_str(", confirmed by control")?;
                }
            }
        }
        write!(f, ", listeners: {}", self.listeners)?;
        if self.rejected > 0 {
            write!(f, ", rejected resources: {}", self.rejected)?;
        }
        Ok(())
    }
}

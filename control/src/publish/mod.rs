//! Tables out: one session per worker over the private protocol.
//!
//! Owns the link's sockets and, per session, what that worker has and the one version that is in flight. A slow worker
//! waits for itself alone: every session is a task of its own that reads topics, and a newer table replaces one that was
//! not yet sent. Sessions are no supervised children: when one fails, its stream ends and the worker opens a new one.
//!
//! Secret bytes pass through here only inside a frame that is being written.

mod end;
mod frames;
mod server;
mod session;
pub mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use portcullis_shared::version::Version;

pub use server::{Link, serve};
use state::Refusal;

use crate::compile::{Key, Table};
use crate::keyring::Keys;

/// A proxy's table with everything that is needed to write it.
#[derive(Clone)]
pub struct Target {
    /// Version of the last change of this table.
    pub version: Version,
    /// The table.
    pub table: Arc<Table>,
    /// The secret material that it was compiled against: exactly the bytes that its digests name.
    pub keys: Arc<Keys>,
}

/// Which worker runs what, by worker id. Holds connected workers only.
pub type Rollout = Arc<BTreeMap<Arc<str>, Arc<Worker>>>;

/// What is known of one connected worker.
#[derive(Clone)]
pub struct Worker {
    /// Session that reports this; a newer session of the same worker has a higher one.
    pub session: u64,
    /// "worker-0".
    pub id: Arc<str>,
    /// "gateway-proxy".
    pub proxy: Arc<str>,
    /// Process id.
    pub pid: u32,
    /// Program version.
    pub build: String,
    /// Where its own /healthz and /metrics are.
    pub admin_address: String,
    /// When the session began.
    pub connected: SystemTime,
    /// The table that it answered last.
    pub acknowledged: Option<Acknowledged>,
    /// What it refuses of that table.
    pub refused: Arc<BTreeMap<Key, Refusal>>,
    /// Listeners that it cannot bind, with the reason.
    pub listener_errors: Vec<(String, String)>,
    /// It takes no new connections any more.
    pub draining: bool,
    /// Connections that it serves.
    pub active_connections: u64,
}

/// An answered table.
#[derive(Clone)]
pub struct Acknowledged {
    /// Its version.
    pub version: Version,
    /// The table.
    pub table: Arc<Table>,
}

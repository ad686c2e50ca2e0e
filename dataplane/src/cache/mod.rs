//! The last good table on disk, so that a worker that starts while control is away serves what it served before.
//!
//! [`Journal`] collects what changed since the last write (latest wins, so that it is bounded by the table),
//! [`store`] keeps it in sled, [`seal`] keeps private keys from lying there in clear text, [`write_behind`] is the actor
//! that moves one into the other. Everything here can be lost at any time without harm: control sends it again. This
//! module must not decide what is served, and never writes a private key unsealed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use portcullis_proto::table::v1::EndpointSet;
use portcullis_shared::actor::BoxError;
use portcullis_shared::version::{Digest, Version};
use tokio::sync::Notify;

pub mod seal;
pub mod store;

#[cfg(test)]
mod tests;

/// The pause after a write: what changes meanwhile is written together. The first table is written at once, because a
/// worker that dies young needs it most.
const PAUSE: Duration = Duration::from_millis(200);
/// The wait after a write that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// What a resource is known by: its kind's number and its name.
pub type Key = (i32, Arc<str>);

/// A resource as it travels: the encoding of its message, and the digest over it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// As control sent it.
    pub digest: Digest,
    /// The encoded message. Certificates may hold key material.
    pub body: Bytes,
    /// Whether `body` holds a private key.
    pub secret: bool,
}

// Written by hand: the body may be a private key.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// What differs between the table that runs and the one on disk.
#[derive(Debug, Default)]
pub struct Changes {
    /// Every resource on disk is to be forgotten first. Endpoint sets stay: they have a lane of their own.
    pub reset: bool,
    /// `None` removes.
    pub entries: BTreeMap<Key, Option<Entry>>,
    /// `None` removes.
    pub endpoints: BTreeMap<Arc<str>, Option<EndpointSet>>,
    /// The version that the table has with these changes.
    pub version: Option<Version>,
}

impl Changes {
    /// Adds later changes.
    pub fn merge(&mut self, later: Changes) {
        if later.reset {
            self.reset = true;
            self.entries.clear();
        }
        self.entries.extend(later.entries);
        self.endpoints.extend(later.endpoints);
        self.version = later.version.or(self.version);
    }

    fn is_empty(&self) -> bool {
        !self.reset && self.entries.is_empty() && self.endpoints.is_empty() && self.version.is_none()
    }
}

/// What waits to be written. It survives restarts of the writer.
#[derive(Debug, Default)]
pub struct Journal {
    /// Nobody will ever write.
    idle: bool,
    changes: std::sync::Mutex<Changes>,
    wake: Notify,
}

impl Journal {
    /// A journal without a cache behind it: it forgets what is noted.
    #[must_use]
    pub fn idle() -> Self {
        Self { idle: true, ..Self::default() }
    }

    /// Notes `changes` to be written soon. Never waits.
    pub fn record(&self, changes: Changes) {
        if self.idle {
            return;
        }
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).merge(changes);
        self.wake.notify_one();
    }

    /// Takes everything noted so far; it comes back when the batch is dropped without [`Batch::written`].
    pub fn take(self: &Arc<Self>) -> Batch {
        let changes = std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner));
        Batch { journal: Arc::clone(self), changes: Some(changes) }
    }

    /// Writes what is pending, on this thread.
    ///
    /// # Errors
    /// The store cannot be written to. What was not written stays in the journal.
    pub fn write_to(self: &Arc<Self>, store: &store::Store) -> Result<(), store::Error> {
        let batch = self.take();
        match &batch.changes {
            Some(changes) if !changes.is_empty() => store.write(changes)?,
            _ => {}
        }
        batch.written();
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    async fn changed(&self) {
        self.wake.notified().await;
    }
}

/// Changes on their way to the disk.
pub struct Batch {
    journal: Arc<Journal>,
    changes: Option<Changes>,
}

impl Batch {
    /// They are on disk.
    pub fn written(mut self) {
        self.changes = None;
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let Some(mut earlier) = self.changes.take() else { return };
        let mut pending = self.journal.changes.lock().unwrap_or_else(PoisonError::into_inner);
        earlier.merge(std::mem::take(&mut *pending));
        *pending = earlier;
    }
}

/// Where the cache lies: open, or to be opened when there is something to write. A predecessor may still have it, and a
/// disk that was full may have room again.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    key: Option<PathBuf>,
    store: std::sync::Mutex<Option<Arc<store::Store>>>,
}

impl Place {
    /// A cache in `folder`, whose private keys are sealed with the key in that file.
    #[must_use]
    pub fn new(folder: PathBuf, key: Option<PathBuf>) -> Self {
        Self { folder, key, store: std::sync::Mutex::default() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The store, opened if it is not. Blocks, for some seconds when somebody else has it.
    ///
    /// # Errors
    /// Another process has it open, the key cannot be read, or the disk does not allow it.
    pub fn open(&self) -> Result<Arc<store::Store>, store::Error> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*store {
            return Ok(Arc::clone(store));
        }
        let sealer = self.key.as_deref().map(seal::Sealer::from_file).transpose()?;
        let opened = Arc::new(store::Store::open(&self.folder, sealer)?);
        *store = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Lets go of it: after an error it would fail for ever.
    fn close(&self) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The actor: writes what the journal collects, until it is dropped. A full disk costs the cache's freshness and log
/// lines, not traffic.
///
/// # Errors
/// None: the supervisor's signature asks for the type.
pub async fn write_behind(journal: Arc<Journal>, place: Arc<Place>) -> Result<(), BoxError> {
    let (mut told, mut failing) = (false, false);
    loop {
        // Before waiting: an earlier run may have left something behind.
        if journal.is_empty() {
            journal.changed().await;
        }
        let pause = match flush(&journal, &place).await {
            Ok(()) => {
                // Once: from now on a restart needs no control.
                if !std::mem::replace(&mut told, true) || std::mem::take(&mut failing) {
                    tracing::info!("the table is in the cache");
                }
                PAUSE
            }
            Err(error) => {
                // Once: a full disk stays full for a while.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(folder = %place.folder.display(), %error, "cannot write the cache; trying again");
                }
                AFTER_FAILURE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Writes what is pending now.
///
/// # Errors
/// The store cannot be opened or written to. What was not written stays in the journal.
pub async fn flush(journal: &Arc<Journal>, place: &Arc<Place>) -> Result<(), BoxError> {
    if journal.is_empty() {
        return Ok(());
    }
    let (journal, place) = (Arc::clone(journal), Arc::clone(place));
    let write = move || {
        let written = place.open().and_then(|store| journal.write_to(&store));
        if written.is_err() {
            place.close();
        }
        written
    };
    tokio::task::spawn_blocking(write).await??;
    Ok(())
}

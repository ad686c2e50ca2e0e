//! What control remembers over restarts: the last accepted document of every object, in sled.
//!
//! Owns `<data-dir>/control-store` and the lock of the data directory. Everything here may be rebuilt from the user's
//! files; what it buys is that an object which is broken *at a restart* still serves its last accepted form, and that
//! of two virtual services with one domain the one that was accepted first keeps it.
//!
//! All functions block: call them in `spawn_blocking`. Values of Secrets must never be handed in.

mod lock;
mod record;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_shared::database;

pub use lock::{DataDir, LockError};
pub use record::{Past, Record};

/// Folder of the database below the data directory.
const FOLDER: &str = "control-store";
/// Tree that holds the records. A change of the format gets a new name, and the old tree is dropped.
const TREE: &str = "accepted.v1";
/// sled's page cache, in bytes.
const PAGE_CACHE: u64 = 16 << 20;
/// Earlier documents kept per object.
const HISTORY: usize = 3;

/// Why nothing could be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refuses.
    #[error("store: {0}")]
    Database(#[from] sled::Error),
    /// A record cannot be written down.
    #[error("store: record of {key}: {source}")]
    Encode {
        /// The record's key.
        key: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The folder cannot be opened.
    #[error("store: {0}")]
    Open(#[from] database::Error),
    /// The database panicked.
    #[error("store: {0}")]
    Panicked(String),
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    folder: Arc<Path>,
    /// `None` as long as the disk does not allow it.
    open: Arc<Mutex<Option<Open>>>,
}

#[derive(Clone)]
struct Open {
    db: sled::Db,
    records: sled::Tree,
}

impl Open {
    fn at(folder: &Path) -> Result<Self, StoreError> {
        let db = database::open(folder, PAGE_CACHE)?;
        let records = db.open_tree(TREE)?;
        Ok(Self { db, records })
    }
}

/// One change to the store.
#[derive(Clone, Debug)]
pub enum Change {
    /// This form of the object was accepted.
    Remember(Record),
    /// The object is really gone (not merely unreadable).
    Forget(String),
}

impl Change {
    /// Which record it changes.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Remember(record) => record.key(),
            Self::Forget(key) => key.clone(),
        }
    }
}

impl Store {
    /// Opens the store of `data`, which this process has locked. A control that does not start because it cannot
    /// remember would be worse than one that remembers nothing: an error of the disk costs the memory, and opening is
    /// tried again with every write.
    #[must_use]
    pub fn open(data: &DataDir) -> Self {
        let folder: Arc<Path> = data.path().join(FOLDER).into();
        let open = Open::at(&folder)
            .inspect_err(|error| {
                tracing::error!(%error, "nothing is remembered: what is broken now has no last accepted form");
            })
            .ok();
        Self { folder, open: Arc::new(Mutex::new(open)) }
    }

    /// Every record that can be read, by key. One that cannot is reported in the log and left out. None when the store
    /// is not open.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn load(&self) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        let Some(open) = self.open.lock().unwrap_or_else(PoisonError::into_inner).clone() else {
            return Ok(records);
        };
        for entry in &open.records {
            let (key, value) = entry?;
            match serde_json::from_slice::<Record>(&value) {
                Ok(record) => records.push(record),
                Err(error) => {
                    tracing::warn!(key = %String::from_utf8_lossy(&key), %error, "a stored record cannot be read");
                }
            }
        }
        Ok(records)
    }

    /// Applies `changes` as one transaction and waits until they are on disk.
    ///
    /// # Errors
    /// The database refuses, for example because the disk is full; then nothing was changed, and the next call opens
    /// it anew.
    pub fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match open.take() {
            Some(open) => open,
            None => Open::at(&self.folder)?,
        };
        now.write(changes)?;
        *open = Some(now);
        Ok(())
    }
}

impl Open {
    fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for change in changes {
            match change {
                Change::Remember(record) => {
                    let key = record.key();
                    let record = Record { history: self.history(&key, record)?, ..record.clone() };
                    let value = serde_json::to_vec(&record)
                        .map_err(|source| StoreError::Encode { key: key.clone(), source })?;
                    batch.insert(key.as_bytes(), value);
                }
                Change::Forget(key) => batch.remove(key.as_bytes()),
            }
        }
        self.records.apply_batch(batch)?;
        self.db.flush()?;
        Ok(())
    }

    /// The history that `record` gets: its predecessor and the predecessor's history, cut to [`HISTORY`].
    fn history(&self, key: &str, record: &Record) -> Result<Vec<Past>, StoreError> {
        let Some(previous) = self.records.get(key)? else { return Ok(Vec::new()) };
        let Ok(previous) = serde_json::from_slice::<Record>(&previous) else { return Ok(Vec::new()) };
        if previous.document == record.document {
            return Ok(previous.history);
        }
        let mut history = vec![Past { accepted_at_ms: previous.accepted_at_ms, document: previous.document }];
        history.extend(previous.history);
        history.truncate(HISTORY);
        Ok(history)
    }
}

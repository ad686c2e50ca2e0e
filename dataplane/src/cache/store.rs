//! The cache's form on disk: one sled tree in one folder, one writer.
//!
//! Keys are `m` (when and which version), `t<kind><name>` (a resource) and `e<upstream>` (its endpoints). A resource's
//! value is one byte (0 clear, 1 sealed), its digest, its body. What is on disk is always a table that was served at one
//! time, whenever the process is killed: a small write is one sled batch, and a large one is a tree of its own, written
//! in small batches, which then takes the place of the former tree. (sled keeps many times the size of a batch in
//! memory, and gives none of it back.)

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use portcullis_proto::link::v1 as link;
use portcullis_proto::table::v1::{EndpointSet, Kind};
use portcullis_shared::database;
use portcullis_shared::version::{Digest, Version};
use prost::Message as _;

use super::seal::Sealer;
use super::{Changes, Entry, Key};

const META: &[u8] = b"m";
const RESOURCE: u8 = b't';
const ENDPOINTS: u8 = b'e';
const CLEAR: u8 = 0;
const SEALED: u8 = 1;
/// In sled's default tree: the name of the tree that counts.
const CURRENT: &[u8] = b"current";
/// Entries of one sled batch.
const BATCH: usize = 64;

/// sled's page cache; the default of 1 GiB is for databases.
const PAGE_CACHE: u64 = 8 * 1024 * 1024;

/// Why the cache could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// sled's word.
    #[error("cache: {0}")]
    Sled(#[from] sled::Error),
    /// A private key could not be sealed.
    #[error("cache: {0}")]
    Seal(#[from] super::seal::Error),
    /// The folder cannot be opened.
    #[error("cache: {0}")]
    Open(#[from] database::Error),
}

/// The open cache.
#[derive(Debug)]
pub struct Store {
    db: sled::Db,
    /// The tree that counts.
    tree: Mutex<sled::Tree>,
    sealer: Option<Sealer>,
}

/// What was on disk.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Resources whose bytes fit their digests.
    pub entries: Vec<(Key, Entry)>,
    /// Endpoint sets.
    pub endpoints: Vec<EndpointSet>,
    /// Which version this was, and when it was written.
    pub saved: Option<Saved>,
    /// Entries that were there and could not be used: sealed with another key, or damaged.
    pub unusable: usize,
}

/// The mark of the last write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// The table's version.
    pub version: Version,
    /// When it was written, by this machine's clock.
    pub at: SystemTime,
}

impl Store {
    /// Opens the cache in `folder`. A damaged one is renamed to `<folder>.damaged` and an empty one takes its place.
    ///
    /// # Errors
    /// Another process has it open, or the disk does not allow it.
    pub fn open(folder: &Path, sealer: Option<Sealer>) -> Result<Self, Error> {
        let db = database::open(folder, PAGE_CACHE)?;
        let tree = Mutex::new(current(&db)?);
        Ok(Self { db, tree, sealer })
    }

    fn tree(&self) -> sled::Tree {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads everything. What cannot be used is left out and counted.
    #[must_use]
    pub fn load(&self) -> Loaded {
        let mut loaded = Loaded::default();
        for item in self.tree().iter() {
            let Ok((key, value)) = item else {
                loaded.unusable += 1;
                continue;
            };
            let used = match key.split_first() {
                Some((&RESOURCE, name)) => {
                    self.resource(&key, name, &value).map(|entry| loaded.entries.push(entry)).is_some()
                }
                Some((&ENDPOINTS, _)) => {
                    EndpointSet::decode(&value[..]).map(|set| loaded.endpoints.push(set)).is_ok()
                }
                _ if key == META => {
                    loaded.saved = saved(&value);
                    true
                }
                _ => false,
            };
            loaded.unusable += usize::from(!used);
        }
        loaded
    }

    fn resource(&self, key: &[u8], name: &[u8], value: &[u8]) -> Option<(Key, Entry)> {
        let (&kind, name) = name.split_first()?;
        let name: Arc<str> = std::str::from_utf8(name).ok()?.into();
        let (&form, rest) = value.split_first()?;
        let (digest, body) = rest.split_first_chunk::<16>()?;
        let digest = Digest::from_slice(digest)?;
        let body = match form {
            CLEAR => Bytes::copy_from_slice(body),
            SEALED => self.sealer.as_ref()?.open(key, body).ok()?.into(),
            _ => return None,
        };
        (Digest::of(&body) == digest)
            .then(|| ((i32::from(kind), name), Entry { digest, body, secret: form == SEALED }))
    }

    /// Writes `changes` as a whole and waits until they are on disk. A private key without a sealer is left out.
    ///
    /// # Errors
    /// The disk, or the system's randomness.
    pub fn write(&self, changes: &Changes) -> Result<(), Error> {
        let former = self.tree();
        if !changes.reset && changes.entries.len() + changes.endpoints.len() < BATCH {
            let mut batches = Batches::to(&former);
            self.put(changes, &mut batches)?;
            return batches.end();
        }
        let next = self.db.open_tree(following(&former.name()))?;
        let mut batches = Batches::to(&next);
        for item in former.iter() {
            let (key, value) = item?;
            if !(changes.reset && key.starts_with(&[RESOURCE])) {
                batches.insert(key, value)?;
            }
        }
        self.put(changes, &mut batches)?;
        batches.end()?;
        self.db.insert(CURRENT, next.name())?;
        self.db.flush()?;
        *self.tree.lock().unwrap_or_else(PoisonError::into_inner) = next;
        self.db.drop_tree(former.name())?;
        Ok(())
    }

    fn put(&self, changes: &Changes, batches: &mut Batches<'_>) -> Result<(), Error> {
        for ((kind, name), entry) in &changes.entries {
            let key = resource_key(*kind, name);
            match entry {
                Some(entry) => match self.value(&key, entry)? {
                    Some(value) => batches.insert(key, value)?,
                    None => batches.remove(key)?,
                },
                None => batches.remove(key)?,
            }
        }
        for (upstream, set) in &changes.endpoints {
            let key = [&[ENDPOINTS], upstream.as_bytes()].concat();
            match set {
                Some(set) => batches.insert(key, set.encode_to_vec())?,
                None => batches.remove(key)?,
            }
        }
        if let Some(version) = changes.version {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            let now = u64::try_from(now).unwrap_or(u64::MAX);
            let words = [version.epoch, version.seq, now].map(u64::to_be_bytes);
            batches.insert(META, words.concat())?;
        }
        Ok(())
    }

    fn value(&self, key: &[u8], entry: &Entry) -> Result<Option<Vec<u8>>, Error> {
        let (form, body) = match (entry.secret, &self.sealer) {
            (false, _) => (CLEAR, entry.body.to_vec()),
            (true, Some(sealer)) => (SEALED, sealer.seal(key, &entry.body)?),
            (true, None) => return Ok(None),
        };
        Ok(Some([&[form], &entry.digest.as_bytes()[..], &body].concat()))
    }
}

/// Writes to a tree, [`BATCH`] entries at a time.
struct Batches<'a> {
    tree: &'a sled::Tree,
    batch: sled::Batch,
    entries: usize,
}

impl<'a> Batches<'a> {
    fn to(tree: &'a sled::Tree) -> Self {
        Self { tree, batch: sled::Batch::default(), entries: 0 }
    }

    fn insert(&mut self, key: impl Into<sled::IVec>, value: impl Into<sled::IVec>) -> Result<(), Error> {
        self.batch.insert(key, value);
        self.added()
    }

    fn remove(&mut self, key: impl Into<sled::IVec>) -> Result<(), Error> {
        self.batch.remove(key);
        self.added()
    }

    fn added(&mut self) -> Result<(), Error> {
        self.entries += 1;
        if self.entries <= BATCH { Ok(()) } else { self.apply() }
    }

    fn apply(&mut self) -> Result<(), Error> {
        self.entries = 0;
        self.tree.apply_batch(std::mem::take(&mut self.batch))?;
        // What is on disk need not stay in memory.
        self.tree.flush()?;
        Ok(())
    }

    fn end(mut self) -> Result<(), Error> {
        self.apply()
    }
}

/// Decodes the message of an entry; `None` when it is of no known kind or not what it claims to be.
#[must_use]
pub fn resource(kind: i32, body: &Bytes) -> Option<link::upsert::Resource> {
    use link::upsert::Resource;
    use portcullis_proto::table::v1 as table;
    let body = body.clone();
    match Kind::try_from(kind).ok()? {
        Kind::Unspecified => None,
        Kind::Listener => table::Listener::decode(body).ok().map(Resource::Listener),
        Kind::VirtualHost => table::VirtualHost::decode(body).ok().map(Resource::VirtualHost),
        Kind::Upstream => table::Upstream::decode(body).ok().map(Resource::Upstream),
        Kind::Split => table::Split::decode(body).ok().map(Resource::Split),
        Kind::Certificate => table::Certificate::decode(body).ok().map(Resource::Certificate),
    }
}

fn resource_key(kind: i32, name: &str) -> Vec<u8> {
    // The schema's kinds are small numbers; one that is not becomes 255, which decodes to nothing.
    [&[RESOURCE, u8::try_from(kind).unwrap_or(u8::MAX)], name.as_bytes()].concat()
}

/// The tree that counts, alone: others are of writes that did not end, or were replaced.
fn current(db: &sled::Db) -> Result<sled::Tree, Error> {
    let name = db.get(CURRENT)?.unwrap_or_else(|| (&following(b"")).into());
    let tree = db.open_tree(&name)?;
    db.insert(CURRENT, name)?;
    for other in db.tree_names() {
        if other != tree.name() && other != db.name() {
            db.drop_tree(other)?;
        }
    }
    Ok(tree)
}

/// The name of the tree that replaces the one of that name.
fn following(name: &[u8]) -> [u8; 8] {
    name.try_into().map_or(0, u64::from_be_bytes).wrapping_add(1).to_be_bytes()
}

fn saved(value: &[u8]) -> Option<Saved> {
    let (epoch, rest) = value.split_first_chunk::<8>()?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let at: [u8; 8] = rest.try_into().ok()?;
    Some(Saved {
        version: Version { epoch: u64::from_be_bytes(*epoch), seq: u64::from_be_bytes(*seq) },
        at: UNIX_EPOCH.checked_add(Duration::from_millis(u64::from_be_bytes(at)))?,
    })
}

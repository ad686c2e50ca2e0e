//! The cache's form on disk: one sled tree in one folder, one writer.
//!
//! Keys are `m` (when and which version), `t<kind><name>` (a resource) and `e<upstream>` (its endpoints). A resource's
//! value is one byte (0 clear, 1 sealed), its digest, its body. One write is one sled batch, so that what is on disk is
//! always a table that was served at one time, whenever the process is killed.

use std::os::unix::fs::DirBuilderExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use portcullis_proto::link::v1 as link;
use portcullis_proto::table::v1::{EndpointSet, Kind};
use portcullis_shared::version::{Digest, Version};
use prost::Message as _;

use super::seal::Sealer;
use super::{Changes, Entry, Key};

const META: &[u8] = b"m";
const RESOURCE: u8 = b't';
const ENDPOINTS: u8 = b'e';
const CLEAR: u8 = 0;
const SEALED: u8 = 1;

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
    /// The folder is not there and cannot be made.
    #[error("cache: cannot create the folder: {0}")]
    Folder(std::io::Error),
    /// The folder is damaged beyond reading.
    #[error("cache: the folder is damaged")]
    Damaged,
    /// The damaged folder could not be renamed.
    #[error("cache: cannot set the damaged folder aside: {0}")]
    SetAside(std::io::Error),
}

/// The open cache.
#[derive(Debug)]
pub struct Store {
    db: sled::Db,
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
        let db = match open_db(folder) {
            Ok(db) => db,
            Err(Error::Damaged) => {
                tracing::warn!(folder = %folder.display(), "the cache is damaged; starting with an empty one");
                set_aside(folder)?;
                open_db(folder)?
            }
            Err(other) => return Err(other),
        };
        Ok(Self { db, sealer })
    }

    /// Reads everything. What cannot be used is left out and counted.
    #[must_use]
    pub fn load(&self) -> Loaded {
        let mut loaded = Loaded::default();
        for item in self.db.iter() {
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

    /// Writes `changes` as one batch and waits until they are on disk. A private key without a sealer is left out.
    ///
    /// # Errors
    /// The disk, or the system's randomness.
    pub fn write(&self, changes: &Changes) -> Result<(), Error> {
        let mut batch = sled::Batch::default();
        if changes.reset {
            for key in self.db.scan_prefix([RESOURCE]).keys() {
                batch.remove(key?);
            }
        }
        for ((kind, name), entry) in &changes.entries {
            let key = resource_key(*kind, name);
            match entry {
                Some(entry) => match self.value(&key, entry)? {
                    Some(value) => batch.insert(key, value),
                    None => batch.remove(key),
                },
                None => batch.remove(key),
            }
        }
        for (upstream, set) in &changes.endpoints {
            let key = [&[ENDPOINTS], upstream.as_bytes()].concat();
            match set {
                Some(set) => batch.insert(key, set.encode_to_vec()),
                None => batch.remove(key),
            }
        }
        if let Some(version) = changes.version {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            let now = u64::try_from(now).unwrap_or(u64::MAX);
            let words = [version.epoch, version.seq, now].map(u64::to_be_bytes);
            batch.insert(META, words.concat());
        }
        self.db.apply_batch(batch)?;
        self.db.flush()?;
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

fn saved(value: &[u8]) -> Option<Saved> {
    let (epoch, rest) = value.split_first_chunk::<8>()?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let at: [u8; 8] = rest.try_into().ok()?;
    Some(Saved {
        version: Version { epoch: u64::from_be_bytes(*epoch), seq: u64::from_be_bytes(*seq) },
        at: UNIX_EPOCH.checked_add(Duration::from_millis(u64::from_be_bytes(at)))?,
    })
}

/// sled answers damage by an error or, in places, by a panic.
fn open_db(folder: &Path) -> Result<sled::Db, Error> {
    // What is not sealed in it tells a configuration all the same: it is nobody else's to read.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(Error::Folder)?;
    let config = sled::Config::new().path(folder).cache_capacity(PAGE_CACHE).flush_every_ms(None);
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let db = config.open()?;
        for item in db.iter() {
            item?;
        }
        Ok(db)
    }));
    match opened {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(
            sled::Error::Corruption { .. } | sled::Error::Unsupported(_) | sled::Error::ReportableBug(_),
        ))
        | Err(_) => Err(Error::Damaged),
        Ok(Err(other)) => Err(other.into()),
    }
}

fn set_aside(folder: &Path) -> Result<(), Error> {
    let mut name = folder.as_os_str().to_owned();
    name.push(".damaged");
    let aside = PathBuf::from(name);
    // One damaged copy is enough to look at.
    if aside.exists() {
        std::fs::remove_dir_all(&aside).map_err(Error::SetAside)?;
    }
    std::fs::rename(folder, &aside).map_err(Error::SetAside)
}

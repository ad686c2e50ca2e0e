//! The folder of a sled database: opened by its one owner, and set aside when it is damaged.
//!
//! What both planes keep on disk is a convenience that can be made again; a process that does not start over it would
//! be worse. So damage costs the content and nothing else. A folder that is busy or a disk that is full is not damage:
//! nothing is moved away then. Because sled needs room to open even what it only reads, each folder has a reserve beside
//! it, `<folder>.reserve`, which is given up on a full disk.
//!
//! After an error of the disk a database fails for ever: who wants to go on drops it and opens it again.
//!
//! Everything here blocks.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the former owner may take to let go: a process that ends, or sled's threads after the last handle.
const HANDOVER: Duration = Duration::from_secs(2);
/// Ending of the reserve's name.
const RESERVE: &str = ".reserve";
/// Some of sled's segments, and a snapshot.
const RESERVE_BYTES: usize = 2 << 20;
/// Between two looks at the lock.
const LOOK: Duration = Duration::from_millis(10);

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder is not there and cannot be made.
    #[error("cannot create {}: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it, or the disk does not allow it.
    #[error("cannot open {}: {source}", folder.display())]
    Open {
        /// The folder.
        folder: PathBuf,
        /// sled's word.
        source: sled::Error,
    },
    /// It is damaged and cannot be renamed.
    #[error("{} is damaged and cannot be set aside: {source}", folder.display())]
    SetAside {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

enum Refusal {
    Damaged,
    Sled(sled::Error),
}

/// Opens the database in `folder` with `page_cache` bytes of cache, and reads all of it once: damage shows now, not in
/// the middle of something. A damaged folder becomes `<folder>.damaged` (one copy is kept) and an empty one begins.
///
/// # Errors
/// Another process has it open for longer than two seconds, or the disk does not allow it.
pub fn open(folder: &Path, page_cache: u64) -> Result<sled::Db, Error> {
    let make = || {
        // A database tells a configuration: it is nobody else's to read.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| Error::Folder { folder: folder.to_owned(), source })
    };
    make()?;
    let mut opened = waited_for(folder, page_cache);
    if matches!(&opened, Err(Refusal::Sled(sled::Error::Io(error))) if is_full(error))
        && std::fs::remove_file(beside(folder, RESERVE)).is_ok()
    {
        tracing::warn!(folder = %folder.display(), "the disk is full; the reserve is given up");
        opened = waited_for(folder, page_cache);
    }
    let refused = match opened {
        Ok(db) => {
            keep_reserve(folder);
            return Ok(db);
        }
        Err(refused) => refused,
    };
    if matches!(refused, Refusal::Damaged) {
        let aside =
            set_aside(folder).map_err(|source| Error::SetAside { folder: folder.to_owned(), source })?;
        tracing::error!(folder = %folder.display(), set_aside = %aside.display(),
            "the database is damaged; it was set aside and an empty one begins");
        make()?;
    }
    waited_for(folder, page_cache).map_err(|refused| Error::Open {
        folder: folder.to_owned(),
        source: match refused {
            Refusal::Sled(error) => error,
            Refusal::Damaged => sled::Error::ReportableBug("a new database is damaged".to_owned()),
        },
    })
}

fn waited_for(folder: &Path, page_cache: u64) -> Result<sled::Db, Refusal> {
    let limit = Instant::now() + HANDOVER;
    loop {
        match read_whole(folder, page_cache) {
            // sled has no error of its own for this.
            Err(Refusal::Sled(sled::Error::Io(error)))
                if error.to_string().contains("acquire lock") && Instant::now() < limit =>
            {
                sleep(LOOK);
            }
            other => return other,
        }
    }
}

/// sled answers damage by an error or, in places, by a panic.
fn read_whole(folder: &Path, page_cache: u64) -> Result<sled::Db, Refusal> {
    let config = sled::Config::new().path(folder).cache_capacity(page_cache).flush_every_ms(None);
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let db = config.open()?;
        for name in db.tree_names() {
            for item in db.open_tree(name)?.iter() {
                item?;
            }
        }
        Ok(db)
    }));
    match opened {
        Ok(Ok(db)) => Ok(db),
        Err(_)
        | Ok(Err(
            sled::Error::Corruption { .. } | sled::Error::Unsupported(_) | sled::Error::ReportableBug(_),
        )) => Err(Refusal::Damaged),
        Ok(Err(other)) => Err(Refusal::Sled(other)),
    }
}

/// A path next to the folder.
fn beside(folder: &Path, ending: &str) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Makes the reserve if there is none. Where there is no room for it now, there may be at the next opening.
fn keep_reserve(folder: &Path) {
    let reserve = beside(folder, RESERVE);
    if reserve.exists() {
        return;
    }
    // Written, because a file that is only long takes no room.
    if std::fs::write(&reserve, vec![0; RESERVE_BYTES]).is_err() {
        let _ = std::fs::remove_file(&reserve);
    }
}

fn set_aside(folder: &Path) -> io::Result<PathBuf> {
    let aside = beside(folder, ".damaged");
    if aside.exists() {
        std::fs::remove_dir_all(&aside)?;
    }
    std::fs::rename(folder, &aside)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_there_when_it_is_opened_again_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/db");
        for n in 0..20_u8 {
            let db = open(&folder, 1 << 20).unwrap();
            assert_eq!(db.len(), usize::from(n));
            db.insert([n], vec![n; 5000]).unwrap();
        }
    }

    #[test]
    fn one_damaged_copy_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("db");
        for _ in 0..2 {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("conf"), b"this is no sled configuration").unwrap();
            std::fs::write(folder.join("db"), vec![0xa5; 8192]).unwrap();
            assert!(open(&folder, 1 << 20).unwrap().is_empty());
        }
        let kept = std::fs::read(dir.path().join("db.damaged/conf")).unwrap();
        assert_eq!(kept, b"this is no sled configuration");
    }

    #[test]
    fn a_busy_folder_is_left_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let _held = open(dir.path(), 1 << 20).unwrap();
        let error = open(dir.path(), 1 << 20).unwrap_err();
        assert!(matches!(error, Error::Open { .. }), "{error}");
    }

    /// Every file of a folder, with its content.
    fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                files.extend(self::files(&entry.path()));
            } else {
                files.push((entry.path(), std::fs::read(entry.path()).unwrap()));
            }
        }
        files.sort();
        files
    }

    #[test]
    fn whatever_happens_to_the_files_a_usable_database_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("db");
        {
            let db = open(&folder, 1 << 20).unwrap();
            for n in 0..200_u32 {
                db.insert(n.to_be_bytes(), vec![n as u8; 50 + n as usize * 7]).unwrap();
            }
            db.flush().unwrap();
        }
        let whole = files(&folder);
        let mut state = 7_u64;
        let mut dice = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below.max(1)
        };
        for round in 0..40 {
            let _ = std::fs::remove_dir_all(&folder);
            for (path, bytes) in &whole {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
            let (path, bytes) = &whole[dice(whole.len())];
            let mut bytes = bytes.clone();
            match round % 4 {
                0 => bytes.truncate(dice(bytes.len())),
                1 => std::fs::remove_file(path).unwrap(),
                2 => (0..1 + dice(20)).for_each(|_| {
                    let at = dice(bytes.len());
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << dice(8);
                    }
                }),
                _ => {
                    let from = dice(bytes.len());
                    let to = (from + dice(4096)).min(bytes.len());
                    bytes[from..to].fill(0);
                }
            }
            if round % 4 != 1 {
                std::fs::write(path, bytes).unwrap();
            }
            for _ in 0..2 {
                let db = open(&folder, 1 << 20).unwrap_or_else(|error| panic!("round {round}: {error}"));
                db.insert(b"new", vec![1; 3000]).unwrap();
                db.flush().unwrap();
                assert!(db.get(b"new").unwrap().is_some(), "round {round}");
            }
        }
    }
}

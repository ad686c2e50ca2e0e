//! The folder of a sled database: opened by its one owner, and set aside when it is damaged.
//!
//! What both planes keep on disk is a convenience that can be made again; a process that does not start over it would
//! be worse. So damage costs the content and nothing else. A folder that is busy or a disk that is full is not damage:
//! nothing is moved away then.
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
    let refused = match waited_for(folder, page_cache) {
        Ok(db) => return Ok(db),
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

fn set_aside(folder: &Path) -> io::Result<PathBuf> {
    let mut name = folder.as_os_str().to_owned();
    name.push(".damaged");
    let aside = PathBuf::from(name);
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
}

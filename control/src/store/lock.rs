//! One control process per data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error(
        "{path} is in use by another portcullis-control (pid {pid}); stop that one, or choose another --data-dir"
    )]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// What the other process wrote into the lock file.
        pid: String,
    },
    /// It cannot be created or written.
    #[error("data directory {path}: {source}")]
    Io {
        /// The data directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The data directory, locked until this is dropped or the process ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The lock lives as long as the file is open.
    _lock: File,
}

impl DataDir {
    /// Creates `path` if needed (mode 0750) and locks it.
    ///
    /// # Errors
    /// Another process holds the lock, or the directory cannot be used.
    pub fn lock(path: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { path: path.to_owned(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o750).create(path).map_err(io)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("control.lock"))
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // The pid only helps the reader of the message.
                let _ = file.read_to_string(&mut pid);
                let pid = if pid.trim().is_empty() { "unknown" } else { pid.trim() }.to_owned();
                return Err(LockError::InUse { path: path.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { path: path.to_owned(), _lock: file })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

//! Which files of a folder count, without reading them.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What tells that a file may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Device and inode, of the file behind any symlinks.
    pub id: (u64, u64),
    /// Size in bytes.
    pub size: u64,
    /// Last change of the content, seconds and nanoseconds.
    pub modified: (i64, i64),
    /// Last change of the inode, seconds and nanoseconds.
    pub changed: (i64, i64),
}

impl Stamp {
    /// Of a file.
    pub fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            id: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What a walk found.
#[derive(Debug, Default)]
pub struct Found {
    /// Files that count, by path.
    pub files: BTreeMap<PathBuf, Stamp>,
    /// Folders and files that are there and cannot be looked at.
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

/// Walks a folder, following symlinks. A file that can be reached by two paths is found once, by the first of them.
pub fn scan(root: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    let metadata = fs::metadata(root)?;
    if metadata.is_file() {
        // A single file is taken whatever it is called.
        found.files.insert(root.to_owned(), Stamp::of(&metadata));
        return Ok(found);
    }
    let mut walk = Walk { found, above: Vec::new(), seen: HashSet::new() };
    walk.folder(root, &metadata)?;
    Ok(walk.found)
}

/// Whether a name is hidden: dot files, and the internals of Kubernetes mounts (`..data`, `..2024_01_01..`), whose
/// content is reached by the symlinks beside them.
pub fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Whether a file of that name may hold resources.
pub fn is_ours(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or("");
    let known = ["yaml", "yml", "json"].iter().any(|ours| extension.eq_ignore_ascii_case(ours));
    known && !path.file_name().is_none_or(is_hidden)
}

struct Walk {
    found: Found,
    /// Device and inode of the folders that lead here, so that a symlink to one of them ends the walk.
    above: Vec<(u64, u64)>,
    seen: HashSet<(u64, u64)>,
}

impl Walk {
    fn folder(&mut self, path: &Path, metadata: &Metadata) -> io::Result<()> {
        let id = (metadata.dev(), metadata.ino());
        if self.above.contains(&id) {
            return Ok(());
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.push(entry?.file_name());
        }
        names.sort();
        self.above.push(id);
        for name in names.iter().filter(|name| !is_hidden(name)) {
            self.member(&path.join(name));
        }
        self.above.pop();
        Ok(())
    }

    fn member(&mut self, path: &Path) {
        let outcome = fs::metadata(path).and_then(|metadata| {
            if metadata.is_dir() {
                return self.folder(path, &metadata);
            }
            // Pipes, sockets and devices would block the reader.
            if metadata.is_file() && is_ours(path) {
                let stamp = Stamp::of(&metadata);
                if self.seen.insert(stamp.id) {
                    self.found.files.insert(path.to_owned(), stamp);
                }
            }
            Ok(())
        });
        match outcome {
            Ok(()) => {}
            // It went away meanwhile, unless it is a symlink that leads nowhere: that is told, because during the swap
            // of a mount it must not look like a deletion.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {}
            Err(error) => {
                let folder = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
                if folder || is_ours(path) {
                    self.found.unreadable.push((path.to_owned(), error));
                }
            }
        }
    }
}

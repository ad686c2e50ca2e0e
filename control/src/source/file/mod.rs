//! Resources out of a folder: read once (`load`), or read and followed (`follow`).
//!
//! Owns which files count, what they held when they could last be read, and the inotify watch. Must not decide what a
//! resource means: the text goes through `resource::parse`, and what comes out goes to whoever asked.

mod follow;
mod listing;
mod scan;
mod set;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::resource::{Entry, Finding};

pub use follow::{Pace, follow};
pub use set::FileSet;

/// What a folder holds.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// One per resource. Of resources that are defined twice the first by path and position is here.
    pub entries: Vec<Arc<Entry>>,
    /// What belongs to no resource: files that cannot be read, broken documents, resources that are defined twice.
    pub problems: Vec<Finding>,
    /// Documents of kinds that are not served.
    pub notices: Vec<Finding>,
    /// Files and folders that could not be read whole. What came from there at another time is not known to be gone.
    pub incomplete: Vec<PathBuf>,
}

impl Loaded {
    /// The resources.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.iter()
    }

    /// What belongs to no resource.
    pub fn problems(&self) -> impl Iterator<Item = &Finding> {
        self.problems.iter()
    }

    /// Documents of kinds that are not served.
    pub fn notices(&self) -> impl Iterator<Item = &Finding> {
        self.notices.iter()
    }
}

/// Reads a folder once, at any depth; or one file. Fails only if the folder itself cannot be read.
pub fn load(folder: &Path, default_namespace: &str) -> io::Result<Loaded> {
    let mut set = FileSet::new(folder, default_namespace);
    set.open()?;
    Ok(set.loaded())
}

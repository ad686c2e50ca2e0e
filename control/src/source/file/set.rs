//! The files of a folder with what they hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_shared::version::Digest;

use super::Loaded;
use super::listing::Listing;
use super::scan::{self, Found, Stamp};
use crate::resource::{Entry, Finding, Location, ObjectRef, Parsed, parse, parse_again};

/// A file larger than this is not configuration.
const SIZE_LIMIT: u64 = 64 << 20;
/// No more threads than these read a folder for the first time.
const READERS: usize = 4;
/// A file that was read this soon after its last change may have changed again within one tick of the file clock.
const CLOCK_TICK: Duration = Duration::from_secs(2);

/// The files of a folder with what they held when they could last be read.
///
/// What cannot be read keeps what it held: only a file that is certainly gone takes its resources with it.
#[derive(Debug)]
pub struct FileSet {
    root: PathBuf,
    default_namespace: String,
    /// The device on which the folder was at first: an unmounted folder looks empty and is not.
    device: Option<u64>,
    files: BTreeMap<PathBuf, Held>,
    /// Folders that cannot be read, and the root itself.
    folders: BTreeMap<PathBuf, Finding>,
    listing: Listing,
    /// Files that a rescan found as they were, but read so soon after their last change that it must be made sure.
    unsure: Vec<PathBuf>,
}

/// One file.
#[derive(Debug, Default)]
struct Held {
    stamp: Option<Stamp>,
    read_at: Option<SystemTime>,
    digest: Digest,
    parsed: Arc<Parsed>,
    /// Resources of an earlier content, in use because the present content is broken.
    kept: Vec<Arc<Entry>>,
    /// Why the file could not be read.
    problem: Option<Finding>,
}

impl FileSet {
    /// A set that has read nothing yet.
    pub fn new(root: impl Into<PathBuf>, default_namespace: impl Into<String>) -> FileSet {
        FileSet {
            root: root.into(),
            default_namespace: default_namespace.into(),
            device: None,
            files: BTreeMap::new(),
            folders: BTreeMap::new(),
            listing: Listing::default(),
            unsure: Vec::new(),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads everything for the first time. Fails if the folder itself cannot be read.
    pub fn open(&mut self) -> io::Result<()> {
        let found = scan::scan(&self.root)?;
        self.device = self.present_device();
        self.files.extend(read_all(&found.files, &self.default_namespace));
        self.take(found, &BTreeSet::new());
        // Too early: they can only be made sure of some time after their last change.
        self.unsure.clear();
        Ok(())
    }

    /// Looks at every file and reads the ones that may have changed, but for those of `hold`, which are not done yet.
    /// Tells whether anything differs from before.
    pub fn rescan(&mut self, hold: &BTreeSet<PathBuf>) -> bool {
        let (found, trouble) = match scan::scan(&self.root) {
            Ok(found) => {
                let device = self.present_device();
                let moved = self.device.is_some() && device != self.device;
                if moved && found.files.is_empty() && !self.files.is_empty() {
                    (
                        None,
                        "the folder is empty and on another device than before: is it still mounted?"
                            .to_owned(),
                    )
                } else {
                    self.device = device;
                    (Some(found), String::new())
                }
            }
            Err(error) => (None, format!("the folder cannot be read: {error}")),
        };
        match found {
            Some(found) => self.take(found, hold),
            None => {
                let problem = kept(&self.root, &trouble);
                let changed = self.folders.get(&self.root) != Some(&problem);
                self.folders.insert(self.root.clone(), problem);
                self.listing.forget();
                changed
            }
        }
    }

    /// Reads the given files, which are known to have changed. Tells whether anything differs from before. Anything but
    /// a plain file that is known leads to a full scan, which leaves the files of `hold` alone.
    pub fn apply(&mut self, paths: &BTreeSet<PathBuf>, hold: &BTreeSet<PathBuf>) -> bool {
        let plain = |path: &PathBuf| {
            scan::is_ours(path)
                && fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
                // A new file may be a second name of a known one, which only a scan tells.
                && self.files.contains_key(path)
        };
        if !paths.iter().all(plain) {
            // The files that are named are read even if their stamps did not move.
            for path in paths {
                if let Some(held) = self.files.get_mut(path) {
                    held.stamp = None;
                }
            }
            return self.rescan(hold);
        }
        let mut changed = false;
        for path in paths {
            match fs::metadata(path) {
                Ok(metadata) => changed |= self.read(path, Some(Stamp::of(&metadata))),
                Err(_) => return self.rescan(hold) || changed,
            }
        }
        changed
    }

    /// Reads some of the files that a rescan left for later, but none of `hold`. Tells whether anything differs from
    /// before.
    pub fn make_sure(&mut self, most: usize, hold: &BTreeSet<PathBuf>) -> bool {
        let rest = self.unsure.len().saturating_sub(most);
        let mut changed = false;
        for path in self.unsure.split_off(rest).into_iter().filter(|path| !hold.contains(path)) {
            if let Ok(metadata) = fs::metadata(&path) {
                changed |= self.read(&path, Some(Stamp::of(&metadata)));
            }
        }
        changed
    }

    /// Whether there are files to [make sure](Self::make_sure) of.
    pub fn is_unsure(&self) -> bool {
        !self.unsure.is_empty()
    }

    /// What all files hold together.
    pub fn loaded(&mut self) -> Loaded {
        if let Some(loaded) = self.listing.advance() {
            return loaded;
        }
        let (loaded, doubles) = self.list();
        self.listing.remember(&loaded, doubles);
        loaded
    }

    /// What all files hold together, and whether some resource is defined twice.
    fn list(&self) -> (Loaded, bool) {
        let mut doubles = false;
        let mut loaded = Loaded::default();
        let mut first: HashMap<&ObjectRef, &Location> = HashMap::new();
        loaded.problems.extend(self.folders.values().cloned());
        loaded.incomplete.extend(self.folders.keys().cloned());
        for (path, held) in &self.files {
            if held.problem.is_some() || !held.parsed.problems.is_empty() {
                loaded.incomplete.push(path.clone());
            }
            loaded.problems.extend(held.problem.iter().cloned());
            loaded.problems.extend(held.parsed.problems.iter().cloned());
            loaded.notices.extend(held.parsed.notices.iter().cloned());
            for entry in held.parsed.entries.iter().chain(&held.kept) {
                match first.get(&entry.id) {
                    None => {
                        first.insert(&entry.id, &entry.location);
                        loaded.entries.push(entry.clone());
                    }
                    Some(other) => {
                        doubles = true;
                        loaded.problems.push(twice(entry, other));
                    }
                }
            }
        }
        (loaded, doubles)
    }

    fn present_device(&self) -> Option<u64> {
        fs::metadata(&self.root).ok().map(|metadata| Stamp::of(&metadata).id.0)
    }

    fn take(&mut self, found: Found, hold: &BTreeSet<PathBuf>) -> bool {
        let mut changed = false;
        let unreadable: Vec<&PathBuf> = found.unreadable.iter().map(|(path, _)| path).collect();
        let certainly_gone = |path: &PathBuf| {
            !found.files.contains_key(path) && !unreadable.iter().any(|folder| path.starts_with(folder))
        };
        self.files.retain(|path, _| {
            let gone = certainly_gone(path) && !hold.contains(path);
            changed |= gone;
            !gone
        });
        self.unsure.clear();
        for (path, stamp) in found.files.into_iter().filter(|(path, _)| !hold.contains(path)) {
            changed |= self.read_if_new(&path, stamp);
        }
        let mut folders = BTreeMap::new();
        for (path, error) in found.unreadable {
            let problem = kept(&path, &format!("cannot be read: {error}"));
            folders.insert(path, problem);
        }
        changed |= folders != self.folders;
        self.folders = folders;
        if changed {
            self.listing.forget();
        }
        changed
    }

    fn read_if_new(&mut self, path: &Path, stamp: Stamp) -> bool {
        let known = self.files.get(path).is_some_and(|held| {
            let settled = held.read_at.is_some_and(|read_at| {
                let seconds = u64::try_from(stamp.modified.0).unwrap_or(0);
                UNIX_EPOCH + Duration::from_secs(seconds) + CLOCK_TICK < read_at
            });
            held.stamp == Some(stamp) && settled && held.problem.is_none()
        });
        let alike =
            self.files.get(path).is_some_and(|held| held.stamp == Some(stamp) && held.problem.is_none());
        if alike && !known {
            self.unsure.push(path.to_owned());
        }
        !alike && self.read(path, Some(stamp))
    }

    /// Reads one file. Tells whether anything differs from before.
    fn read(&mut self, path: &Path, stamp: Option<Stamp>) -> bool {
        let read_at = Some(SystemTime::now());
        let text = match read_text(path) {
            Ok(text) => text,
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                self.listing.forget();
                return self.files.remove(path).is_some();
            }
            Err(error) => return self.fail(path, &error.to_string()),
        };
        let digest = Digest::of(text.as_bytes());
        if let Some(held) = self.files.get_mut(path)
            && held.read_at.is_some()
            && held.problem.is_none()
            && held.digest == digest
        {
            (held.stamp, held.read_at) = (stamp, read_at);
            return false;
        }
        if text.trim().is_empty() {
            // A file is emptied on purpose by deleting it; a file without content is one that is being written, or one
            // that a full disk cut off.
            return self.fail(path, "the file is empty");
        }
        let held = self.files.entry(path.to_owned()).or_default();
        let parsed = parse_again(path, &text, &self.default_namespace, &held.parsed);
        let mut kept = Vec::new();
        if !parsed.problems.is_empty() {
            // A broken document may be one that was there before: what is missing now does not count as deleted.
            let before = held.parsed.entries.iter().chain(&held.kept);
            kept.extend(before.filter(|entry| !parsed.entries.iter().any(|new| new.id == entry.id)).cloned());
        }
        if kept.is_empty() && held.kept.is_empty() && held.problem.is_none() {
            self.listing.replace(&held.parsed, &parsed);
        } else {
            self.listing.forget();
        }
        *held = Held { stamp, read_at, digest, parsed: Arc::new(parsed), kept, problem: None };
        true
    }

    fn fail(&mut self, path: &Path, reason: &str) -> bool {
        let problem = kept(path, reason);
        let held = self.files.entry(path.to_owned()).or_default();
        let changed = held.problem.as_ref() != Some(&problem);
        held.problem = Some(problem);
        self.listing.forget();
        changed
    }
}

fn kept(path: &Path, reason: &str) -> Finding {
    Finding::error("", format!("{reason}; what was read from there before stays in use"))
        .at(Location::file(path))
}

fn twice(entry: &Entry, first: &Location) -> Finding {
    let message = format!(
        "{} is defined twice: at {first}, which counts, and at {}, which is left out",
        entry.id, entry.location
    );
    Finding::error("", message).at(entry.location.clone())
}

/// Reads files for the first time, on all cores: parsing is most of a cold start. Those that are not as they should be
/// are left out, to be looked at one by one.
fn read_all(files: &BTreeMap<PathBuf, Stamp>, default_namespace: &str) -> Vec<(PathBuf, Held)> {
    let files: Vec<(&PathBuf, &Stamp)> = files.iter().collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(READERS);
    let share = files.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let read = |part: &[(&PathBuf, &Stamp)]| -> Vec<(PathBuf, Held)> {
            part.iter().filter_map(|(path, stamp)| read_first(path, **stamp, default_namespace)).collect()
        };
        let tasks: Vec<_> = files.chunks(share).map(|part| scope.spawn(move || read(part))).collect();
        let join = |task: std::thread::ScopedJoinHandle<'_, _>| {
            task.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        tasks.into_iter().flat_map(join).collect()
    })
}

fn read_first(path: &Path, stamp: Stamp, default_namespace: &str) -> Option<(PathBuf, Held)> {
    let read_at = Some(SystemTime::now());
    let text = read_text(path).ok().filter(|text| !text.trim().is_empty())?;
    let parsed = Arc::new(parse(path, &text, default_namespace));
    let digest = Digest::of(text.as_bytes());
    Some((path.to_owned(), Held { stamp: Some(stamp), read_at, digest, parsed, ..Held::default() }))
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("larger than 64 MiB: not configuration")]
    TooLarge,
    #[error("not UTF-8 text")]
    Encoding,
}

fn read_text(path: &Path) -> Result<String, ReadError> {
    let mut bytes = Vec::new();
    File::open(path)?.take(SIZE_LIMIT + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|size| size > SIZE_LIMIT) {
        return Err(ReadError::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| ReadError::Encoding)
}

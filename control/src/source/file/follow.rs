//! Follows a folder: inotify says that something happened, the files say what.

use std::collections::{BTreeSet, HashMap};
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RenameMode};
use notify::{Config, Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::scan;
use super::{FileSet, Loaded};

/// How fast changes are followed.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// A burst of events is over when it was quiet for so long.
    pub settle: Duration,
    /// A burst is cut after so long.
    pub longest: Duration,
    /// A file that is open for writing is waited for at most so long.
    pub writing: Duration,
    /// A file that went away counts as gone after so long: many programs write by deleting and making anew.
    pub gone: Duration,
    /// Everything is looked at again so often, in case an event was lost or could not be had.
    pub rescan: Duration,
    /// The pause before more of the files are read that a rescan is not sure about.
    pub unsure: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            settle: Duration::from_millis(3),
            longest: Duration::from_millis(100),
            writing: Duration::from_secs(1),
            gone: Duration::from_millis(50),
            rescan: Duration::from_secs(15),
            unsure: Duration::from_millis(50),
        }
    }
}

/// So many files that a rescan is not sure about are read at once: changes do not wait for all of them.
const UNSURE: usize = 64;
/// Events between the watcher's thread and us; when they are too many, a rescan takes their place.
const QUEUE: usize = 1024;

/// Reads a folder, hands what it holds to `publish`, and does so again after every change. Ends only by being dropped.
///
/// A folder that cannot be read is waited for: nothing is published before it was read once, and what was published
/// stays when it cannot be read later.
pub async fn follow(folder: PathBuf, default_namespace: String, pace: Pace, publish: impl Fn(Loaded) + Send) {
    let mut set = FileSet::new(folder, default_namespace);
    // The watch comes first: what happens between it and the first look is seen twice rather than never.
    let mut watch = Watch::start(set.root());
    loop {
        let (back, outcome) = blocking(set, FileSet::open).await;
        set = back;
        match outcome {
            Ok(()) => break,
            Err(error) => {
                tracing::warn!(folder = %set.root().display(), %error, "the configuration folder cannot be read yet");
                sleep(Duration::from_secs(1)).await;
                watch = Watch::start(set.root());
            }
        }
    }
    publish(set.loaded());
    loop {
        let unsure = set.is_unsure().then_some(pace.unsure);
        let Batch { paths, hold } = watch.batch(&pace, unsure).await;
        let (back, changed) = match paths {
            Some(paths) if paths.is_empty() => blocking(set, move |set| set.make_sure(UNSURE, &hold)).await,
            Some(paths) => blocking(set, move |set| set.apply(&paths, &hold)).await,
            None => {
                watch.renew_if_lost(set.root());
                blocking(set, move |set| set.rescan(&hold)).await
            }
        };
        set = back;
        if changed {
            publish(set.loaded());
        }
    }
}

/// File work off the runtime's threads. The set travels there and back; if the runtime shuts down, so do we.
async fn blocking<T: Send + 'static>(
    mut set: FileSet,
    work: impl FnOnce(&mut FileSet) -> T + Send + 'static,
) -> (FileSet, T) {
    let task = tokio::task::spawn_blocking(move || {
        let outcome = work(&mut set);
        (set, outcome)
    });
    match task.await {
        Ok(done) => done,
        // A panic in parsing is passed on, so that the supervisor sees it.
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => pending().await,
    }
}

/// What has to be looked at.
#[derive(Debug)]
struct Batch {
    /// These files; `None` = everything, none = those that are not sure.
    paths: Option<BTreeSet<PathBuf>>,
    /// But not these, which are being written.
    hold: BTreeSet<PathBuf>,
}

/// A file that changed.
#[derive(Debug, Clone, Copy)]
struct Hold {
    /// From when on it may be looked at.
    from: Instant,
    /// Whether that is the longest that a writer is waited for.
    writing: bool,
}

/// The inotify watch and its events.
struct Watch {
    /// Events come as long as this lives; `None` when there is no watch and only rescans help.
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of the folder that is watched.
    watched: Option<(u64, u64)>,
    events: mpsc::Receiver<Event>,
    overflow: Arc<AtomicBool>,
    /// Files that changed, and from when on they may be looked at.
    changed: HashMap<PathBuf, Hold>,
    everything: bool,
    next_rescan: Option<Instant>,
}

impl Watch {
    fn start(folder: &Path) -> Watch {
        let (sender, events) = mpsc::channel(QUEUE);
        let overflow = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&overflow);
        let handler = move |event: notify::Result<Event>| {
            let lost = match event {
                Ok(event) if event.need_rescan() => true,
                Ok(event) => sender.try_send(event).is_err(),
                Err(_) => true,
            };
            if lost {
                flag.store(true, Ordering::Release);
                // Somebody has to wake up even if the queue is full by then; a full queue wakes by itself.
                let _ = sender.try_send(Event::new(EventKind::Other));
            }
        };
        let watcher = RecommendedWatcher::new(handler, Config::default()).and_then(|mut watcher| {
            watcher.watch(folder, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        let watcher = match watcher {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "changes are found by looking, because the folder cannot be watched");
                None
            }
        };
        Watch {
            watcher,
            watched: identity(folder).ok(),
            events,
            overflow,
            changed: HashMap::new(),
            everything: false,
            next_rescan: None,
        }
    }

    /// A folder that was deleted and made again is another folder, which nobody watches.
    fn renew_if_lost(&mut self, folder: &Path) {
        let present = identity(folder).ok();
        if present.is_some() && present != self.watched {
            *self = Watch::start(folder);
        }
    }

    /// Waits until something has to be looked at; without anything new, no longer than `idle`, which gives an empty batch.
    async fn batch(&mut self, pace: &Pace, idle: Option<Duration>) -> Batch {
        // Without a watch, looking often is all that is left.
        let every =
            if self.watcher.is_some() { pace.rescan } else { pace.rescan.min(Duration::from_secs(1)) };
        let rescan_at = *self.next_rescan.get_or_insert_with(|| Instant::now() + every);
        let mut first: Option<Instant> = None;
        let mut last = Instant::now();
        let idle = idle.map(|idle| last + idle);
        loop {
            let due = match first {
                None => [self.held_until(), idle].into_iter().flatten().fold(rescan_at, Instant::min),
                Some(first) => (last + pace.settle).min(first + pace.longest),
            };
            tokio::select! {
                event = next(&mut self.events) => {
                    if self.note(event, pace) {
                        last = Instant::now();
                        first.get_or_insert(last);
                    }
                }
                () = sleep_until(due) => {
                    let now = Instant::now();
                    let everything = self.everything
                        || self.overflow.swap(false, Ordering::AcqRel)
                        || now >= rescan_at;
                    let ready: BTreeSet<PathBuf> =
                        self.changed.extract_if(|_, hold| hold.from <= now).map(|(path, _)| path).collect();
                    let hold = self.changed.keys().cloned().collect();
                    if everything {
                        self.everything = false;
                        self.next_rescan = None;
                        return Batch { paths: None, hold };
                    }
                    if !ready.is_empty() || (first.is_none() && idle.is_some_and(|idle| idle <= now)) {
                        return Batch { paths: Some(ready), hold };
                    }
                    first = None;
                }
            }
        }
    }

    /// When the first of the files that are held back may be looked at.
    fn held_until(&self) -> Option<Instant> {
        self.changed.values().map(|hold| hold.from).min()
    }

    /// Takes an event in. Tells whether it matters.
    fn note(&mut self, event: Event, pace: &Pace) -> bool {
        let now = Instant::now();
        let wait = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Duration::ZERO,
            // Also our own reading.
            EventKind::Access(_) => return false,
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => pace.gone,
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => {
                // Renamed to a name that counts, it is certainly gone from its old place; renamed to a backup, it may
                // be about to be written anew.
                let kept = event.paths.last().is_some_and(|to| scan::is_ours(to));
                if kept { Duration::ZERO } else { pace.gone }
            }
            EventKind::Other => {
                self.everything = true;
                return true;
            }
            _ => Duration::ZERO,
        };
        let writing = matches!(
            event.kind,
            EventKind::Create(CreateKind::File) | EventKind::Modify(ModifyKind::Data(_))
        );
        // A change of rights or times says nothing about the writer.
        let done = matches!(
            event.kind,
            EventKind::Access(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
        );
        let mut matters = false;
        for path in event.paths {
            let name = path.file_name().unwrap_or_default();
            if name.as_encoded_bytes().starts_with(b"..") {
                // The swap of a Kubernetes mount renames `..data`; the files themselves see no event.
                self.everything = true;
                matters = true;
            } else if scan::is_ours(&path) {
                // A symlink or a hard link gets no close: it is complete when it is there.
                let writing = writing && !path.is_symlink();
                let hold = match self.changed.get(&path) {
                    // One that goes on being written is waited for from its first write on.
                    Some(known) if known.writing && !done => *known,
                    _ if writing => Hold { from: now + pace.writing, writing },
                    _ => Hold { from: now + wait, writing },
                };
                self.changed.insert(path, hold);
                matters = true;
            } else if !scan::is_hidden(name) && (path.extension().is_none() || path.is_dir()) {
                // A folder, or what may have been one.
                self.everything = true;
                matters = true;
            }
        }
        matters
    }
}

async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    match events.recv().await {
        Some(event) => event,
        None => pending().await,
    }
}

fn identity(folder: &Path) -> io::Result<(u64, u64)> {
    Ok(scan::Stamp::of(&std::fs::metadata(folder)?).id)
}

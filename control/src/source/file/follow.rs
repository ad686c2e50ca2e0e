//! Follows a folder: inotify says that something happened, the files say what.

use std::collections::{BTreeSet, HashMap};
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind};
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
    /// Everything is looked at again so often, in case an event was lost or could not be had.
    pub rescan: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            settle: Duration::from_millis(5),
            longest: Duration::from_millis(100),
            writing: Duration::from_secs(1),
            rescan: Duration::from_secs(15),
        }
    }
}

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
        let Batch { paths, hold } = watch.batch(&pace).await;
        let (back, changed) = match paths {
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
    /// These files; `None` = everything.
    paths: Option<BTreeSet<PathBuf>>,
    /// But not these, which are being written.
    hold: BTreeSet<PathBuf>,
}

/// The inotify watch and its events.
struct Watch {
    /// Events come as long as this lives; `None` when there is no watch and only rescans help.
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of the folder that is watched.
    watched: Option<(u64, u64)>,
    events: mpsc::Receiver<Event>,
    overflow: Arc<AtomicBool>,
    /// Files that changed, whether they may still be open for writing, and since when.
    changed: HashMap<PathBuf, (bool, Instant)>,
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

    /// Waits until something has to be looked at.
    async fn batch(&mut self, pace: &Pace) -> Batch {
        // Without a watch, looking often is all that is left.
        let every =
            if self.watcher.is_some() { pace.rescan } else { pace.rescan.min(Duration::from_secs(1)) };
        let rescan_at = *self.next_rescan.get_or_insert_with(|| Instant::now() + every);
        let mut first: Option<Instant> = None;
        let mut last = Instant::now();
        loop {
            let due = match first {
                None => rescan_at.min(self.held_until(pace).unwrap_or(rescan_at)),
                Some(first) => (last + pace.settle).min(first + pace.longest),
            };
            tokio::select! {
                event = next(&mut self.events) => {
                    if self.note(event) {
                        last = Instant::now();
                        first.get_or_insert(last);
                    }
                }
                () = sleep_until(due) => {
                    let now = Instant::now();
                    let everything = self.everything
                        || self.overflow.swap(false, Ordering::AcqRel)
                        || now >= rescan_at;
                    let done = |writing: bool, since: Instant| !writing || now >= since + pace.writing;
                    let ready: BTreeSet<PathBuf> =
                        self.changed.extract_if(|_, (writing, since)| done(*writing, *since)).map(|(path, _)| path).collect();
                    let hold = self.changed.keys().cloned().collect();
                    if everything {
                        self.everything = false;
                        self.next_rescan = None;
                        return Batch { paths: None, hold };
                    }
                    if !ready.is_empty() {
                        return Batch { paths: Some(ready), hold };
                    }
                    first = None;
                }
            }
        }
    }

    /// When the first of the files that are being written is not waited for any longer.
    fn held_until(&self, pace: &Pace) -> Option<Instant> {
        self.changed
            .values()
            .map(|(writing, since)| if *writing { *since + pace.writing } else { *since })
            .min()
    }

    /// Takes an event in. Tells whether it matters.
    fn note(&mut self, event: Event) -> bool {
        let writing = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            // Also our own reading.
            EventKind::Access(_) => return false,
            EventKind::Create(CreateKind::File) | EventKind::Modify(ModifyKind::Data(_)) => true,
            // A folder, a rename, a deletion, a change of rights, or a lost event.
            EventKind::Other => {
                self.everything = true;
                return true;
            }
            _ => false,
        };
        let mut matters = false;
        for path in event.paths {
            // The swap of a Kubernetes mount renames `..data`; the files themselves see no event.
            let name = path.file_name().unwrap_or_default();
            if name.as_encoded_bytes().starts_with(b"..") {
                self.everything = true;
                matters = true;
            } else if scan::is_ours(&path) {
                // A symlink or a hard link gets no close: it is complete when it is there.
                let writing = writing && !path.is_symlink();
                let entry = self.changed.entry(path).or_insert((writing, Instant::now()));
                entry.0 = writing;
                matters = true;
            } else if !scan::is_hidden(name) && path.extension().is_none_or(|_| path.is_dir()) {
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

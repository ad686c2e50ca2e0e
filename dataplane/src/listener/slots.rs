//! How many client connections there may be at one time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// File descriptors that are not for connections: sockets that listen, the link, the cache, logs.
const SPARE: usize = 256;
/// What a client's connection may need: its own socket and one towards an upstream.
const PER_CONNECTION: usize = 2;

/// The worker's connections, over all threads.
#[derive(Debug)]
pub struct Slots {
    taken: AtomicUsize,
    limit: usize,
}

/// One connection's place; free again when dropped.
#[derive(Debug)]
pub struct Slot(Arc<Slots>);

impl Slots {
    /// At most `limit` connections.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), limit })
    }

    /// A place, unless all are taken.
    pub fn take(self: &Arc<Self>) -> Option<Slot> {
        let more = |taken: usize| (taken < self.limit).then_some(taken + 1);
        // Only a count: nothing else is ordered by it.
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()
            .map(|_| Slot(Arc::clone(self)))
    }

    /// Connections right now.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Raises the process's limit of open files as far as it goes, and lowers `wanted` connections to what fits.
#[must_use]
pub fn fit_to_open_files(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Where the system refuses, the old limit goes on to hold.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
    let fits = files.map_or(usize::MAX, |files| files.saturating_sub(SPARE) / PER_CONNECTION);
    if fits < wanted {
        tracing::info!(wanted, connections = fits, "the limit of open files allows fewer connections");
    }
    wanted.min(fits).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_again_when_its_connection_ends() {
        let slots = Slots::new(2);
        let first = slots.take();
        let _second = slots.take().unwrap();
        assert!(slots.take().is_none());
        assert_eq!(slots.taken(), 2);
        drop(first);
        assert!(slots.take().is_some());
    }

    #[test]
    fn the_limit_is_never_zero() {
        assert_eq!(fit_to_open_files(1), 1);
        assert!(fit_to_open_files(usize::MAX) >= 1);
    }
}

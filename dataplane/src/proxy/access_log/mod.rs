//! Access logs: lines of requests and connections, written by a thread for each place that they go to.
//!
//! [`line`] is the worker's own line, `listener` what users configure for a listener.
//! A request writes its line into the buffer that all data threads share; the writer takes what has gathered there in
//! one piece, so that a busy log costs neither a wake-up nor a write for each line. A full buffer loses lines and counts
//! them: a slow disk must never be felt by a request. Must not hold on to anything of a request.

mod connection;
mod file;
mod filter;
mod grpc;
mod json;
mod line;
mod listener;

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

pub(crate) use connection::ConnectionLine;
pub use file::{finish_all, reopen_on_signals};
pub(super) use line::Line;
pub use listener::{Connection, ListenerLogs, Passed};
pub(super) use listener::{Finished, NO_FIELDS, Outside};

use super::limits;
use crate::upstream::Counter;

/// The requests' end. Cloning shares it; the writer ends when all clones are gone.
#[derive(Debug, Clone)]
pub struct AccessLog(Arc<Sender>);

/// Tells the writer when it is dropped.
#[derive(Debug)]
struct Sender(Arc<Queue>);

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.changed.notify_one();
    }
}

/// What lies between the requests and the writer.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    /// The writer has something to do, or should not wait for more.
    changed: Condvar,
    /// The writer has written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whole lines.
    lines: Vec<u8>,
    /// Bytes ever queued, and those of them that the sink has got or refused.
    queued: u64,
    settled: u64,
    /// Someone waits for what is queued.
    urgent: bool,
    closed: bool,
}

impl State {
    /// Nothing to wait for: take what is there.
    fn is_due(&self) -> bool {
        self.urgent || self.closed || self.lines.len() >= limits::LOG_PIECE
    }
}

thread_local! {
    /// A line is made here, so that the lock is held only for the time of a copy.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl AccessLog {
    /// Where `to` says: `-` for standard output, else a file that is appended to; `off` for none.
    ///
    /// # Errors
    /// The file cannot be opened, or the system gives no thread.
    pub fn open(to: &str) -> io::Result<Option<Self>> {
        match to {
            "off" => Ok(None),
            "-" => file::shared("/dev/stdout").map(Some),
            path => {
                // So that a mistake shows at the start.
                file::open(path)?;
                file::shared(path).map(Some)
            }
        }
    }

    /// Writes to `sink`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn to(sink: Box<dyn Write + Send>) -> io::Result<Self> {
        Self::start(sink, usize::MAX)
    }

    fn start(sink: Box<dyn Write + Send>, most: usize) -> io::Result<Self> {
        let queue = Arc::<Queue>::default();
        let writer = queue.clone();
        std::thread::Builder::new().name("access-log".into()).spawn(move || write(&writer, sink, most))?;
        Ok(AccessLog(Arc::new(Sender(queue))))
    }

    /// Queues a line, or counts it in `dropped`. Never waits for the sink.
    pub(super) fn push(&self, line: &Line<'_>, dropped: &Counter) {
        self.push_written(|scratch| line.write(scratch), dropped);
    }

    /// Queues a line about a connection, or counts it in `dropped`. Never waits for the sink.
    pub(super) fn push_connection(&self, line: &ConnectionLine<'_>, dropped: &Counter) {
        self.push_written(|scratch| line.write(scratch), dropped);
    }

    fn push_written(&self, write: impl FnOnce(&mut Vec<u8>), dropped: &Counter) {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            write(scratch);
            scratch.push(b'\n');
            if !self.queue(scratch) {
                dropped.inc();
            }
        });
    }

    /// Queues a line as it is, or counts it in `dropped`. Never waits for the sink.
    fn push_text(&self, line: &str, dropped: &Counter) {
        if !self.queue(line.as_bytes()) {
            dropped.inc();
        }
    }

    fn queue(&self, line: &[u8]) -> bool {
        let Sender(queue) = &*self.0;
        let mut state = queue.state.lock();
        let before = state.lines.len();
        if before.saturating_add(line.len()) > limits::LOG_BYTES {
            return false;
        }
        state.lines.extend_from_slice(line);
        state.queued = state.queued.saturating_add(line.len() as u64);
        let after = state.lines.len();
        drop(state);
        // The writer sleeps, or waits for more to come.
        if before == 0 || (before < limits::LOG_PIECE && after >= limits::LOG_PIECE) {
            queue.changed.notify_one();
        }
        true
    }

    /// Waits until what is queued is written, but no longer than `patience`: the last lines before the process ends.
    pub fn finish(&self, patience: Duration) {
        let Sender(queue) = &*self.0;
        let deadline = Instant::now() + patience;
        let mut state = queue.state.lock();
        let wanted = state.queued;
        while state.settled < wanted {
            state.urgent = true;
            queue.changed.notify_one();
            if queue.written.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }
}

/// A pipe takes so many bytes as one piece (POSIX allows 512, Linux has 4096): workers that share one do not cut each
/// other's lines. A file that is appended to takes any number.
const PIPE_BUF: usize = 4096;

/// Whole lines of at most `most` bytes together, or one that is longer; or what has no end.
fn pieces(mut lines: &[u8], most: usize) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let within = lines.get(..most).unwrap_or(lines);
        let end = within.iter().rposition(|byte| *byte == b'\n');
        let end = end.or_else(|| lines.iter().position(|byte| *byte == b'\n'));
        let (piece, rest) =
            end.and_then(|end| lines.split_at_checked(end.saturating_add(1))).unwrap_or((lines, &[]));
        lines = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Writes what comes, a short while after its first line or when it is enough for a write of its own.
fn write(queue: &Queue, mut sink: Box<dyn Write + Send>, most: usize) {
    let mut taken = Vec::new();
    loop {
        let mut state = queue.state.lock();
        wait(queue, &mut state);
        if state.lines.is_empty() && state.closed {
            return;
        }
        std::mem::swap(&mut state.lines, &mut taken);
        state.urgent = false;
        drop(state);
        // An error of the sink is not repaired by stopping: a full disk may have room again.
        for piece in pieces(&taken, most) {
            let _ = sink.write_all(piece).and_then(|()| sink.flush());
        }
        let count = taken.len() as u64;
        taken.clear();
        taken.shrink_to(2 * limits::LOG_PIECE);
        let mut state = queue.state.lock();
        state.settled = state.settled.saturating_add(count);
        drop(state);
        queue.written.notify_all();
    }
}

fn wait(queue: &Queue, state: &mut MutexGuard<'_, State>) {
    while state.lines.is_empty() && !state.closed {
        queue.changed.wait(state);
    }
    let deadline = Instant::now() + limits::LOG_DELAY;
    while !state.is_due() && !queue.changed.wait_until(state, deadline).timed_out() {}
}

#[cfg(test)]
mod tests {
    use super::line::tests::line;
    use super::*;

    #[test]
    fn a_line_is_never_split_over_two_writes() {
        let text = b"1\n22\n333\n4444\n";
        let cut = |most| pieces(text, most).map(<[u8]>::len).collect::<Vec<_>>();
        assert_eq!(cut(usize::MAX), [14]);
        assert_eq!(cut(5), [5, 4, 5]);
        assert_eq!(cut(4), [2, 3, 4, 5]);
        assert_eq!(cut(1), [2, 3, 4, 5]);
        assert_eq!(pieces(b"1\n22", usize::MAX).map(<[u8]>::len).collect::<Vec<_>>(), [2, 2]);
    }

    /// A sink that waits for permission before each write.
    struct Slow(std::sync::mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_sink_costs_lines_but_never_time_and_what_was_queued_is_written_whole() {
        let (go, permission) = std::sync::mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let log = AccessLog::to(Box::new(Slow(permission, written.clone()))).unwrap();
        let dropped = Counter::default();
        let long = "x".repeat(60_000);
        let mut pushed = 0;
        while dropped.get() == 0 {
            log.push(&Line { path: &long, ..line() }, &dropped);
            pushed += 1;
            assert!(pushed < 10_000, "nothing bounds the queue");
        }
        // Nothing could be written yet, so this gives up.
        log.finish(Duration::from_millis(1));
        drop(go);
        log.finish(Duration::from_secs(60));
        let written = written.lock();
        let lines: Vec<&[u8]> = written.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), pushed - 1);
        assert!(lines.iter().all(|line| serde_json::from_slice::<serde_json::Value>(line).is_ok()));
    }
}

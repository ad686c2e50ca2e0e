//! The access log: one JSON object per request, written by a thread of its own.
//!
//! A request writes its line into the buffer that all data threads share; the writer takes what has gathered there in
//! one piece, so that a busy log costs neither a wake-up nor a write for each line. A full buffer loses lines and counts
//! them: a slow disk must never be felt by a request. Must not hold on to anything of a request.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::json::{Object, address, timestamp};
use super::limits;
use crate::upstream::Counter;

/// One request. Fields without a value are left out.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// When the request header was complete, RFC 3339.
    pub(super) time: SystemTime,
    /// Listener that accepted the connection.
    pub(super) listener: &'a str,
    /// The client's address.
    pub(super) client: SocketAddr,
    /// Server name of the TLS handshake.
    pub(super) sni: Option<&'a str>,
    /// Version of TLS.
    pub(super) tls: Option<&'static str>,
    /// `HTTP/1.1` and so on.
    pub(super) protocol: &'static str,
    /// Method.
    pub(super) method: &'a str,
    /// `http` or `https`.
    pub(super) scheme: &'static str,
    /// Host or `:authority`.
    pub(super) authority: &'a str,
    /// Path with query, normalised, before any rewrite.
    pub(super) path: &'a str,
    /// What the client got; 499 when it left first.
    pub(super) status: u16,
    /// Why the gateway answered, or ended the request, itself.
    pub(super) reason: Option<&'static str>,
    /// What exactly happened.
    pub(super) detail: Option<&'a str>,
    /// Envoy's response flag, `-` for none.
    pub(super) flags: &'a str,
    /// Virtual host.
    pub(super) virtual_host: Option<&'a str>,
    /// Route.
    pub(super) route: Option<&'a str>,
    /// Upstream.
    pub(super) upstream: Option<&'a str>,
    /// Endpoint of the last try.
    pub(super) endpoint: Option<SocketAddr>,
    /// Tries.
    pub(super) attempts: u32,
    /// From the request header to the end of the answer.
    pub(super) duration: Duration,
    /// From the last try's start to its response header.
    pub(super) upstream_time: Option<Duration>,
    /// Body bytes from the client.
    pub(super) bytes_received: usize,
    /// Body bytes to the client.
    pub(super) bytes_sent: usize,
    /// `x-request-id`.
    pub(super) request_id: Option<&'a str>,
    /// `user-agent`.
    pub(super) user_agent: Option<&'a str>,
    /// Trace that the request belongs to.
    pub(super) trace_id: Option<&'a str>,
}

impl Line<'_> {
    /// Appends it as a JSON object.
    fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::begin(out);
        object.with("time", |out| timestamp(out, self.time));
        object.text("listener", self.listener);
        object.with("client", |out| address(out, self.client));
        object.some_text("sni", self.sni);
        object.some_text("tls", self.tls);
        object.text("protocol", self.protocol);
        object.text("method", self.method);
        object.text("scheme", self.scheme);
        object.text("authority", self.authority);
        object.text("path", self.path);
        object.number("status", u64::from(self.status));
        object.some_text("reason", self.reason);
        object.some_text("detail", self.detail);
        object.text("flags", self.flags);
        object.some_text("virtual_host", self.virtual_host);
        object.some_text("route", self.route);
        object.some_text("upstream", self.upstream);
        if let Some(endpoint) = self.endpoint {
            object.with("endpoint", |out| address(out, endpoint));
        }
        object.number("attempts", u64::from(self.attempts));
        object.millis("duration_ms", self.duration);
        if let Some(took) = self.upstream_time {
            object.millis("upstream_ms", took);
        }
        object.number("bytes_received", self.bytes_received as u64);
        object.number("bytes_sent", self.bytes_sent as u64);
        object.some_text("request_id", self.request_id);
        object.some_text("user_agent", self.user_agent);
        object.some_text("trace_id", self.trace_id);
        object.end();
    }
}

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
            "-" => Self::start(Box::new(io::stdout()), PIPE_BUF).map(Some),
            file => Self::to(Box::new(OpenOptions::new().create(true).append(true).open(file)?)).map(Some),
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
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            line.write(scratch);
            if !self.queue(scratch) {
                dropped.inc();
            }
        });
    }

    fn queue(&self, line: &mut Vec<u8>) -> bool {
        line.push(b'\n');
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

/// Whole lines of at most `most` bytes together, or one that is longer.
fn pieces(mut lines: &[u8], most: usize) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let within = lines.get(..most).unwrap_or(lines);
        let end = within.iter().rposition(|byte| *byte == b'\n');
        let end = end.or_else(|| lines.iter().position(|byte| *byte == b'\n'))?;
        let (piece, rest) = lines.split_at_checked(end.saturating_add(1))?;
        lines = rest;
        Some(piece)
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
    use super::*;

    fn line() -> Line<'static> {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Line {
            time: SystemTime::UNIX_EPOCH,
            listener: "l",
            client: address,
            sni: None,
            tls: None,
            protocol: "HTTP/1.1",
            method: "GET",
            scheme: "http",
            authority: "a",
            path: "/",
            status: 200,
            reason: None,
            detail: None,
            flags: "-",
            virtual_host: None,
            route: None,
            upstream: None,
            endpoint: None,
            attempts: 0,
            duration: Duration::from_micros(1500),
            upstream_time: None,
            bytes_received: 0,
            bytes_sent: 0,
            request_id: None,
            user_agent: None,
            trace_id: None,
        }
    }

    #[test]
    fn a_line_is_one_object_without_empty_fields() {
        let mut text = Vec::new();
        Line { path: "/\"\n", ..line() }.write(&mut text);
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let wanted = serde_json::json!({
            "time": "1970-01-01T00:00:00.000Z", "listener": "l", "client": "127.0.0.1:1", "protocol": "HTTP/1.1",
            "method": "GET", "scheme": "http", "authority": "a", "path": "/\"\n", "status": 200, "flags": "-",
            "attempts": 0, "duration_ms": 1.5, "bytes_received": 0, "bytes_sent": 0,
        });
        assert_eq!(value, wanted);
    }

    #[test]
    fn a_line_is_never_split_over_two_writes() {
        let text = b"1\n22\n333\n4444\n";
        let cut = |most| pieces(text, most).map(<[u8]>::len).collect::<Vec<_>>();
        assert_eq!(cut(usize::MAX), [14]);
        assert_eq!(cut(5), [5, 4, 5]);
        assert_eq!(cut(4), [2, 3, 4, 5]);
        assert_eq!(cut(1), [2, 3, 4, 5]);
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

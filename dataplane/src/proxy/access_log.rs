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
use serde::{Serialize, Serializer};

use super::limits;
use crate::upstream::Counter;

/// One request. Fields without a value are left out.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    /// When the request header was complete, RFC 3339.
    #[serde(serialize_with = "timestamp")]
    pub(super) time: SystemTime,
    /// Listener that accepted the connection.
    pub(super) listener: &'a str,
    /// The client's address.
    pub(super) client: SocketAddr,
    /// Server name of the TLS handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sni: Option<&'a str>,
    /// Version of TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    /// What exactly happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<&'a str>,
    /// Envoy's response flag, `-` for none.
    pub(super) flags: &'a str,
    /// Virtual host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) virtual_host: Option<&'a str>,
    /// Route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) route: Option<&'a str>,
    /// Upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upstream: Option<&'a str>,
    /// Endpoint of the last try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) endpoint: Option<SocketAddr>,
    /// Tries.
    pub(super) attempts: u32,
    /// From the request header to the end of the answer.
    #[serde(rename = "duration_ms", serialize_with = "millis")]
    pub(super) duration: Duration,
    /// From the last try's start to its response header.
    #[serde(rename = "upstream_ms", serialize_with = "some_millis", skip_serializing_if = "Option::is_none")]
    pub(super) upstream_time: Option<Duration>,
    /// Body bytes from the client.
    pub(super) bytes_received: usize,
    /// Body bytes to the client.
    pub(super) bytes_sent: usize,
    /// `x-request-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<&'a str>,
    /// `user-agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_agent: Option<&'a str>,
    /// Trace that the request belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trace_id: Option<&'a str>,
}

pub(crate) fn timestamp<S: Serializer>(moment: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    to.collect_str(&format_args!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    ))
}

/// Gregorian date of a day since 1970-01-01: counted in years that begin in March, so that the leap day is the last.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

pub(crate) fn millis<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    // Microseconds are exact enough, and their digits few.
    to.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
}

fn some_millis<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    millis(&duration.unwrap_or_default(), to)
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
    pub(super) fn push(&self, line: &impl Serialize, dropped: &Counter) {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            // A vector takes everything, and every field of a line has a form in JSON.
            if serde_json::to_writer(&mut *scratch, line).is_err() || !self.queue(scratch) {
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

    fn shown(seconds: u64, millis: u64) -> String {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + millis);
        serde_json::to_value(Line { time, ..line() }).unwrap()["time"].as_str().unwrap().into()
    }

    #[test]
    fn times_are_shown_as_rfc_3339() {
        assert_eq!(shown(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(951_782_399, 7), "2000-02-28T23:59:59.007Z");
        assert_eq!(shown(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(shown(1_795_352_579, 250), "2026-11-22T13:02:59.250Z");
        assert_eq!(shown(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn a_line_is_one_object_without_empty_fields() {
        let text = serde_json::to_string(&line()).unwrap();
        assert!(text.contains("\"duration_ms\":1.5"), "{text}");
        assert!(!text.contains("reason") && !text.contains("upstream"), "{text}");
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

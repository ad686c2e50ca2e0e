//! The access log: one JSON object per request, written by a thread of its own.
//!
//! Owns the queue between requests and the writer. A full queue loses lines and counts them: a slow disk must never be
//! felt by a request. Must not hold anything of a request back from being freed for longer than it takes to write it.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use super::limits;
use crate::upstream::Counter;

/// One request. Fields without a value are left out.
#[derive(Debug, Default, Serialize)]
pub struct Line {
    /// When the request header was complete, RFC 3339.
    #[serde(serialize_with = "timestamp")]
    pub time: Moment,
    /// Listener that accepted the connection.
    pub listener: Option<Arc<str>>,
    /// The client's address.
    pub client: Option<SocketAddr>,
    /// Server name of the TLS handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<Arc<str>>,
    /// Version of TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<&'static str>,
    /// `HTTP/1.1` and so on.
    pub protocol: &'static str,
    /// Method.
    pub method: Box<str>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host or `:authority`.
    pub authority: Box<str>,
    /// Path with query, normalised, before any rewrite.
    pub path: Box<str>,
    /// What the client got; 499 when it left first.
    pub status: u16,
    /// Why the gateway answered, or ended the request, itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What exactly happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Box<str>>,
    /// Envoy's response flag, `-` for none.
    pub flags: &'static str,
    /// Virtual host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_host: Option<Arc<str>>,
    /// Route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<Arc<str>>,
    /// Upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Arc<str>>,
    /// Endpoint of the last try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<SocketAddr>,
    /// Tries.
    pub attempts: u32,
    /// From the request header to the end of the answer.
    #[serde(rename = "duration_ms", serialize_with = "millis")]
    pub duration: Duration,
    /// From the last try's start to its response header.
    #[serde(rename = "upstream_ms", serialize_with = "some_millis", skip_serializing_if = "Option::is_none")]
    pub upstream_time: Option<Duration>,
    /// Body bytes from the client.
    pub bytes_received: usize,
    /// Body bytes to the client.
    pub bytes_sent: usize,
    /// `x-request-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Box<str>>,
    /// `user-agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Box<str>>,
    /// Trace that the request belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Box<str>>,
}

/// A point in time; by itself only to have a default.
#[derive(Debug, Clone, Copy)]
pub struct Moment(pub SystemTime);

impl Default for Moment {
    fn default() -> Self {
        Moment(SystemTime::UNIX_EPOCH)
    }
}

fn timestamp<S: Serializer>(moment: &Moment, to: S) -> Result<S::Ok, S::Error> {
    let since = moment.0.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
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

fn millis<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    // Microseconds are exact enough, and their digits few.
    to.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
}

fn some_millis<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    millis(&duration.unwrap_or_default(), to)
}

/// The requests' end of the queue. Cloning shares it; the writer ends when all clones are gone.
#[derive(Debug, Clone)]
pub struct AccessLog {
    lines: SyncSender<Item>,
}

/// What the writer gets.
#[derive(Debug)]
enum Item {
    /// One request.
    Line(Box<Line>),
    /// Everything before this is to be on its way; dropping the sender says that it is.
    Finish(SyncSender<()>),
}

impl AccessLog {
    /// Where `to` says: `-` for standard output, else a file that is appended to; `off` for none.
    ///
    /// # Errors
    /// The file cannot be opened, or the system gives no thread.
    pub fn open(to: &str) -> io::Result<Option<Self>> {
        let sink: Box<dyn Write + Send> = match to {
            "off" => return Ok(None),
            "-" => Box::new(io::stdout()),
            file => Box::new(OpenOptions::new().create(true).append(true).open(file)?),
        };
        Self::to(sink).map(Some)
    }

    /// Writes to `sink`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn to(sink: Box<dyn Write + Send>) -> io::Result<Self> {
        let (lines, queue) = sync_channel(limits::LOG_QUEUE);
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write(&queue, BufWriter::new(sink)))?;
        Ok(AccessLog { lines })
    }

    /// Queues a line, or counts it in `dropped`. Never waits.
    pub(super) fn push(&self, line: Box<Line>, dropped: &Counter) {
        if self.lines.try_send(Item::Line(line)).is_err() {
            dropped.inc();
        }
    }

    /// Waits until what is queued is written, but no longer than `patience`: the last lines before the process ends.
    pub fn finish(&self, patience: Duration) {
        let (done, finished) = sync_channel(0);
        // A queue that is full now means a sink that does not take anything: nothing to wait for.
        if self.lines.try_send(Item::Finish(done)).is_ok() {
            let _ = finished.recv_timeout(patience);
        }
    }
}

/// Writes what comes; flushes when nothing more is there, so that a busy log costs few writes. Whole lines only: other
/// workers append to the same file.
fn write(queue: &Receiver<Item>, mut sink: BufWriter<Box<dyn Write + Send>>) {
    let mut text = Vec::new();
    // An error of the sink is not repaired by stopping: a full disk may have room again.
    while let Ok(first) = queue.recv() {
        let mut finished = Vec::new();
        for item in std::iter::once(first).chain(queue.try_iter()) {
            match item {
                Item::Line(line) => {
                    let _ = put(&mut sink, &line, &mut text);
                }
                Item::Finish(done) => finished.push(done),
            }
        }
        let _ = sink.flush();
    }
}

fn put(sink: &mut impl Write, line: &Line, text: &mut Vec<u8>) -> io::Result<()> {
    text.clear();
    serde_json::to_writer(&mut *text, line)?;
    text.push(b'\n');
    sink.write_all(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(seconds: u64, millis: u64) -> String {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + millis);
        serde_json::to_value(Line { time: Moment(time), ..Line::default() }).unwrap()["time"]
            .as_str()
            .unwrap()
            .into()
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
    fn a_line_is_never_split_over_two_writes() {
        struct Whole(SyncSender<Vec<u8>>);
        impl Write for Whole {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (sink, writes) = sync_channel(1000);
        let log = AccessLog::to(Box::new(Whole(sink))).unwrap();
        for length in (0..4000).step_by(40) {
            log.push(
                Box::new(Line { path: "x".repeat(length).into(), ..Line::default() }),
                &Counter::default(),
            );
        }
        drop(log);
        let writes: Vec<Vec<u8>> = writes.iter().collect();
        assert!(writes.iter().all(|bytes| bytes.ends_with(b"\n")));
        assert_eq!(writes.concat().iter().filter(|byte| **byte == b'\n').count(), 100);
    }

    #[test]
    fn a_line_is_one_object_without_empty_fields() {
        let line = Line { method: "GET".into(), duration: Duration::from_micros(1500), ..Line::default() };
        let text = serde_json::to_string(&line).unwrap();
        assert!(text.contains("\"duration_ms\":1.5"), "{text}");
        assert!(!text.contains("reason") && !text.contains("upstream"), "{text}");
    }
}

//! What a peer may do to an HTTP/2 connection beside sending requests or answers: a bounded number of frames that carry
//! nothing, of requests that it takes back at once, and of seconds in which nothing moves.
//!
//! Sits between the socket and the protocol library and looks at frame headers as bytes pass, both ways. Owns these
//! bounds and ends the connection when one is passed; what the library refuses by itself is seen by its GOAWAY. Every
//! end of a client's connection has a word in the metric `portcullis_http2_connections_ended`; that of an upstream's is told
//! by its requests. Must not change a byte, and costs a clean peer a few comparisons a frame: clocks are read only for peers
//! that reset streams or make us wait.

mod budget;
mod frames;
pub mod fuzzing;
mod resets;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use self::budget::Budget;
use self::frames::{Header, Kind, Scanner};
use self::resets::Resets;
use super::conn::ConnInfo;
use super::timer::Timer;
use super::{Metrics, limits};

/// What a client says first (RFC 9113 3.4), in bytes.
const PREFACE: usize = 24;

/// See the module.
pub(super) struct Guard<T> {
    io: T,
    report: Report,
    incoming: Scanner,
    outgoing: Scanner,
    budget: Budget,
    resets: Resets,
    /// A header block has begun and not ended.
    block: bool,
    /// When a preface or a header that has begun must be here.
    header_due: Option<Instant>,
    /// When the peer must have taken something of what waits for it.
    taken_due: Option<Instant>,
    reading: Timer,
    writing: Timer,
}

/// How long is waited for the peer, and where the end of its connection is told.
struct Report {
    /// From the first byte of a header to its last.
    header: Duration,
    /// Until it takes something of what waits for it.
    idle: Duration,
    /// Of a client.
    client: Option<(Arc<Metrics>, Arc<ConnInfo>)>,
    told: bool,
}

impl Report {
    /// Says why the connection ends; the first reason is the one that counts.
    fn ended(&mut self, reason: &'static str) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        if let Some((metrics, info)) = &self.client {
            tracing::debug!(listener = %info.listener, client = %info.client, reason, "HTTP/2 connection ended");
            metrics.ended.inc(reason);
        }
    }

    fn end(&mut self, reason: &'static str, kind: io::ErrorKind) -> io::Error {
        self.ended(reason);
        io::Error::new(kind, reason)
    }
}

impl<T> Guard<T> {
    /// Around `io`, whose client has said nothing yet.
    pub(super) fn of_client(io: T, metrics: Arc<Metrics>, info: Arc<ConnInfo>) -> Self {
        let header = info.http.request_headers.unwrap_or(limits::FOREVER);
        let idle = info.http.stream_idle.unwrap_or(limits::FOREVER);
        let report = Report { header, idle, client: Some((metrics, info)), told: false };
        Self::new(io, report, Scanner::after(PREFACE))
    }

    /// Around `io`, whose other end is an upstream.
    pub(super) fn of_upstream(io: T) -> Self {
        let (header, idle) = (limits::HEADER_DEADLINE, limits::STREAM_IDLE);
        Self::new(io, Report { header, idle, client: None, told: false }, Scanner::default())
    }

    fn new(io: T, report: Report, incoming: Scanner) -> Self {
        Guard {
            io,
            report,
            incoming,
            outgoing: Scanner::default(),
            budget: Budget::new(Instant::now()),
            resets: Resets::default(),
            block: false,
            header_due: None,
            taken_due: None,
            reading: Timer::default(),
            writing: Timer::default(),
        }
    }

    /// Looks at what the peer has sent.
    fn came(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (budget, resets, block) = (&mut self.budget, &mut self.resets, &mut self.block);
        // What an upstream resets is for retries and circuit breakers to judge: it opens no streams.
        let is_client = self.report.client.is_some();
        let mut reason = None;
        self.incoming.scan(bytes, |frame| {
            let fine = match frame.kind() {
                Kind::Headers => {
                    *block = !frame.ends_headers();
                    resets.opened(frame.stream);
                    true
                }
                Kind::Continuation => {
                    *block = !frame.ends_headers();
                    true
                }
                // The library bounds those that carry little.
                Kind::Data => frame.length > 0 || frame.ends_stream() || budget.spend(),
                Kind::Reset => {
                    if is_client && !resets.reset(frame.stream) {
                        reason.get_or_insert("rapid_reset");
                    }
                    budget.spend()
                }
                Kind::GoAway | Kind::Other => budget.spend(),
            };
            if !fine {
                reason.get_or_insert("frame_flood");
            }
        });
        if let Some(reason) = reason {
            return Err(self.report.end(reason, io::ErrorKind::ConnectionAborted));
        }
        if self.header_due.is_some() && !self.awaits_header() {
            self.header_due = None;
        }
        Ok(())
    }

    /// Something has begun that the peer has to bring to its end.
    fn awaits_header(&self) -> bool {
        self.block || self.incoming.is_inside(|kind| matches!(kind, Kind::Headers | Kind::Continuation))
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.awaits_header() {
            return Poll::Pending;
        }
        let limit = if self.incoming.is_begun() { self.report.header } else { limits::FIRST_BYTE };
        let due = *self.header_due.get_or_insert_with(|| Instant::now() + limit);
        self.reading.poll(due, cx).map(|()| Err(self.report.end("header_timeout", io::ErrorKind::TimedOut)))
    }

    /// What the library has written so far: it tells what it refuses.
    fn went<'a>(&mut self, bytes: impl Iterator<Item = &'a [u8]>, mut taken: usize) {
        self.taken_due = None;
        self.budget.earn(taken);
        let mut pieces = 0;
        for bytes in bytes {
            let part = bytes.get(..taken.min(bytes.len())).unwrap_or_default();
            taken -= part.len();
            self.outgoing.scan(part, |frame: &Header| pieces += u64::from(frame.kind() == Kind::Data));
        }
        self.budget.give(pieces * limits::H2_FRAMES_PER_DATA);
        if let Some(reason) = self.outgoing.take_goodbye().and_then(refusal) {
            self.report.ended(reason);
        }
    }

    fn poll_stalled<R>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        let due = *self.taken_due.get_or_insert_with(|| Instant::now() + self.report.idle);
        self.writing.poll(due, cx).map(|()| Err(self.report.end("stalled", io::ErrorKind::TimedOut)))
    }
}

/// The word for an error code (RFC 9113 7) that the library ends a connection with.
fn refusal(code: u32) -> Option<&'static str> {
    match code {
        0 => None,
        1 => Some("protocol_error"),
        3 => Some("flow_control_error"),
        6 => Some("frame_size_error"),
        9 => Some("compression_error"),
        11 => Some("enhance_your_calm"),
        _ => Some("other_error"),
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guard<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut me.io).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => Poll::Ready(me.came(buf.filled().get(before..).unwrap_or_default())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => me.poll_late(cx),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guard<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        match Pin::new(&mut me.io).poll_write(cx, bytes) {
            Poll::Ready(Ok(taken)) => {
                me.went(std::iter::once(bytes), taken);
                Poll::Ready(Ok(taken))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => me.poll_stalled(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        match Pin::new(&mut me.io).poll_write_vectored(cx, bufs) {
            Poll::Ready(Ok(taken)) => {
                me.went(bufs.iter().map(|buf| &**buf), taken);
                Poll::Ready(Ok(taken))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => me.poll_stalled(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        match Pin::new(&mut me.io).poll_flush(cx) {
            Poll::Pending => me.poll_stalled(cx),
            ready => {
                me.taken_due = None;
                ready
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        match Pin::new(&mut me.io).poll_shutdown(cx) {
            Poll::Pending => me.poll_stalled(cx),
            ready => ready,
        }
    }
}

#[cfg(test)]
mod tests;

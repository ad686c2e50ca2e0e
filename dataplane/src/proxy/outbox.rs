//! The sending half of one HTTP/2 stream: bytes that wait for the peer's window, and how the stream ends.
//!
//! Owns the order of DATA, END_STREAM and trailers. The last bytes and END_STREAM leave in one frame when the window
//! allows. Must not read, and must not decide whether more may be pushed (the pump asks [`Outbox::is_empty`]).

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::{Reason, SendStream};
use http::HeaderMap;

enum End {
    Open,
    Data,
    Trailers(HeaderMap),
    Sent,
}

/// See the module.
pub(super) struct Outbox {
    stream: SendStream<Bytes>,
    waiting: Bytes,
    end: End,
}

impl Outbox {
    pub(super) fn new(stream: SendStream<Bytes>) -> Self {
        Outbox { stream, waiting: Bytes::new(), end: End::Open }
    }

    /// Nothing waits for the window.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && !matches!(self.end, End::Data | End::Trailers(_))
    }

    /// Queues `bytes`.
    pub(super) fn push(&mut self, bytes: Bytes) {
        if self.waiting.is_empty() {
            self.waiting = bytes;
            return;
        }
        // Callers wait for `is_empty` first; bytes must survive one that does not.
        let mut both = BytesMut::with_capacity(self.waiting.len() + bytes.len());
        both.extend_from_slice(&self.waiting);
        both.extend_from_slice(&bytes);
        self.waiting = both.freeze();
    }

    /// No bytes will follow.
    pub(super) fn finish(&mut self, trailers: Option<HeaderMap>) {
        if matches!(self.end, End::Open) {
            self.end = trailers.map_or(End::Data, End::Trailers);
        }
    }

    /// Gives the protocol library what the window allows; ready when nothing waits.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while !self.waiting.is_empty() {
            self.stream.reserve_capacity(self.waiting.len());
            // `poll_capacity` reports changes only, so what is there already comes first.
            let mut window = self.stream.capacity();
            if window == 0 {
                window = match ready!(self.stream.poll_capacity(cx)) {
                    Some(window) => window?,
                    None => return Poll::Ready(Err(Reason::STREAM_CLOSED.into())),
                };
            }
            let piece = self.waiting.split_to(window.min(self.waiting.len()));
            if piece.is_empty() {
                continue;
            }
            let last = self.waiting.is_empty() && matches!(self.end, End::Data);
            self.stream.send_data(piece, last)?;
            if last {
                self.end = End::Sent;
            }
        }
        match std::mem::replace(&mut self.end, End::Open) {
            End::Open => return Poll::Ready(Ok(())),
            End::Data => self.stream.send_data(Bytes::new(), true)?,
            End::Trailers(trailers) => self.stream.send_trailers(trailers)?,
            End::Sent => {}
        }
        self.end = End::Sent;
        Poll::Ready(Ok(()))
    }

    /// The peer has reset the stream.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reason, h2::Error>> {
        self.stream.poll_reset(cx)
    }

    /// Ends the stream by RST_STREAM.
    pub(super) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }
}

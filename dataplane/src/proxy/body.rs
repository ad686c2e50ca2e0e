//! The request body as tries see it: readable again from the start as long as it is recorded.
//!
//! Owns the record (only where a retry rule asks for one, and only up to a limit) and the position of the current try in
//! it. Recording never holds a body back: bytes go to the upstream as they come.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::downstream::{Downstream, Gone};
use super::limits;

/// See the module.
pub(super) struct Body {
    /// The request has one.
    pub(super) expected: bool,
    /// A client that waits for it was told to send it.
    pub(super) invited: bool,
    /// The client has sent all of it.
    complete: bool,
    /// Bytes were taken from the client.
    begun: bool,
    /// What was taken so far; `None` when not recorded, or not any more.
    record: Option<Vec<Bytes>>,
    recorded: usize,
    /// Pieces of the record that the current try has had.
    position: usize,
}

impl Body {
    /// `record` keeps it for retries.
    pub(super) fn new(expected: bool, record: bool) -> Self {
        Body {
            expected,
            invited: false,
            complete: !expected,
            begun: false,
            record: (expected && record).then(Vec::new),
            recorded: 0,
            position: 0,
        }
    }

    /// The last byte is here.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The current try has had everything.
    pub(super) fn is_sent(&self) -> bool {
        self.complete && self.record.as_ref().is_none_or(|record| self.position >= record.len())
    }

    /// Another try could send it from the start.
    pub(super) fn can_rewind(&self) -> bool {
        !self.begun || self.record.is_some()
    }

    /// The next try starts from the beginning.
    pub(super) fn rewind(&mut self) {
        self.position = 0;
    }

    /// No further try: what was recorded and sent is dropped, the rest is not kept.
    pub(super) fn stop_recording(&mut self) {
        match &mut self.record {
            Some(record) if self.position >= record.len() => self.record = None,
            // Pieces that the current try still has to send stay until it has.
            _ => self.recorded = limits::REPLAY_BYTES,
        }
    }

    /// The next piece for the current try; `None` at the end.
    pub(super) fn poll_next(
        &mut self,
        down: &mut Downstream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Gone>> {
        if let Some(piece) = self.record.as_ref().and_then(|record| record.get(self.position)) {
            self.position += 1;
            return Poll::Ready(Ok(Some(piece.clone())));
        }
        if self.complete {
            return Poll::Ready(Ok(None));
        }
        let piece = ready!(down.poll_body(cx))?;
        let Some(piece) = piece else {
            self.complete = true;
            return Poll::Ready(Ok(None));
        };
        self.begun |= !piece.is_empty();
        self.complete = down.body_is_done();
        self.keep(&piece);
        Poll::Ready(Ok(Some(piece)))
    }

    fn keep(&mut self, piece: &Bytes) {
        let Some(record) = &mut self.record else { return };
        self.recorded = self.recorded.saturating_add(piece.len());
        if self.recorded > limits::REPLAY_BYTES {
            self.record = None;
            return;
        }
        record.push(piece.clone());
        self.position = record.len();
    }
}

//! The request body as tries see it: changed by filters, and readable again from the start as long as it is recorded.
//!
//! Owns the record (only where a retry rule asks for one, and only up to a limit) and the position of the current try in
//! it. Neither recording nor filters hold a body back: bytes go to the upstream as they come, unless a policy wanted
//! the whole body first.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::downstream::{Downstream, Gone};
use super::reply::LocalReply;
use crate::policy::{BodyError, Filters};

/// See the module.
pub(super) struct Body {
    /// The upstream is sent one.
    pub(super) expected: bool,
    /// A client that waits for it was told to send it.
    pub(super) invited: bool,
    /// The client has sent all of it.
    complete: bool,
    /// Bytes were taken from the client.
    begun: bool,
    filters: Option<Box<Filters>>,
    /// Pieces that have passed the filters.
    passed: VecDeque<Bytes>,
    /// What was taken so far; `None` when not recorded, or not any more.
    record: Option<Vec<Bytes>>,
    recorded: usize,
    /// Most bytes of the record.
    limit: usize,
    /// Pieces of the record that the current try has had.
    position: usize,
    /// What came after it.
    trailers: Option<HeaderMap>,
}

/// Why a whole body cannot be had.
pub(super) enum NotWhole {
    TooLong,
    Gone(Gone),
}

impl Body {
    /// `expected`: the client sends one. Of it `limit` bytes may be recorded.
    pub(super) fn new(expected: bool, limit: usize) -> Self {
        Body {
            expected,
            invited: false,
            complete: !expected,
            begun: false,
            filters: None,
            passed: VecDeque::new(),
            record: None,
            recorded: 0,
            limit,
            position: 0,
            trailers: None,
        }
    }

    /// Keeps what is sent, for further tries.
    pub(super) fn start_recording(&mut self) {
        if self.expected && !self.begun && self.record.is_none() {
            self.record = Some(Vec::new());
        }
    }

    /// The fields that follow it, once it is complete.
    pub(super) fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// The last byte is here.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The current try has had everything.
    pub(super) fn is_sent(&self) -> bool {
        self.complete
            && self.passed.is_empty()
            && self.record.as_ref().is_none_or(|record| self.position >= record.len())
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
            _ => self.recorded = self.limit,
        }
    }

    /// Passes it through `filters` from now on, behind those that it passes already.
    pub(super) fn filter(&mut self, filters: Filters) -> Result<(), BodyError> {
        if !self.complete {
            let mut filters = filters;
            // What was read and put back goes before what is still to come.
            if let Some(start) = self.record.take() {
                let mut passed = Vec::new();
                for piece in start {
                    passed.extend(filters.data(piece)?);
                }
                self.recorded = passed.iter().map(Bytes::len).sum();
                self.record = Some(passed);
            }
            // Two policies that both filter are rare, and each may have been followed by one that waited.
            self.filters.get_or_insert_default().extend(filters);
            return Ok(());
        }
        let mut filters = filters;
        let pieces = self.record.take().into_iter().flatten().chain(self.passed.drain(..)).collect();
        let (whole, _) = filters.whole(crate::policy::joined(pieces), None)?;
        self.replace(whole);
        Ok(())
    }

    /// This is the body, in place of what the client sent.
    pub(super) fn replace(&mut self, whole: Bytes) {
        self.expected = !whole.is_empty();
        self.complete = true;
        self.begun = true;
        self.passed.clear();
        self.recorded = whole.len();
        self.position = 0;
        // It is here anyway, so every try can have it.
        self.record = Some(if whole.is_empty() { Vec::new() } else { vec![whole] });
    }

    /// Its length, where that is known before it is sent.
    pub(super) fn length(&self) -> Option<u64> {
        self.complete.then_some(self.recorded as u64)
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
        loop {
            if let Some(piece) = self.passed.pop_front() {
                self.keep(&piece);
                return Poll::Ready(Ok(Some(piece)));
            }
            if self.complete {
                return Poll::Ready(Ok(None));
            }
            let piece = ready!(down.poll_body(cx))?;
            self.complete = piece.is_none() || down.body_is_done();
            if self.complete {
                self.trailers = down.take_request_trailers()?;
            }
            self.begun |= piece.as_ref().is_some_and(|piece| !piece.is_empty());
            if self.filters.is_some() {
                self.pass(piece)?;
            } else if let Some(piece) = piece {
                self.keep(&piece);
                return Poll::Ready(Ok(Some(piece)));
            }
        }
    }

    fn pass(&mut self, piece: Option<Bytes>) -> Result<(), Gone> {
        let refused = |error: BodyError| Gone::Refused(Box::new(LocalReply::from(error)));
        let Some(filters) = &mut self.filters else { return Ok(()) };
        if let Some(piece) = piece {
            self.passed.extend(filters.data(piece).map_err(refused)?);
        }
        if self.complete {
            let (last, trailers) = filters.end(self.trailers.take()).map_err(refused)?;
            self.passed.extend(last);
            self.trailers = trailers;
            self.filters = None;
        }
        Ok(())
    }

    /// Adds what comes to `whole`, until it is all there.
    pub(super) fn poll_whole(
        &mut self,
        whole: &mut BytesMut,
        limit: usize,
        down: &mut Downstream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), NotWhole>> {
        while let Some(piece) = ready!(self.poll_next(down, cx)).map_err(NotWhole::Gone)? {
            if whole.len().saturating_add(piece.len()) > limit {
                return Poll::Ready(Err(NotWhole::TooLong));
            }
            whole.extend_from_slice(&piece);
        }
        Poll::Ready(Ok(()))
    }

    /// Adds what comes to `start`, until it has `limit` bytes or there is no more.
    pub(super) fn poll_start(
        &mut self,
        start: &mut BytesMut,
        limit: usize,
        down: &mut Downstream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Gone>> {
        while start.len() < limit {
            match ready!(self.poll_next(down, cx))? {
                Some(piece) => start.extend_from_slice(&piece),
                None => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Puts what was read in front of the rest. Every try can have it.
    pub(super) fn put_back(&mut self, start: Bytes) {
        self.recorded = start.len();
        self.position = 0;
        self.record = Some(if start.is_empty() { Vec::new() } else { vec![start] });
    }

    fn keep(&mut self, piece: &Bytes) {
        let Some(record) = &mut self.record else { return };
        self.recorded = self.recorded.saturating_add(piece.len());
        if self.recorded > self.limit {
            self.record = None;
            return;
        }
        record.push(piece.clone());
        self.position = record.len();
    }
}

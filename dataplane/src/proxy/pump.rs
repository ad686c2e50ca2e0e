//! Moves one request and its answer at once, in one task: neither direction waits for the other.
//!
//! Owns the state of both directions of one try. Each step reads from one side only while the other has room, which is
//! all the back-pressure there is. Must not know retries, policies or which HTTP versions are spoken.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::response::Parts;

use super::body::Body;
use super::clock::{Clock, Expired};
use super::downstream::{Downstream, Gone};
use super::failure::{Failure, Kind};
use super::forward;
use super::limits;
use super::reply::LocalReply;
use super::upstream::Upstream;
use crate::policy::{BodyError, Filters};

/// Why the pump stopped before the end.
#[derive(Debug)]
pub(super) enum Stop {
    Client(Gone),
    Upstream(Failure),
    Expired(Expired),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upload {
    /// Pieces of the body are being sent.
    Body,
    /// All is queued.
    Flush,
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Download {
    Body,
    Trailers,
    /// All is queued.
    Flush,
    Done,
}

/// Whether the upstream knows that the client has closed its side of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    Telling,
    Told,
}

/// How far a try's request got.
pub(super) struct Progress {
    upload: Upload,
    refused: Option<Failure>,
}

/// See the module.
pub(super) struct Pump<'a> {
    pub(super) down: &'a mut Downstream,
    pub(super) up: &'a mut Upstream,
    pub(super) body: &'a mut Body,
    pub(super) clock: &'a mut Clock,
    upload: Upload,
    download: Download,
    /// The upstream stopped taking the request; its answer may come all the same.
    refused: Option<Failure>,
    /// What the answer's body passes.
    filters: Filters,
    tunnel: bool,
    /// The upstream says 100 to the client.
    pub(super) continues: bool,
    closing: Closing,
    /// Informational answers so far.
    informed: u8,
}

impl<'a> Pump<'a> {
    /// A try whose request header is queued.
    pub(super) fn new(
        down: &'a mut Downstream,
        up: &'a mut Upstream,
        body: &'a mut Body,
        clock: &'a mut Clock,
    ) -> Self {
        Pump {
            upload: if body.expected { Upload::Body } else { Upload::Flush },
            download: Download::Body,
            down,
            up,
            body,
            clock,
            refused: None,
            filters: Filters::default(),
            tunnel: false,
            continues: false,
            closing: Closing::No,
            informed: 0,
        }
    }

    /// Lets go of both sides, for the moment in which the answer's header is worked on.
    pub(super) fn suspend(self) -> Progress {
        Progress { upload: self.upload, refused: self.refused }
    }

    /// Goes on after [`Pump::suspend`].
    pub(super) fn resume(
        down: &'a mut Downstream,
        up: &'a mut Upstream,
        body: &'a mut Body,
        clock: &'a mut Clock,
        progress: Progress,
    ) -> Self {
        let Progress { upload, refused } = progress;
        Pump { upload, refused, ..Pump::new(down, up, body, clock) }
    }

    /// Runs until a response header that is not merely informational.
    pub(super) async fn until_header(&mut self) -> Result<Parts, Stop> {
        std::future::poll_fn(|cx| self.poll_until_header(cx)).await
    }

    /// Runs until the end of the answer, which began with the header that was sent to the client; `ended` by it.
    pub(super) async fn until_end(&mut self, ended: bool) -> Result<(), Stop> {
        if ended {
            // Nothing to read, not even trailers.
            self.down.finish(None);
            self.download = Download::Flush;
        }
        std::future::poll_fn(|cx| self.poll_until_end(cx)).await
    }

    /// As [`Pump::until_end`], with the body passing through `filters`.
    pub(super) async fn until_end_through(&mut self, filters: Filters) -> Result<(), Stop> {
        self.filters = filters;
        self.until_end(false).await
    }

    /// As [`Pump::until_end`], with this in the place of what the upstream sent.
    pub(super) async fn until_sent(&mut self, whole: Bytes, trailers: Option<HeaderMap>) -> Result<(), Stop> {
        self.down.push(whole);
        self.down.finish(trailers);
        self.download = Download::Flush;
        std::future::poll_fn(|cx| self.poll_until_end(cx)).await
    }

    /// Reads the whole answer, through `filters`, and its trailers. `None`: it is longer than `limit`.
    pub(super) async fn collect(
        &mut self,
        limit: usize,
        filters: &mut Filters,
    ) -> Result<Option<(Bytes, Option<HeaderMap>)>, Stop> {
        let mut whole = BytesMut::new();
        let mut ended = false;
        std::future::poll_fn(move |cx| {
            let _ = self.poll_upload(cx)?;
            while !ended {
                let Poll::Ready(piece) = self.up.poll_piece(cx) else { return self.poll_others(cx) };
                self.clock.touch();
                let piece = piece.map_err(Stop::Upstream)?;
                ended = piece.is_none() || self.up.body_is_done();
                for piece in
                    piece.map(|piece| filters.data(piece)).transpose().map_err(refused)?.unwrap_or_default()
                {
                    whole.extend_from_slice(&piece);
                }
                if whole.len() > limit {
                    return Poll::Ready(Ok(None));
                }
            }
            let Poll::Ready(trailers) = self.up.poll_trailers(cx) else { return self.poll_others(cx) };
            let (last, trailers) = filters.end(trailers.map_err(Stop::Upstream)?).map_err(refused)?;
            last.iter().for_each(|piece| whole.extend_from_slice(piece));
            Poll::Ready(Ok(Some((std::mem::take(&mut whole).freeze(), trailers))))
        })
        .await
    }

    /// After a 101, or what grants a CONNECT: bytes both ways until either side ends.
    pub(super) async fn tunnel(&mut self) -> Result<(), Stop> {
        self.tunnel = true;
        self.clock.lift();
        self.up.begin_tunnel();
        *self.body = Body::new(true, 0);
        self.upload = Upload::Body;
        std::future::poll_fn(|cx| self.poll_until_end(cx)).await
    }

    /// Request and answer are complete, and the connection has carried nothing else.
    pub(super) fn is_clean(&self) -> bool {
        self.upload == Upload::Done
            && self.download == Download::Done
            && self.refused.is_none()
            && !self.tunnel
    }

    /// What the upstream said when it stopped taking the request.
    pub(super) fn refusal(&self) -> Option<&Failure> {
        self.refused.as_ref()
    }

    fn poll_until_header(&mut self, cx: &mut Context<'_>) -> Poll<Result<Parts, Stop>> {
        let _ = self.poll_upload(cx)?;
        while let Poll::Ready(header) = self.up.poll_header(cx) {
            let header = header.map_err(Stop::Upstream)?;
            self.clock.touch();
            if !header.status.is_informational() || header.status.as_u16() == 101 {
                return Poll::Ready(Ok(header));
            }
            self.informed += 1;
            if self.informed > limits::INFORMATIONAL {
                let failure = Failure::new(Kind::Protocol, "too many informational answers");
                return Poll::Ready(Err(Stop::Upstream(failure)));
            }
            // 100 was answered by the gateway itself, when it was asked for and the upstream is not to do it.
            if header.status.as_u16() != 100 || self.continues {
                self.down.inform(&forward::informational(header));
            }
        }
        self.poll_others(cx)
    }

    fn poll_until_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        let uploaded = self.poll_upload(cx)?;
        if self.tunnel && uploaded.is_ready() {
            return self.poll_half_closed(cx);
        }
        if self.poll_download(cx)?.is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.poll_others(cx)
    }

    /// The client has closed its side of a tunnel: it may still wait for what comes back.
    fn poll_half_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        if self.closing == Closing::No {
            self.clock.limit_idle(Some(limits::HALF_CLOSED));
            self.closing = Closing::Telling;
        }
        if self.closing == Closing::Telling && self.up.poll_close_tunnel(cx).is_ready() {
            self.closing = Closing::Told;
        }
        if self.poll_download(cx)?.is_ready() {
            return Poll::Ready(Ok(()));
        }
        match self.poll_others(cx) {
            Poll::Ready(Err(Stop::Expired(_))) => Poll::Ready(Ok(())),
            other => other,
        }
    }

    /// Everything else that can end the wait: informational output, the client, the clock.
    fn poll_others<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Stop>> {
        if self.down.poll_drain(cx).map_err(Stop::Client)?.is_ready()
            && self.body.is_complete()
            && !self.tunnel
            && let Poll::Ready(gone) = self.down.poll_left(cx)
        {
            return Poll::Ready(Err(Stop::Client(gone)));
        }
        self.clock.poll(cx).map(|expired| Err(Stop::Expired(expired)))
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        loop {
            match self.upload {
                Upload::Done => return Poll::Ready(Ok(())),
                Upload::Body if self.up.has_room() => match self.body.poll_next(self.down, cx) {
                    Poll::Ready(piece) => {
                        self.clock.touch();
                        let piece = piece.map_err(Stop::Client)?;
                        self.send(piece);
                    }
                    Poll::Pending => {
                        if let Poll::Ready(Err(failure)) = self.up.poll_drain(cx) {
                            self.stop_upload(failure);
                        }
                        return Poll::Pending;
                    }
                },
                Upload::Body | Upload::Flush => match ready!(self.up.poll_drain(cx)) {
                    Err(failure) => self.stop_upload(failure),
                    Ok(()) => {
                        self.clock.touch();
                        if self.upload == Upload::Flush {
                            self.upload = Upload::Done;
                        }
                    }
                },
            }
        }
    }

    fn send(&mut self, piece: Option<bytes::Bytes>) {
        if let Some(piece) = piece {
            self.up.push(piece);
        }
        if !self.body.is_sent() {
            return;
        }
        self.clock.request_complete();
        self.upload = Upload::Flush;
        if let Err(failure) = self.up.finish(self.body.trailers()) {
            self.stop_upload(failure);
        }
    }

    /// An upstream that does not want the rest of the request may still answer it.
    fn stop_upload(&mut self, failure: Failure) {
        self.refused.get_or_insert(failure);
        self.upload = Upload::Done;
    }

    /// Moves one piece of the answer to the client; `false` at the end of the body.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Stop>> {
        if self.filters.is_empty() {
            return self.up.poll_body_into(self.down, cx).map_err(Stop::Upstream);
        }
        let Some(piece) = ready!(self.up.poll_piece(cx)).map_err(Stop::Upstream)? else {
            return Poll::Ready(Ok(false));
        };
        let passed = self.filters.data(piece).map_err(refused)?;
        passed.into_iter().for_each(|piece| self.down.push(piece));
        Poll::Ready(Ok(true))
    }

    fn poll_download(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        loop {
            if self.download == Download::Done {
                return Poll::Ready(Ok(()));
            }
            if self.download == Download::Flush || !self.down.has_room() {
                ready!(self.down.poll_drain(cx)).map_err(Stop::Client)?;
                self.clock.touch();
            }
            match self.download {
                Download::Body => {
                    let more = ready!(self.poll_piece(cx))?;
                    self.clock.touch();
                    if !more || (!self.tunnel && self.up.body_is_done()) {
                        self.download = Download::Trailers;
                    }
                }
                Download::Trailers => {
                    let trailers = ready!(self.up.poll_trailers(cx)).map_err(Stop::Upstream)?;
                    let (last, trailers) = self.filters.end(trailers).map_err(refused)?;
                    last.into_iter().for_each(|piece| self.down.push(piece));
                    self.down.finish(trailers);
                    self.download = Download::Flush;
                }
                Download::Flush => self.download = Download::Done,
                Download::Done => {}
            }
        }
    }
}

/// A filter does not let a body go on.
fn refused(error: BodyError) -> Stop {
    Stop::Client(Gone::Refused(Box::new(LocalReply::from(error))))
}

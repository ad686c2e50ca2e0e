//! The upstream's side of a try: one of Pingora's two client sessions behind one set of calls that never wait.
//!
//! The only place that knows a client session. Owns the session, and for HTTP/2 the sending half of its stream: dropping
//! it closes the connection or resets the stream. Must not decide about retries.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use pingora_core::protocols::http::v1::client::HttpSession as H1;
use pingora_core::protocols::http::v2::client::Http2Session as H2;
use pingora_http::{RequestHeader, ResponseHeader};

use super::connect::Target;
use super::downstream::{Downstream, Gone};
use super::failure::{Failure, Kind};
use super::limits;
use super::outbox::Outbox;
use super::pool::{Lease, Pool};
use super::strict::has_line;
use super::wire::Wire;

/// See the module.
pub(super) enum Upstream {
    H1(Box<H1>),
    H2 { session: Box<H2>, outbox: Option<Outbox> },
}

/// Why a piece of the answer did not get from one side to the other.
pub(super) enum Broken {
    Upstream(Failure),
    Client(Gone),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Broken::Upstream(failure)
    }
}

impl From<Gone> for Broken {
    fn from(gone: Gone) -> Self {
        Broken::Client(gone)
    }
}

fn now<T>(future: impl Future<Output = pingora_error::Result<T>>) -> Result<T, Failure> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.map_err(|error| Failure::of_h1(&error)),
        Poll::Pending => Err(Failure::new(Kind::Reset, "a write had to wait")),
    }
}

impl From<Lease> for Upstream {
    fn from(lease: Lease) -> Self {
        match lease {
            Lease::H1(session) => Upstream::H1(session),
            Lease::H2(session) => Upstream::H2 { session, outbox: None },
        }
    }
}

impl Upstream {
    fn wire(&self) -> Option<&Wire> {
        match self {
            Upstream::H1(session) => (**session.stream()).as_any().downcast_ref::<Wire>(),
            Upstream::H2 { .. } => None,
        }
    }

    /// Queues the request header; without `body` also the end of the request.
    pub(super) fn send_header(&mut self, header: Box<RequestHeader>, body: bool) -> Result<(), Failure> {
        match self {
            Upstream::H1(session) => {
                let tunnel = header.headers.contains_key(http::header::UPGRADE);
                now(session.write_request_header(header))?;
                if !body && !tunnel {
                    now(session.finish_body())?;
                }
                Ok(())
            }
            Upstream::H2 { session, outbox } => {
                session
                    .write_request_header(header, !body)
                    .map_err(|error| Failure::new(Kind::Unsent, error.to_string()))?;
                // Without a body the sender is kept all the same: dropping it early is no cancel, but useless work.
                *outbox = session.take_request_body_writer().filter(|_| body).map(Outbox::new);
                Ok(())
            }
        }
    }

    /// Queues a piece of the request body.
    pub(super) fn push(&mut self, piece: Bytes) -> Result<(), Failure> {
        match self {
            Upstream::H1(session) if !piece.is_empty() => now(session.write_body(&piece)).map(|_| ()),
            Upstream::H2 { outbox: Some(outbox), .. } => {
                outbox.push(piece);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// No more request body.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        match self {
            // In a tunnel it would also end the reading.
            Upstream::H1(session) if session.was_upgraded() => Ok(()),
            Upstream::H1(session) => now(session.finish_body()).map(|_| ()),
            Upstream::H2 { outbox, .. } => {
                if let Some(outbox) = outbox {
                    outbox.finish(None);
                }
                Ok(())
            }
        }
    }

    /// The upstream takes more without piling up what waits for it.
    pub(super) fn has_room(&self) -> bool {
        match self {
            Upstream::H1(_) => self.wire().is_none_or(|wire| wire.queued() < limits::QUEUE),
            Upstream::H2 { outbox, .. } => outbox.as_ref().is_none_or(Outbox::is_empty),
        }
    }

    /// Moves what waits towards the upstream.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match self {
            Upstream::H1(_) => match self.wire() {
                Some(wire) => wire.poll_drain(cx).map_err(|error| Failure::of_io(&error)),
                None => Poll::Ready(Ok(())),
            },
            Upstream::H2 { outbox: Some(outbox), .. } => {
                outbox.poll_drain(cx).map_err(|error| Failure::of_h2(&error))
            }
            Upstream::H2 { .. } => Poll::Ready(Ok(())),
        }
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Upstream::H2 { .. })
    }

    /// Nothing of the request has left this process.
    pub(super) fn untouched(&self) -> bool {
        self.wire().is_some_and(Wire::untouched)
    }

    /// The next response header, 1xx included.
    pub(super) fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<Result<Box<ResponseHeader>, Failure>> {
        let untouched = self.untouched();
        match self {
            Upstream::H1(session) => {
                let read = pin!(session.read_response()).poll(cx);
                read.map(|read| match (read, session.resp_header()) {
                    (Ok(_), Some(header)) => {
                        check_framing(header, &session.get_headers_raw_bytes())?;
                        Ok(Box::new(header.clone()))
                    }
                    (Ok(_), None) => Err(Failure::new(Kind::Protocol, "no response header")),
                    (Err(error), _) => {
                        let mut failure = Failure::of_h1(&error);
                        if untouched && failure.kind == Kind::Reset {
                            failure.kind = Kind::Unsent;
                        }
                        Err(failure)
                    }
                })
            }
            Upstream::H2 { session, .. } => {
                session.poll_read_response_header(cx).map(|read| match (read, session.response_header()) {
                    (Ok(()), Some(header)) => check_status(header).map(|()| Box::new(header.clone())),
                    (Ok(()), None) => Err(Failure::new(Kind::Protocol, "no response header")),
                    (Err(error), _) => Err(Failure::of_h2(&error)),
                })
            }
        }
    }

    /// The answer has no body left to read. HTTP/2 trailers count as body.
    pub(super) fn body_is_done(&mut self) -> bool {
        match self {
            Upstream::H1(session) => !session.was_upgraded() && session.is_body_done(),
            Upstream::H2 { session, .. } => session.response_finished(),
        }
    }

    /// Moves one piece of the answer into `down`; `false` at the end of the body.
    pub(super) fn poll_body_into(
        &mut self,
        down: &mut Downstream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, Broken>> {
        match self {
            Upstream::H1(session) => {
                let http2 = down.is_http2();
                match pin!(session.read_body_ref()).poll(cx) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Err(error)) => Poll::Ready(Err(Failure::of_h1(&error).into())),
                    Poll::Ready(Ok(None)) => Poll::Ready(Ok(false)),
                    Poll::Ready(Ok(Some(piece))) => {
                        let pushed = if http2 {
                            down.push(Bytes::copy_from_slice(piece))
                        } else {
                            down.push_slice(piece)
                        };
                        Poll::Ready(pushed.map(|()| true).map_err(Broken::from))
                    }
                }
            }
            Upstream::H2 { session, .. } => session.poll_read_response_body(cx).map(|piece| match piece {
                None => Ok(false),
                Some(Ok(piece)) => down.push(piece).map(|()| true).map_err(Broken::from),
                Some(Err(error)) => Err(Failure::of_h2(&error).into()),
            }),
        }
    }

    /// Trailers, after the body. HTTP/1 drops them.
    pub(super) fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, Failure>> {
        match self {
            Upstream::H1(_) => Poll::Ready(Ok(None)),
            Upstream::H2 { session, .. } => pin!(session.read_trailers())
                .poll(cx)
                .map_err(|error| Failure::new(Kind::Reset, error.to_string())),
        }
    }

    /// From here on both sides send bytes that are not HTTP.
    pub(super) fn begin_tunnel(&mut self) {
        if let Upstream::H1(session) = self {
            session.maybe_upgrade_body_writer();
        }
    }

    /// The client's end of a tunnel is passed on. A failure shows on the other direction.
    pub(super) fn poll_close_tunnel(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wire().map_or(Poll::Ready(()), |wire| wire.poll_close(cx).map(|_| ()))
    }

    /// Request and answer are complete and nothing waits: the connection may serve another request.
    pub(super) async fn release(self, pool: &Pool, target: &Target) {
        if let Upstream::H1(mut session) = self {
            if session.resp_header().is_some_and(announces_what_it_must_not) {
                return;
            }
            session.respect_keepalive();
            if let Some(stream) = session.reuse().await {
                pool.put_back(target, stream);
            }
        }
        // An HTTP/2 stream needs no more than to be dropped.
    }
}

/// A class of status that a client can know.
fn check_status(header: &ResponseHeader) -> Result<(), Failure> {
    match header.status.as_u16() {
        100..=599 => Ok(()),
        _ => Err(Failure::new(Kind::Protocol, "the status is of no known class")),
    }
}

/// Where the answer ends must have one answer: what is read here differently than it was meant poisons the next answer
/// on the same connection.
fn check_framing(header: &ResponseHeader, raw: &[u8]) -> Result<(), Failure> {
    check_status(header)?;
    let mut codings = header.headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if codings.next().is_some() || !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
        return Err(Failure::new(Kind::Protocol, "a transfer coding other than chunked"));
    }
    // The session has dropped the length.
    if has_line(raw, b"content-length:") {
        return Err(Failure::new(Kind::Protocol, "content-length beside transfer-encoding"));
    }
    Ok(())
}

/// A 204 that announces a body (RFC 9110 section 8.6 forbids it): if the body comes, it would be read as the beginning of
/// the next answer.
fn announces_what_it_must_not(response: &ResponseHeader) -> bool {
    let length = response.headers.get(header::CONTENT_LENGTH).is_some_and(|value| value.as_bytes() != b"0");
    response.status == StatusCode::NO_CONTENT
        && (length || response.headers.contains_key(header::TRANSFER_ENCODING))
}

//! The client's side of a request: our own HTTP/1 connection or a stream of Pingora's HTTP/2 session, behind one set of
//! calls that never wait.
//!
//! The only place that knows which of the two it is. Owns the connection or the stream. Must not decide anything about
//! the request.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use http::response::Parts as Response;
use pingora_core::protocols::http::v2::server::HttpSession as Session;
use pingora_http::ResponseHeader;

use super::clock::Clock;
use super::exchange::Seen;
use super::h1::{NoBody, NoRequest, Server, spare};
use super::limits;
use super::outbox::Outbox;
use super::reply::{LocalReply, Reason};
use crate::runtime::Http;

/// The client cannot be served any further.
#[derive(Debug, Clone)]
pub(super) enum Gone {
    /// It closed, reset the stream, or its connection broke.
    Left(Box<str>),
    /// What it sent is not valid.
    Malformed(Box<str>),
    /// A policy does not let its body pass.
    Refused(Box<LocalReply>),
}

impl Gone {
    fn left(error: impl std::fmt::Display) -> Self {
        Gone::Left(error.to_string().into())
    }
}

impl From<NoBody> for Gone {
    fn from(no_body: NoBody) -> Self {
        match no_body {
            NoBody::Left(detail) => Gone::Left(detail),
            NoBody::Invalid(invalid) => Gone::Malformed(invalid.detail().into()),
        }
    }
}

/// See the module.
pub(super) enum Downstream {
    H1(Box<Server>),
    H2(Box<Stream>),
}

/// An HTTP/2 stream.
pub(super) struct Stream {
    session: Session,
    /// Once the answer has begun.
    outbox: Option<Outbox>,
    /// Bytes of the answer's body.
    sent: usize,
    /// The answer's trailers, kept for the log where it asks for them.
    trailers: Option<HeaderMap>,
    keep_trailers: bool,
}

impl Downstream {
    /// `keep_trailers`: those of the answer are asked for in the end.
    pub(super) fn h2(session: Session, keep_trailers: bool) -> Self {
        Downstream::H2(Box::new(Stream { session, outbox: None, sent: 0, trailers: None, keep_trailers }))
    }

    /// The answer's trailers, if they were kept.
    pub(super) fn take_trailers(&mut self) -> Option<HeaderMap> {
        match self {
            Downstream::H1(_) => None,
            Downstream::H2(stream) => stream.trailers.take(),
        }
    }

    /// Waits for a request header. `Err(None)`: the connection ended between requests.
    pub(super) async fn read_request(&mut self) -> Result<(), Option<LocalReply>> {
        // An HTTP/2 stream begins with it.
        let Downstream::H1(server) = self else { return Ok(()) };
        std::future::poll_fn(|cx| server.poll_request(cx)).await.map_err(|none| match none {
            NoRequest::End => None,
            NoRequest::Left(detail) => Some(LocalReply::new(Reason::ClientGone).detail(detail)),
            NoRequest::Late => Some(Reason::HeaderTimeout.into()),
            NoRequest::Invalid(invalid) => Some(invalid.into()),
        })
    }

    /// Lets the request use the connection's timer.
    pub(super) fn lend_timer(&mut self, clock: &mut Clock) {
        if let Downstream::H1(server) = self {
            std::mem::swap(&mut server.timer, &mut clock.timer);
        }
    }

    /// The request is over.
    pub(super) fn take_timer(&mut self, clock: &mut Clock) {
        self.lend_timer(clock);
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Downstream::H2(_))
    }

    pub(super) fn header(&self) -> &Parts {
        match self {
            Downstream::H1(server) => &server.head.parts,
            Downstream::H2(stream) => stream.session.req_header(),
        }
    }

    /// What can be said of a request that is refused by its header.
    pub(super) fn seen(&self) -> Option<Seen> {
        match self {
            Downstream::H1(server) if server.head.target.is_empty() => None,
            Downstream::H1(server) => Some(Seen::of(&server.head.parts, &server.head.target)),
            Downstream::H2(stream) => {
                let header = stream.session.req_header();
                Some(Seen::of(header, header.raw_path()))
            }
        }
    }

    /// The head as it came, where it was kept for the names of its fields.
    pub(super) fn take_came(&mut self) -> Option<Bytes> {
        match self {
            Downstream::H1(server) => server.head.came.take(),
            Downstream::H2(_) => None,
        }
    }

    /// Takes the header.
    pub(super) fn take_header(&mut self) -> Parts {
        match self {
            Downstream::H1(server) => std::mem::take(&mut server.head).parts,
            Downstream::H2(stream) => {
                let header = stream.session.req_header_mut();
                // The session looks at the method once more when it writes the answer.
                let Ok(mut stub) =
                    pingora_http::RequestHeader::build_no_case(header.method.clone(), b"/", Some(0))
                else {
                    // A method that was one before; then nothing is taken.
                    return header.as_owned_parts();
                };
                stub.set_version(header.version);
                std::mem::replace(header, stub).into()
            }
        }
    }

    /// The request has a body, empty or not.
    pub(super) fn has_body(&self) -> bool {
        match self {
            Downstream::H1(server) => !server.body_is_done(),
            Downstream::H2(stream) => !stream.session.is_body_empty(),
        }
    }

    pub(super) fn body_is_done(&self) -> bool {
        match self {
            Downstream::H1(server) => server.body_is_done(),
            Downstream::H2(stream) => stream.session.is_body_done(),
        }
    }

    /// Bytes of bodies, in and out.
    pub(super) fn body_bytes(&self) -> (usize, usize) {
        match self {
            Downstream::H1(server) => server.body_bytes(),
            Downstream::H2(stream) => (stream.session.body_bytes_read(), stream.sent),
        }
    }

    /// The next piece of the request body; `None` at its end.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Gone>> {
        match self {
            Downstream::H1(server) => server.poll_body(cx).map_err(Gone::from),
            Downstream::H2(stream) => {
                stream.session.poll_read_body_bytes(cx).map(|piece| piece.transpose().map_err(Gone::left))
            }
        }
    }

    /// Ready when the client has left although nothing more is expected of it. Asked after the whole request is read.
    pub(super) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        let reset = match self {
            Downstream::H1(server) => return server.poll_left(cx).map(Gone::Left),
            Downstream::H2(stream) => match &mut stream.outbox {
                Some(outbox) => outbox.poll_reset(cx).map_err(Gone::left),
                None => pin!(stream.session.idle()).poll(cx).map_err(Gone::left),
            },
        };
        reset.map(|reset| match reset {
            Ok(reason) => Gone::left(format_args!("stream reset: {reason}")),
            Err(gone) => gone,
        })
    }

    /// Sends a 1xx other than 101; HTTP/2 and HTTP/1.0 clients do not get it.
    pub(super) fn inform(&mut self, parts: &Response) {
        if let Downstream::H1(server) = self {
            server.inform(parts.status, &parts.headers);
        }
    }

    /// Sends the response header. With `end` there is no body.
    pub(super) fn respond(&mut self, parts: Response, end: bool) -> Result<(), Gone> {
        match self {
            Downstream::H1(server) => {
                server.respond(parts.status, &parts.headers, end);
                spare::give_back(parts.headers);
            }
            Downstream::H2(stream) => {
                let header = Box::new(ResponseHeader::from(parts));
                stream.session.write_response_header(header, end).map_err(Gone::left)?;
                if !end {
                    stream.outbox = stream.session.take_response_body_writer().map(Outbox::new);
                }
            }
        }
        Ok(())
    }

    /// A final response header has been sent.
    pub(super) fn responded(&self) -> bool {
        match self {
            Downstream::H1(server) => server.responded(),
            Downstream::H2(stream) => {
                stream.session.response_written().is_some_and(|header| !header.status.is_informational())
            }
        }
    }

    /// Queues a piece of the response body.
    pub(super) fn push(&mut self, piece: Bytes) {
        match self {
            Downstream::H1(server) => server.push(&piece),
            Downstream::H2(stream) => {
                if let Some(outbox) = &mut stream.outbox {
                    stream.sent += piece.len();
                    outbox.push(piece);
                }
            }
        }
    }

    /// The HTTP/1 connection, into which a piece can be copied from where it was read.
    pub(super) fn server(&mut self) -> Option<&mut Server> {
        match self {
            Downstream::H1(server) => Some(server),
            Downstream::H2(_) => None,
        }
    }

    /// No more response body. HTTP/1 clients are not sent the trailers.
    pub(super) fn finish(&mut self, trailers: Option<HeaderMap>) {
        match self {
            Downstream::H1(server) => server.finish(),
            Downstream::H2(stream) => {
                if stream.keep_trailers {
                    stream.trailers.clone_from(&trailers);
                }
                if let Some(outbox) = &mut stream.outbox {
                    outbox.finish(trailers);
                }
            }
        }
    }

    /// The client takes more without piling up what waits for it.
    pub(super) fn has_room(&self) -> bool {
        match self {
            Downstream::H1(server) => server.queued() < limits::QUEUE,
            Downstream::H2(stream) => stream.outbox.as_ref().is_none_or(Outbox::is_empty),
        }
    }

    /// Moves what waits towards the client.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        match self {
            Downstream::H1(server) => server.poll_drain(cx).map_err(Gone::left),
            Downstream::H2(stream) => match &mut stream.outbox {
                Some(outbox) => outbox.poll_drain(cx).map_err(Gone::left),
                None => Poll::Ready(Ok(())),
            },
        }
    }

    /// Before an answer that leaves the request's body aside: takes what is here of it, so that the connection can carry
    /// another request. Always ready. `rest` is the body's length where it is known and the client is certain to send it.
    pub(super) fn discard(&mut self, rest: Option<usize>, cx: &mut Context<'_>) -> Poll<()> {
        if let Downstream::H1(server) = self {
            server.discard(rest, cx);
        }
        Poll::Ready(())
    }

    /// Whether the client may use the connection for another request is decided: it may not.
    pub(super) fn close_after(&mut self) {
        if let Downstream::H1(server) = self {
            server.close_after();
        }
    }

    /// Answers a request whose header could not be read, and closes.
    pub(super) async fn refuse(self, reply: LocalReply, http: &Http) {
        let Downstream::H1(mut server) = self else { return };
        if reply.reason == Reason::ClientGone {
            return;
        }
        server.close_after();
        let (mut parts, body) = reply.into_response(false);
        super::forward::sign(&mut parts.headers, &http.settings);
        server.respond(parts.status, &parts.headers, false);
        server.push(&body);
        server.finish();
        server.close().await;
    }

    /// Breaks off: an HTTP/1 connection is closed in mid-body, an HTTP/2 stream reset with a code that clients
    /// of gRPC take for a failure, not for their own cancelling.
    pub(super) fn abort(self) {
        match self {
            Downstream::H1(server) => server.abort(),
            Downstream::H2(mut stream) => match &mut stream.outbox {
                Some(outbox) => outbox.reset(h2::Reason::INTERNAL_ERROR),
                None => stream.session.shutdown_with_reason(h2::Reason::INTERNAL_ERROR),
            },
        }
    }

    /// The answer is complete: gives the connection back if it can carry another request.
    pub(super) async fn finish_request(mut self) -> Option<Self> {
        if let Downstream::H1(server) = &mut self
            && server.next()
        {
            return Some(self);
        }
        // Apart, so that it is no part of every request's state.
        Box::pin(self.read_rest()).await
    }

    /// Reads what the client still sends, for a moment.
    async fn read_rest(mut self) -> Option<Self> {
        match &mut self {
            Downstream::H1(server) => server.read_rest().await.then_some(self),
            Downstream::H2(stream) => {
                let session = &mut stream.session;
                if !session.is_body_done() {
                    // Else the stream would be reset, which some clients take for the loss of the answer too.
                    let _ = tokio::time::timeout(limits::LINGER, session.drain_request_body()).await;
                }
                // Ends a stream that has not ended by itself.
                let _ = session.finish();
                None
            }
        }
    }
}

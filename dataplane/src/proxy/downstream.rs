//! The client's side of a request: an HTTP/1 connection or an HTTP/2 stream, behind one set of calls that never wait.
//!
//! The only place that knows which of the two it is. Owns the connection or the stream. Must not decide anything about
//! the request.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::response::Parts as Response;
use http::{HeaderMap, StatusCode};

use super::clock::Clock;
use super::exchange::Seen;
use super::h1::{Came, NoBody, NoRequest, Server, sanitize_trailers, spare};
use super::h2::Stream;
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

    /// Of a request's body.
    fn of_h2(error: h2::Error) -> Self {
        match error.reason() {
            Some(h2::Reason::PROTOCOL_ERROR) if !error.is_remote() => {
                Gone::Malformed(error.to_string().into())
            }
            _ => Gone::left(error),
        }
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

impl Downstream {
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
            Downstream::H2(stream) => &stream.head,
        }
    }

    /// What can be said of a request that is refused by its header.
    pub(super) fn seen(&self) -> Option<Seen> {
        match self {
            Downstream::H1(server) if server.head.target.is_empty() => None,
            Downstream::H1(server) => Some(Seen::of(&server.head.parts, &server.head.target)),
            Downstream::H2(stream) => {
                let target = stream.head.uri.path_and_query().map_or("", |target| target.as_str());
                Some(Seen::of(&stream.head, target.as_bytes()))
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
            Downstream::H2(stream) => stream.take_head(),
        }
    }

    /// The request has a body, empty or not.
    pub(super) fn has_body(&self) -> bool {
        match self {
            Downstream::H1(server) => !server.body_is_done(),
            Downstream::H2(stream) => !stream.body_is_done(),
        }
    }

    pub(super) fn body_is_done(&self) -> bool {
        match self {
            Downstream::H1(server) => server.body_is_done(),
            Downstream::H2(stream) => stream.body_is_done(),
        }
    }

    /// Bytes of bodies, in and out.
    pub(super) fn body_bytes(&self) -> (usize, usize) {
        match self {
            Downstream::H1(server) => server.body_bytes(),
            Downstream::H2(stream) => stream.body_bytes(),
        }
    }

    /// The next piece of the request body; `None` at its end.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Gone>> {
        match self {
            Downstream::H1(server) => server.poll_body(cx).map_err(Gone::from),
            Downstream::H2(stream) => stream.poll_body(cx).map_err(Gone::of_h2),
        }
    }

    /// The trailers of the request, after its body, without what must not stand there.
    pub(super) fn take_request_trailers(&mut self) -> Result<Option<HeaderMap>, Gone> {
        let trailers = match self {
            Downstream::H1(server) => server.take_request_trailers().map_err(Gone::from)?,
            Downstream::H2(stream) => stream.request_trailers.take(),
        };
        Ok(sanitize_trailers(trailers))
    }

    /// What the client sends from here on is no body: it waits for a tunnel.
    pub(super) fn expect_tunnel(&mut self) {
        if let Downstream::H2(stream) = self {
            stream.tunnel = true;
        }
    }

    /// Ready when the client has left although nothing more is expected of it. Asked after the whole request is read.
    pub(super) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        let reset = match self {
            Downstream::H1(server) => return server.poll_left(cx).map(Gone::Left),
            Downstream::H2(stream) => stream.poll_reset(cx).map_err(Gone::left),
        };
        reset.map(|reset| match reset {
            Ok(reason) => Gone::left(format_args!("stream reset: {reason}")),
            Err(gone) => gone,
        })
    }

    /// Sends a 1xx other than 101; HTTP/1.0 clients do not get it.
    pub(super) fn inform(&mut self, parts: &Response) {
        match self {
            Downstream::H1(server) => server.inform(parts.status, &parts.headers),
            Downstream::H2(stream) => stream.inform(parts.status, &parts.headers),
        }
    }

    /// Sends the header of an answer after which both sides send bytes that are not HTTP.
    pub(super) fn switch(&mut self, mut parts: Response) -> Result<(), Gone> {
        match self {
            Downstream::H1(server) => {
                server.switch(parts.status, &parts.headers);
                spare::give_back(parts.headers);
                Ok(())
            }
            Downstream::H2(stream) => {
                if parts.status == StatusCode::SWITCHING_PROTOCOLS {
                    // RFC 8441 5. A key's answer stays: an Envoy in front passes on what its HTTP/1 client waits for.
                    parts.status = StatusCode::OK;
                }
                stream.answer(parts, false).map_err(Gone::left)
            }
        }
    }

    /// Sends the response header. With `end` there is no body.
    pub(super) fn respond(&mut self, parts: Response, end: bool) -> Result<(), Gone> {
        match self {
            Downstream::H1(server) => {
                let came = parts.extensions.get::<Came>().map(|came| &came.0[..]);
                server.respond(parts.status, &parts.headers, came, end);
                spare::give_back(parts.headers);
            }
            Downstream::H2(stream) => stream.answer(parts, end).map_err(Gone::left)?,
        }
        Ok(())
    }

    /// A final response header has been sent.
    pub(super) fn responded(&self) -> bool {
        match self {
            Downstream::H1(server) => server.responded(),
            Downstream::H2(stream) => stream.responded(),
        }
    }

    /// Queues a piece of the response body.
    pub(super) fn push(&mut self, piece: Bytes) {
        match self {
            Downstream::H1(server) => server.push(&piece),
            Downstream::H2(stream) => stream.push(piece),
        }
    }

    /// The HTTP/1 connection, into which a piece can be copied from where it was read.
    pub(super) fn server(&mut self) -> Option<&mut Server> {
        match self {
            Downstream::H1(server) => Some(server),
            Downstream::H2(_) => None,
        }
    }

    /// No more response body. HTTP/1 clients are sent trailers only where their listener says so.
    pub(super) fn finish(&mut self, trailers: Option<HeaderMap>) {
        match self {
            Downstream::H1(server) => server.finish(trailers.as_ref()),
            Downstream::H2(stream) => stream.finish(trailers),
        }
    }

    /// The client takes more without piling up what waits for it.
    pub(super) fn has_room(&self) -> bool {
        match self {
            Downstream::H1(server) => server.has_room(),
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

    /// The listener has other settings now.
    pub(super) fn renew(&mut self, http: &Arc<Http>) {
        if let Downstream::H1(server) = self {
            server.renew(http);
        }
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
        server.respond(parts.status, &parts.headers, None, false);
        server.push(&body);
        server.finish(None);
        server.close().await;
    }

    /// Breaks off: an HTTP/1 connection is closed in mid-body, an HTTP/2 stream reset with a code that clients
    /// of gRPC take for a failure, not for their own cancelling.
    pub(super) fn abort(self) {
        match self {
            Downstream::H1(server) => server.abort(),
            Downstream::H2(mut stream) => stream.abort(),
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
                if !stream.tunnel && !stream.body_is_done() {
                    // Else the stream would be reset, which some clients take for the loss of the answer too.
                    let _ = tokio::time::timeout(limits::LINGER, stream.read_rest()).await;
                }
                None
            }
        }
    }
}

//! The client's side of a request: one of Pingora's two server sessions behind one set of calls that never wait.
//!
//! The only place that knows a server session. Owns the session, and for HTTP/2 the sending half of its stream. Must not
//! decide anything about the request.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Version};
use pingora_core::apps::{HttpPersistentSettings, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_error::ErrorType;
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::io::AsyncReadExt;

use super::conn::{Conn, ConnInfo};
use super::limits;
use super::outbox::Outbox;
use super::reply::{LocalReply, Reason};

/// The client cannot be served any further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gone {
    /// It closed, reset the stream, or its connection broke.
    Left(Box<str>),
    /// What it sent is not valid.
    Malformed(Box<str>),
}

impl Gone {
    fn left(error: impl std::fmt::Display) -> Self {
        Gone::Left(error.to_string().into())
    }

    fn of_body(error: &pingora_error::Error) -> Self {
        // The session's own error types, which it does not export.
        match error.etype().as_str() {
            "InvalidChunk" | "InvalidTrailerEnd" => Gone::Malformed(error.to_string().into()),
            _ => Gone::left(error),
        }
    }
}

/// See the module.
pub(super) struct Downstream {
    session: ServerSession,
    outbox: Option<Outbox>,
    /// Response body bytes given to an HTTP/2 stream.
    sent: usize,
}

/// Polls a write into a lazy transport, which is done at its first poll.
fn now<T>(future: impl Future<Output = pingora_error::Result<T>>) -> Result<T, Gone> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.map_err(Gone::left),
        Poll::Pending => Err(Gone::left("a write had to wait")),
    }
}

impl Downstream {
    pub(super) fn new(session: ServerSession) -> Self {
        Downstream { session, outbox: None, sent: 0 }
    }

    /// Waits for a request header. `Ok(false)`: the connection ended between requests.
    pub(super) async fn read_request(&mut self) -> Result<bool, LocalReply> {
        // The transport has the deadlines; the session's would be a timer per read.
        self.session.set_keepalive(Some(0));
        self.session.set_read_timeout(None);
        let read = self.session.read_request().await.map_err(|error| refused(&error))?;
        if read && let Some(conn) = self.conn() {
            conn.request_started();
        }
        if read {
            self.session.set_pipelining_enabled(true);
        }
        Ok(read)
    }

    /// The HTTP/1 transport.
    fn conn(&self) -> Option<&Conn> {
        match &self.session {
            ServerSession::H1(session) => (**session.stream()).as_any().downcast_ref::<Conn>(),
            _ => None,
        }
    }

    /// Facts about the connection. `None` would be a transport that is not [`Conn`].
    pub(super) fn info(&self) -> Option<Arc<ConnInfo>> {
        self.session.digest().and_then(Conn::info).cloned()
    }

    pub(super) fn is_http2(&self) -> bool {
        self.session.is_http2()
    }

    pub(super) fn header(&self) -> &RequestHeader {
        self.session.req_header()
    }

    /// The header as it came over an HTTP/1 connection; empty for HTTP/2.
    pub(super) fn raw_header(&self) -> Bytes {
        if self.is_http2() { Bytes::new() } else { self.session.to_h1_raw() }
    }

    /// Takes the header, leaving what the session itself still needs of it.
    pub(super) fn take_header(&mut self) -> Parts {
        // Settles how the body is framed, by the header that is about to leave.
        let _ = self.session.is_body_empty();
        let header = self.session.req_header_mut();
        let (method, version) = (header.method.clone(), header.version);
        // On an upgrade the session looks at these once more when it sees the 101.
        let keep = [http::header::UPGRADE, http::header::CONNECTION]
            .map(|name| (header.headers.get(&name).cloned(), name));
        let Ok(mut stub) = RequestHeader::build_no_case(method, b"/", Some(0)) else {
            // A method that was one before; then nothing is taken.
            return header.as_owned_parts();
        };
        stub.set_version(version);
        for (value, name) in keep {
            if let Some(value) = value {
                // Typed, so that it cannot fail.
                let _ = stub.insert_header(name, value);
            }
        }
        std::mem::replace(header, stub).into()
    }

    pub(super) fn has_body(&mut self) -> bool {
        !self.session.is_body_empty()
    }

    pub(super) fn body_is_done(&mut self) -> bool {
        match &mut self.session {
            ServerSession::H1(session) if session.was_upgraded() => false,
            session => session.is_body_done(),
        }
    }

    pub(super) fn body_bytes(&self) -> (usize, usize) {
        let sent = if self.is_http2() { self.sent } else { self.session.body_bytes_sent() };
        (self.session.body_bytes_read(), sent)
    }

    /// The next piece of the request body; `None` at its end.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Gone>> {
        match &mut self.session {
            ServerSession::H1(session) => {
                pin!(session.read_body_bytes()).poll(cx).map_err(|error| Gone::of_body(&error))
            }
            ServerSession::H2(session) => {
                session.poll_read_body_bytes(cx).map(|piece| piece.transpose().map_err(Gone::left))
            }
            _ => Poll::Ready(Ok(None)),
        }
    }

    /// Ready when the client has left although nothing more is expected of it. Asked after the whole request is read.
    pub(super) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        if let Some(outbox) = &mut self.outbox {
            return outbox.poll_reset(cx).map(|reset| match reset {
                Ok(reason) => Gone::left(format_args!("stream reset: {reason}")),
                Err(error) => Gone::left(error),
            });
        }
        match &mut self.session {
            // Bytes that come here belong to a pipelined request; the session keeps them.
            ServerSession::H1(session) => match pin!(session.read_body_or_idle(true)).poll(cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Gone::left(error)),
                _ => Poll::Pending,
            },
            ServerSession::H2(session) => pin!(session.idle()).poll(cx).map(|reset| match reset {
                Ok(reason) => Gone::left(format_args!("stream reset: {reason}")),
                Err(error) => Gone::left(error),
            }),
            _ => Poll::Pending,
        }
    }

    /// Sends a 1xx other than 101; HTTP/2 and HTTP/1.0 clients do not get it.
    pub(super) fn inform(&mut self, header: Box<ResponseHeader>) -> Result<(), Gone> {
        match &mut self.session {
            ServerSession::H1(session) if session.req_header().version == Version::HTTP_11 => {
                now(session.write_response_header(header))
            }
            _ => Ok(()),
        }
    }

    /// Sends the response header. With `end` there is no body.
    pub(super) fn respond(&mut self, header: Box<ResponseHeader>, end: bool) -> Result<(), Gone> {
        match &mut self.session {
            ServerSession::H1(session) => now(session.write_response_header(header)),
            ServerSession::H2(session) => {
                session.write_response_header(header, end).map_err(Gone::left)?;
                if !end {
                    self.outbox = session.take_response_body_writer().map(Outbox::new);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A final response header has been sent.
    pub(super) fn responded(&self) -> bool {
        self.session
            .response_written()
            .is_some_and(|header| !header.status.is_informational() || header.status.as_u16() == 101)
    }

    /// Queues a piece of the response body.
    pub(super) fn push(&mut self, piece: Bytes) -> Result<(), Gone> {
        if let Some(outbox) = &mut self.outbox {
            self.sent += piece.len();
            outbox.push(piece);
            return Ok(());
        }
        self.push_slice(&piece)
    }

    /// As [`Downstream::push`], for HTTP/1 without an owned copy.
    pub(super) fn push_slice(&mut self, piece: &[u8]) -> Result<(), Gone> {
        match &mut self.session {
            // An empty chunk would end the body.
            ServerSession::H1(session) if !piece.is_empty() => now(session.write_body(piece)).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// No more response body. HTTP/1 cannot carry the trailers.
    pub(super) fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), Gone> {
        if let Some(outbox) = &mut self.outbox {
            outbox.finish(trailers);
            return Ok(());
        }
        match &mut self.session {
            ServerSession::H1(session) => now(session.finish_body()).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// The client takes more without piling up what waits for it.
    pub(super) fn has_room(&self) -> bool {
        match &self.outbox {
            Some(outbox) => outbox.is_empty(),
            None => self.conn().is_none_or(|conn| conn.queued() < limits::QUEUE),
        }
    }

    /// Moves what waits towards the client.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if let Some(outbox) = &mut self.outbox {
            return outbox.poll_drain(cx).map_err(Gone::left);
        }
        self.conn().map_or(Poll::Ready(Ok(())), |conn| conn.poll_drain(cx).map_err(Gone::left))
    }

    /// Before an answer that leaves the request's body aside: takes what is here of it, so that the connection can carry
    /// another request. Always ready. `rest` is the body's length where it is known and the client is certain to send it.
    pub(super) fn discard(&mut self, rest: Option<usize>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_http2() || self.body_is_done() {
            return Poll::Ready(());
        }
        let taken = self.session.body_bytes_read();
        while !self.body_is_done() && self.session.body_bytes_read() - taken <= limits::DISCARD {
            match self.poll_body(cx) {
                Poll::Ready(Ok(Some(_))) => {}
                // What is wrong with it closes the connection, by its body not being done.
                Poll::Ready(_) | Poll::Pending => break,
            }
        }
        let missing = rest.map(|rest| rest.saturating_sub(self.session.body_bytes_read()));
        if let ServerSession::H1(session) = &mut self.session
            && missing.is_some_and(|missing| missing <= limits::DISCARD)
        {
            // The little that misses is read after the answer.
            session.set_close_on_response_before_downstream_finish(false);
        }
        Poll::Ready(())
    }

    /// Whether the client may use the connection for another request.
    pub(super) fn set_keepalive(&mut self, keep: bool) {
        self.session.set_keepalive(keep.then_some(0));
    }

    /// Answers a request whose header could not be read, and closes.
    pub(super) async fn refuse(self, reply: LocalReply) {
        let ServerSession::H1(mut session) = self.session else { return };
        if reply.reason == Reason::ClientGone {
            return;
        }
        session.set_server_keepalive(None);
        let (mut parts, body) = reply.into_response(false);
        super::forward::sign(&mut parts.headers);
        let sent = now(session.write_response_header(super::reply::boxed(parts)))
            .and_then(|()| now(session.write_body(&body)))
            .and_then(|_| now(session.finish_body()));
        if sent.is_ok() {
            linger(session.into_inner()).await;
        }
    }

    /// Breaks off: an HTTP/1 connection is closed in mid-body, an HTTP/2 stream reset.
    pub(super) fn abort(mut self) {
        if let Some(outbox) = &mut self.outbox {
            outbox.reset(h2::Reason::CANCEL);
        } else if let ServerSession::H2(session) = &mut self.session {
            session.shutdown_with_reason(h2::Reason::CANCEL);
        }
    }

    /// The answer is complete: reads what the client still sends, for a moment, and gives the connection back if it can
    /// carry another request.
    pub(super) async fn finish_request(mut self) -> Option<ReusedHttpStream> {
        if !self.body_is_done() {
            // Else the close would be a reset, which can destroy the answer before the client has read it.
            let drained = tokio::time::timeout(limits::LINGER, self.session.drain_request_body()).await;
            if !matches!(drained, Ok(Ok(()))) {
                self.session.set_keepalive(None);
            }
        }
        let mut settings = HttpPersistentSettings::for_session(&self.session);
        let (stream, prefix) = self.session.finish().await.ok()??.into_parts();
        if let Some(conn) = (*stream).as_any().downcast_ref::<Conn>() {
            conn.request_finished(prefix.is_some());
        }
        if let Some(prefix) = prefix {
            settings.set_pipelined_prefix(prefix);
        }
        Some(ReusedHttpStream::new(stream, Some(settings)))
    }
}

/// Closes without losing the answer: a close over bytes that were not read is a reset, which can overtake it.
async fn linger(mut stream: pingora_core::protocols::Stream) {
    let close = async {
        stream.shutdown().await;
        let mut unread = [0; 1024];
        while matches!(stream.read(&mut unread).await, Ok(1..)) {}
    };
    let _ = tokio::time::timeout(limits::LINGER, close).await;
}

/// The answer to a header that the session did not take.
fn refused(error: &pingora_error::Error) -> LocalReply {
    let detail = error.to_string();
    let timed_out = error
        .root_cause()
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut);
    let reason = match error.etype() {
        _ if timed_out => Reason::HeaderTimeout,
        ErrorType::ConnectionClosed | ErrorType::ReadError => Reason::ClientGone,
        // The session tells these apart in its text only.
        _ if detail.contains("header larger than") || detail.contains("too many headers") => {
            Reason::HeaderTooLarge
        }
        _ => Reason::BadRequest,
    };
    LocalReply::new(reason).detail(detail)
}

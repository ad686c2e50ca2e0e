//! The client's end of a connection: writes a request, reads its answer, and may do so again.
//!
//! Owns the socket, its buffers and whether the connection may carry another request. Must not know whom it is connected
//! to: the pool does.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use portcullis_shared::table::{HeaderCase, UpstreamHttp};
use tokio_rustls::client::TlsStream;

use super::decode::Decoder;
use super::encode::{self, Encoder};
use super::framing::{self, Framing};
use super::link::Link;
use super::{Invalid, head};
use crate::proxy::limits;
use crate::upstream::dial::Stream;
use crate::upstream::{Manner, Slot};

/// The socket under a client's connection.
pub(in crate::proxy) type Io = crate::proxy::io::Io<Stream, TlsStream<Stream>>;

/// Counts an open connection.
pub(in crate::proxy) struct Open {
    /// Of the connections of its data thread to its endpoint. Before the slot, whose end wakes those that look at it.
    _among: Among,
    _slot: Slot,
}

/// One of so many.
pub(in crate::proxy) struct Among(Arc<AtomicUsize>);

impl Among {
    pub(in crate::proxy) fn of(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Among(Arc::clone(count))
    }
}

impl Open {
    pub(in crate::proxy) fn among(count: &Arc<AtomicUsize>, slot: Slot) -> Self {
        Open { _among: Among::of(count), _slot: slot }
    }
}

impl Drop for Among {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Why an answer cannot be read, or not to its end.
#[derive(Debug)]
pub(in crate::proxy) enum Broken {
    Lost(Box<str>),
    Invalid(Invalid),
}

impl Broken {
    fn io(error: &io::Error) -> Self {
        Broken::Lost(error.to_string().into())
    }
}

/// See the module.
pub(in crate::proxy) struct Client {
    link: Link<Io>,
    _open: Open,
    /// Requests that were started on it.
    pub(in crate::proxy) uses: u32,
    /// How far the header in the buffer was looked at.
    seen: usize,
    is_head: bool,
    is_connect: bool,
    /// Trailers pass.
    trailers: bool,
    /// The final header has come, and after it the connection may carry another request.
    reusable: bool,
    tunnel: bool,
    request: Encoder,
    response: Decoder,
    /// Most fields of an answer.
    most: usize,
    /// How names of fields are written in requests, or kept in answers.
    case: HeaderCase,
    /// Queued bytes at which no more are taken.
    room: usize,
}

/// How the names of fields stood in an answer, where they shall stay as they were.
#[derive(Debug, Clone)]
pub(in crate::proxy) struct Came(pub(in crate::proxy) Bytes);

/// Most fields of an answer.
pub(in crate::proxy) fn header_fields(http: &UpstreamHttp) -> usize {
    let most = http.header_fields.and_then(|most| usize::try_from(most).ok());
    most.unwrap_or(limits::HEADER_FIELDS)
}

impl Client {
    /// The gateway's end of the connection.
    pub(in crate::proxy) fn local_address(&self) -> Option<SocketAddr> {
        match &self.link.io {
            Io::Plain(stream) => stream.local_addr(),
            Io::Tls(stream) => stream.get_ref().0.local_addr(),
        }
    }

    pub(in crate::proxy) fn new(io: Io, open: Open, manner: &Manner) -> Self {
        let limit = manner.buffer_limit.and_then(|limit| usize::try_from(limit).ok());
        Client {
            most: header_fields(&manner.http),
            case: manner.http.header_case,
            room: limit.map_or(limits::QUEUE, |limit| limit.min(limits::QUEUE)),
            link: Link::new(io),
            _open: open,
            uses: 0,
            seen: 0,
            is_head: false,
            is_connect: false,
            trailers: false,
            reusable: false,
            tunnel: false,
            request: Encoder::new(Framing::None),
            response: Decoder::new(Framing::None),
        }
    }

    /// Queues the head of a request. `fields` may hold anything: host and framing are written from their own arguments.
    pub(in crate::proxy) fn send<'a>(
        &mut self,
        (method, target, host): (&Method, &str, &[u8]),
        fields: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
        framing: Framing,
        came: Option<&[u8]>,
    ) {
        self.uses = self.uses.saturating_add(1);
        self.is_head = *method == Method::HEAD;
        self.is_connect = *method == Method::CONNECT;
        self.reusable = false;
        self.request = Encoder::new(framing);
        self.response = Decoder::new(Framing::UntilClose);
        encode::request(self.link.queue.tail(), (method, target, host), fields, framing, (came, self.case));
    }

    /// Queues a piece of the request's body.
    pub(in crate::proxy) fn push(&mut self, piece: &[u8]) {
        self.request.piece(self.link.queue.tail(), piece);
    }

    /// No more of it; false when there should have been.
    pub(in crate::proxy) fn finish(&mut self, trailers: Option<&HeaderMap>) -> bool {
        let trailers = trailers.filter(|_| self.trailers);
        self.tunnel || self.request.finish(self.link.queue.tail(), trailers)
    }

    /// Whether trailers pass, both ways.
    pub(in crate::proxy) fn pass_trailers(&mut self, pass: bool) {
        self.trailers = pass;
    }

    /// See [`Client::pass_trailers`].
    pub(in crate::proxy) fn passes_trailers(&self) -> bool {
        self.trailers
    }

    /// The trailers of the answer, once its body is read.
    pub(in crate::proxy) fn take_trailers(&mut self) -> Result<Option<HeaderMap>, Broken> {
        self.response.take_trailers().map_err(Broken::Invalid)
    }

    /// More can be queued.
    pub(in crate::proxy) fn has_room(&self) -> bool {
        self.link.queue.len() < self.room
    }

    /// Nothing of what was queued has gone out.
    pub(in crate::proxy) fn untouched(&self) -> bool {
        self.link.queue.untouched()
    }

    /// Moves queued bytes to the socket.
    pub(in crate::proxy) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.poll_drain(cx)
    }

    /// The next header, 1xx included.
    pub(in crate::proxy) fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<Result<Parts, Broken>> {
        loop {
            match head::end(&self.link.buf, &mut self.seen) {
                Some(end) if end <= limits::HEADER_BYTES => {
                    let head = self.link.buf.split_to(end).freeze();
                    return Poll::Ready(self.begin(&head).map_err(Broken::Invalid));
                }
                None if self.link.buf.len() <= limits::HEADER_BYTES => {}
                _ => return Poll::Ready(Err(Broken::Invalid(Invalid::TooLarge("header bytes")))),
            }
            match ready!(self.link.poll_fill(cx)) {
                Ok(1..) => {}
                Ok(0) => return Poll::Ready(Err(Broken::Lost("the connection was closed".into()))),
                Err(error) => return Poll::Ready(Err(Broken::io(&error))),
            }
        }
    }

    fn begin(&mut self, head: &Bytes) -> Result<Parts, Invalid> {
        self.seen = 0;
        let mut parts = head::response(head, self.most)?;
        if self.case == HeaderCase::Preserve {
            parts.extensions.insert(Came(head.clone()));
        }
        if self.is_connect && parts.status.is_success() {
            // RFC 9112 6.3: the tunnel begins behind the header, whatever its fields say.
            self.response = Decoder::new(Framing::None);
            return Ok(parts);
        }
        let framing = framing::of_response(parts.status, &parts.headers, parts.version, self.is_head)?;
        if parts.status.is_informational() && parts.status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(parts);
        }
        self.response = Decoder::new(framing).keeping_trailers(self.trailers);
        self.reusable = framing != Framing::UntilClose
            && framing::is_persistent(&parts.headers, parts.version)
            && !announces_what_it_must_not(&parts);
        Ok(parts)
    }

    /// From here on both sides send bytes that are not HTTP.
    pub(in crate::proxy) fn begin_tunnel(&mut self) {
        self.tunnel = true;
        self.reusable = false;
        self.request = Encoder::new(Framing::UntilClose);
        self.response = Decoder::new(Framing::UntilClose);
    }

    /// Tells the endpoint that nothing more comes; its side stays open.
    pub(in crate::proxy) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.poll_shutdown(cx)
    }

    /// Nothing of the answer is missing.
    pub(in crate::proxy) fn body_is_done(&self) -> bool {
        self.response.is_done()
    }

    /// Waits for content, which then stands at the front of the buffer; its length, or 0 at the end of the body.
    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        loop {
            let skip = self.response.framing(&self.link.buf).map_err(Broken::Invalid)?;
            self.link.buf.advance(skip);
            let content = self.response.content(self.link.buf.len());
            if content > 0 || self.response.is_done() {
                return Poll::Ready(Ok(content));
            }
            match ready!(self.link.poll_fill(cx)) {
                Ok(1..) => {}
                Ok(0) if self.response.close() => return Poll::Ready(Ok(0)),
                Ok(0) => return Poll::Ready(Err(Broken::Lost("the connection ended in the body".into()))),
                Err(error) => return Poll::Ready(Err(Broken::io(&error))),
            }
        }
    }

    /// Gives the next piece of the body to `with`; false at its end.
    pub(in crate::proxy) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        with: impl FnOnce(&[u8]),
    ) -> Poll<Result<bool, Broken>> {
        let content = ready!(self.poll_content(cx))?;
        with(self.link.buf.get(..content).unwrap_or_default());
        self.link.buf.advance(content);
        self.skip_framing()?;
        Poll::Ready(Ok(content > 0))
    }

    /// As [`Client::poll_body`], for those that keep the piece.
    pub(in crate::proxy) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Broken>> {
        let content = ready!(self.poll_content(cx))?;
        let piece = self.link.buf.split_to(content).freeze();
        self.skip_framing()?;
        Poll::Ready(Ok(Some(piece).filter(|piece| !piece.is_empty())))
    }

    /// So that the end of the body shows with its last piece.
    fn skip_framing(&mut self) -> Result<(), Broken> {
        let skip = self.response.framing(&self.link.buf).map_err(Broken::Invalid)?;
        self.link.buf.advance(skip);
        Ok(())
    }

    /// Request and answer are complete. True when nothing speaks against another request.
    pub(in crate::proxy) fn rest(&mut self) -> bool {
        let clean = self.reusable
            && self.response.is_done()
            && self.link.buf.is_empty()
            && self.link.queue.len() == 0;
        self.link.rest();
        clean
    }

    /// An idle connection is fresh when there is nothing to read: neither its end nor bytes that nobody asked for.
    pub(in crate::proxy) fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.link.poll_fill(&mut cx).is_pending()
    }
}

/// A 204 that announces a body (RFC 9110 section 8.6 forbids it): if the body comes, it would be read as the beginning of
/// the next answer.
fn announces_what_it_must_not(parts: &Parts) -> bool {
    let length =
        parts.headers.get(http::header::CONTENT_LENGTH).is_some_and(|value| value.as_bytes() != b"0");
    parts.status == StatusCode::NO_CONTENT
        && (length || parts.headers.contains_key(http::header::TRANSFER_ENCODING))
}

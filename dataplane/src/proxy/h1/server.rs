//! The server's end of a connection: reads requests, writes answers, one exchange after the other.
//!
//! Owns the socket, its buffers, how far the current exchange is, and the two waits that belong to a connection instead
//! of a request: idle between requests, and the total time of one request header. Must not know routes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Version};
use pingora_core::server::ShutdownWatch;
use portcullis_shared::table::HeaderCase;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use super::Invalid;
use super::decode::Decoder;
use super::encode::{self, Encoder, Persistence};
use super::framing::{self, Framing};
use super::head::{self, Request};
use super::link::Link;
use crate::proxy::limits;
use crate::proxy::socket::Socket;
use crate::proxy::timer::Timer;
use crate::runtime::Http;

/// The socket under a server's connection.
pub(in crate::proxy) type Io = crate::proxy::io::Io<Socket, TlsStream<Socket>>;

/// What an HTTP/2 client sends first (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection waits for; decides which deadline runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No byte of the next request has come.
    Idle,
    /// Part of a request header has come.
    Header,
    /// A request is being served: the engine has its own deadlines.
    Open,
}

/// Why there is no request.
#[derive(Debug)]
pub(in crate::proxy) enum NoRequest {
    /// The connection ended between requests.
    End,
    /// It ended in a header.
    Left(Box<str>),
    /// The header took too long.
    Late,
    /// The header is not valid.
    Invalid(Invalid),
}

/// Why there is no more of a request's body.
#[derive(Debug)]
pub(in crate::proxy) enum NoBody {
    Left(Box<str>),
    Invalid(Invalid),
}

/// See the module.
pub(in crate::proxy) struct Server {
    http: Arc<Http>,
    /// Requests so far.
    served: u32,
    link: Link<Io>,
    /// How far the header in the buffer was looked at.
    seen: usize,
    phase: Phase,
    deadline: Instant,
    /// Of the request header of which a part is here, once more of it is waited for.
    header_due: Option<Instant>,
    /// When an idle connection is closed.
    expires: Instant,
    drain: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Lent to the exchange while there is one.
    pub(in crate::proxy) timer: Timer,
    /// The client has closed its side.
    ended: bool,
    version: Version,
    is_head: bool,
    /// The request's, as far as it was read; taken by who serves it.
    pub(in crate::proxy) head: Request,
    keep_alive: bool,
    /// What misses of the request's body is little and certain to come.
    rest_follows: bool,
    responded: bool,
    tunnel: bool,
    request: Decoder,
    response: Encoder,
    received: usize,
    sent: usize,
}

impl Server {
    /// A connection before its first request. `drain` becomes true when it shall end.
    pub(in crate::proxy) fn new(io: Io, drain: &ShutdownWatch, http: Arc<Http>) -> Self {
        let mut watch = drain.clone();
        let now = Instant::now();
        Server {
            link: Link::new(io),
            seen: 0,
            phase: Phase::Idle,
            deadline: now + limits::SETTLED,
            expires: now + http.idle.unwrap_or(limits::FIRST_BYTE).min(limits::FIRST_BYTE),
            http,
            served: 0,
            header_due: None,
            drain: Box::pin(async move {
                // An error means that the sender is gone: the process is going down.
                let _ = watch.wait_for(|draining| *draining).await;
            }),
            timer: Timer::default(),
            ended: false,
            version: Version::HTTP_11,
            is_head: false,
            head: Request::default(),
            keep_alive: true,
            rest_follows: false,
            responded: false,
            tunnel: false,
            request: Decoder::new(Framing::None),
            response: Encoder::new(Framing::None),
            received: 0,
            sent: 0,
        }
    }

    /// Waits until it is clear whether the client speaks HTTP/2: as soon as a byte differs from the preface, for a short
    /// HTTP/1 request must not wait for the preface's 24 bytes.
    pub(in crate::proxy) async fn speaks_http2(&mut self) -> bool {
        loop {
            let common = self.link.buf.len().min(PREFACE.len());
            if self.link.buf.get(..common) != PREFACE.get(..common) {
                return false;
            }
            if common == PREFACE.len() {
                return true;
            }
            // What ends the connection now is found once more, and said, by whoever reads the first request.
            if !matches!(std::future::poll_fn(|cx| self.poll_more(cx)).await, Ok(true)) {
                return false;
            }
        }
    }

    /// The plain socket, with what was read put back.
    pub(in crate::proxy) fn into_io(mut self) -> Io {
        if let Io::Plain(socket) = &mut self.link.io {
            socket.put_back(&self.link.buf);
        }
        self.link.io
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        match phase {
            Phase::Idle => {
                let now = Instant::now();
                (self.deadline, self.expires) =
                    (now + limits::SETTLED, now + self.http.idle.unwrap_or(limits::FOREVER));
            }
            // Only a header that does not come at once needs it: `poll_more`.
            Phase::Header => self.header_due = None,
            Phase::Open => {}
        }
    }

    /// Reads more of a header; false at the end of the connection.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, NoRequest>> {
        if self.ended {
            return Poll::Ready(Ok(false));
        }
        match self.link.poll_fill(cx) {
            Poll::Ready(Ok(0)) => {
                self.ended = true;
                Poll::Ready(Ok(false))
            }
            Poll::Ready(Ok(_)) => {
                self.skip_empty_lines();
                if self.phase == Phase::Idle && !self.link.buf.is_empty() {
                    self.enter(Phase::Header);
                }
                Poll::Ready(Ok(true))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.broken(&error))),
            Poll::Pending if self.phase == Phase::Header => {
                let limit = self.http.request_headers.unwrap_or(limits::FOREVER);
                let due = self.header_due.get_or_insert_with(|| Instant::now() + limit);
                self.timer.poll(*due, cx).map(|()| Err(NoRequest::Late))
            }
            Poll::Pending => {
                // Silent, idle or draining: nobody has to be told.
                ready!(self.poll_over(cx));
                Poll::Ready(Err(NoRequest::End))
            }
        }
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.drain.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if self.deadline < self.expires {
            ready!(self.timer.poll(self.deadline, cx));
            self.deadline = self.expires;
        }
        self.link.release();
        self.timer.poll(self.expires, cx)
    }

    fn skip_empty_lines(&mut self) {
        let skip = head::empty_lines(&self.link.buf);
        self.link.buf.advance(skip);
        self.seen = self.seen.saturating_sub(skip);
    }

    fn broken(&self, error: &io::Error) -> NoRequest {
        if self.link.buf.is_empty() { NoRequest::End } else { NoRequest::Left(error.to_string().into()) }
    }

    /// Reads the next request's head.
    pub(in crate::proxy) fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NoRequest>> {
        loop {
            match head::end(&self.link.buf, &mut self.seen) {
                Some(end) if end <= self.http.header_bytes => {
                    let head = self.link.buf.split_to(end).freeze();
                    return Poll::Ready(self.begin(&head));
                }
                None if self.link.buf.len() <= self.http.header_bytes => {}
                _ => return Poll::Ready(Err(self.too_large())),
            }
            if !ready!(self.poll_more(cx))? {
                let error = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Poll::Ready(Err(self.broken(&error)));
            }
        }
    }

    fn too_large(&mut self) -> NoRequest {
        self.enter(Phase::Open);
        self.keep_alive = false;
        let limit = self.link.buf.get(..self.http.header_bytes).unwrap_or_default();
        let invalid = match memchr::memchr(b'\n', limit) {
            Some(_) => Invalid::TooLarge("header bytes"),
            None => Invalid::TargetTooLong,
        };
        NoRequest::Invalid(invalid)
    }

    fn begin(&mut self, head: &Bytes) -> Result<(), NoRequest> {
        self.enter(Phase::Open);
        self.seen = 0;
        self.rest_follows = false;
        self.responded = false;
        self.keep_alive = false;
        (self.received, self.sent) = (0, 0);
        let read = head::request(head, self.http.header_fields, &mut self.head);
        let settings = &self.http.settings;
        let headers = &mut self.head.parts.headers;
        if settings.http1.allow_chunked_length && headers.contains_key(TRANSFER_ENCODING) {
            headers.remove(CONTENT_LENGTH);
        }
        if settings.http1.header_case == HeaderCase::Preserve {
            self.head.came = Some(head.clone());
        }
        self.served = self.served.saturating_add(1);
        let Request { parts, .. } = &self.head;
        self.version = parts.version;
        self.is_head = parts.method == Method::HEAD;
        let framing = read
            .and_then(|()| framing::of_request(&parts.headers, parts.version))
            .map_err(NoRequest::Invalid)?;
        self.keep_alive = framing::is_persistent(&parts.headers, parts.version)
            && settings.requests_per_connection.is_none_or(|most| self.served < most);
        self.request = Decoder::new(framing).keeping_trailers(settings.http1.trailers);
        Ok(())
    }

    /// The trailers of the request, once its body is read.
    pub(in crate::proxy) fn take_request_trailers(&mut self) -> Result<Option<HeaderMap>, NoBody> {
        self.request.take_trailers().map_err(NoBody::Invalid)
    }

    /// Nothing of the request is missing.
    pub(in crate::proxy) fn body_is_done(&self) -> bool {
        !self.tunnel && self.request.is_done()
    }

    /// The next piece of the request's body, or of what comes through a tunnel; `None` at its end.
    pub(in crate::proxy) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, NoBody>> {
        loop {
            self.skip_framing()?;
            let available = self.link.buf.len();
            let content = if self.tunnel { available } else { self.request.content(available) };
            if content > 0 {
                let piece = self.link.buf.split_to(content).freeze();
                self.received += content;
                // So that the end shows with the last piece.
                self.skip_framing()?;
                return Poll::Ready(Ok(Some(piece)));
            }
            if self.body_is_done() {
                return Poll::Ready(Ok(None));
            }
            match ready!(self.poll_fill(cx)) {
                Ok(true) => {}
                Ok(false) if self.tunnel => return Poll::Ready(Ok(None)),
                Ok(false) => {
                    return Poll::Ready(Err(NoBody::Left("the connection ended in the body".into())));
                }
                Err(error) => return Poll::Ready(Err(NoBody::Left(error.to_string().into()))),
            }
        }
    }

    fn skip_framing(&mut self) -> Result<(), NoBody> {
        if !self.tunnel {
            let skip = self.request.framing(&self.link.buf).map_err(NoBody::Invalid)?;
            self.link.buf.advance(skip);
        }
        Ok(())
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.ended {
            return Poll::Ready(Ok(false));
        }
        let got = ready!(self.link.poll_fill(cx))?;
        self.ended = got == 0;
        Poll::Ready(Ok(got > 0))
    }

    /// Ready when the client has left although nothing more is expected of it. What comes instead is the next request.
    pub(in crate::proxy) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<Box<str>> {
        while self.link.buf.len() <= self.http.header_bytes {
            match ready!(self.poll_fill(cx)) {
                Ok(true) => {}
                Ok(false) => return Poll::Ready("the connection was closed".into()),
                Err(error) => return Poll::Ready(error.to_string().into()),
            }
        }
        Poll::Pending
    }

    /// Takes what is here of a body that nobody wants, so that the connection can carry another request. `rest` is the
    /// body's length where it is known and the client is certain to send it.
    pub(in crate::proxy) fn discard(&mut self, rest: Option<usize>, cx: &mut Context<'_>) {
        let taken = self.received;
        while !self.body_is_done() && self.received - taken <= limits::DISCARD {
            // What is wrong with it closes the connection, by its body not being done.
            if !matches!(self.poll_body(cx), Poll::Ready(Ok(Some(_)))) {
                break;
            }
        }
        self.rest_follows = rest.is_some_and(|rest| rest.saturating_sub(self.received) <= limits::DISCARD);
    }

    /// Forbids another request on this connection.
    pub(in crate::proxy) fn close_after(&mut self) {
        self.keep_alive = false;
    }

    /// Queues a 1xx other than 101. HTTP/1.0 knows none.
    pub(in crate::proxy) fn inform(&mut self, status: StatusCode, headers: &HeaderMap) {
        if self.version == Version::HTTP_11 {
            let case = self.http.settings.http1.header_case;
            encode::response(self.link.queue.tail(), status, headers, (Persistence::AsIs, case), None);
        }
    }

    /// Queues the head of an answer after which both sides send bytes that are not HTTP.
    pub(in crate::proxy) fn switch(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.responded = true;
        self.tunnel = true;
        self.keep_alive = false;
        self.response = Encoder::new(Framing::UntilClose);
        let case = self.http.settings.http1.header_case;
        encode::response(self.link.queue.tail(), status, headers, (Persistence::AsIs, case), None);
    }

    /// Queues the head of the answer. With `end` there is no body. Names are written as in the head that
    /// `came`, if there is one.
    pub(in crate::proxy) fn respond(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        came: Option<&[u8]>,
        end: bool,
    ) {
        self.responded = true;
        let framing = match framing::of_response(status, headers, Version::HTTP_11, self.is_head) {
            _ if end => Framing::None,
            Ok(framing) => framing,
            // What a policy has made of the fields: at least the end of the connection is no mistake.
            Err(_) => Framing::UntilClose,
        };
        self.response = Encoder::new(framing);
        // A client that is still sending has to be stopped, except for the little that is read after the answer.
        self.keep_alive &= framing != Framing::UntilClose && (self.request.is_done() || self.rest_follows);
        let persistence = match self.version {
            _ if !self.keep_alive => Persistence::Close,
            Version::HTTP_10 => Persistence::KeepAlive,
            _ => Persistence::Default,
        };
        let case = self.http.settings.http1.header_case;
        encode::response(self.link.queue.tail(), status, headers, (persistence, case), came);
    }

    /// The head of an answer is queued.
    pub(in crate::proxy) fn responded(&self) -> bool {
        self.responded
    }

    /// Queues a piece of the answer's body.
    pub(in crate::proxy) fn push(&mut self, piece: &[u8]) {
        self.sent += self.response.piece(self.link.queue.tail(), piece);
    }

    /// No more of it; `trailers` go where the listener lets them pass and the framing has a place for them.
    pub(in crate::proxy) fn finish(&mut self, trailers: Option<&HeaderMap>) {
        let trailers = trailers.filter(|_| self.http.settings.http1.trailers);
        // A client that misses something must not take the next answer for it.
        self.keep_alive &= self.response.finish(self.link.queue.tail(), trailers);
    }

    /// Bytes of bodies, in and out.
    pub(in crate::proxy) fn body_bytes(&self) -> (usize, usize) {
        (self.received, self.sent)
    }

    /// The client takes more without piling up what waits for it.
    pub(in crate::proxy) fn has_room(&self) -> bool {
        self.link.queue.len() < limits::QUEUE.min(self.http.buffer_limit)
    }

    /// Moves queued bytes to the socket.
    pub(in crate::proxy) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.poll_drain(cx)
    }

    /// The answer is complete. True when the connection waits for another request now.
    pub(in crate::proxy) fn next(&mut self) -> bool {
        if !self.keep_alive || !self.body_is_done() {
            return false;
        }
        self.link.rest();
        self.skip_empty_lines();
        self.enter(if self.link.buf.is_empty() { Phase::Idle } else { Phase::Header });
        true
    }

    /// Reads the little that misses of a request which is answered already; closes when that is not possible.
    pub(in crate::proxy) async fn read_rest(&mut self) -> bool {
        if self.keep_alive {
            let drained = tokio::time::timeout(limits::LINGER, async {
                while matches!(std::future::poll_fn(|cx| self.poll_body(cx)).await, Ok(Some(_))) {}
            });
            let _ = drained.await;
            if self.next() {
                return true;
            }
        }
        self.close().await;
        false
    }

    /// Closes without losing the answer: a close over bytes that were not read is a reset, which can overtake it.
    pub(in crate::proxy) async fn close(&mut self) {
        let read_all = self.body_is_done() && self.link.buf.is_empty();
        let delay = self.http.delayed_close;
        let close = async {
            if std::future::poll_fn(|cx| self.link.poll_shutdown(cx)).await.is_err() || read_all {
                return;
            }
            loop {
                self.link.buf.clear();
                match std::future::poll_fn(|cx| self.link.poll_fill(cx)).await {
                    Ok(1..) => {}
                    _ => return,
                }
            }
        };
        let _ = tokio::time::timeout(delay, close).await;
    }

    /// Breaks off; what is queued reaches the client if the socket takes it at once.
    pub(in crate::proxy) fn abort(mut self) {
        let _ = self.link.poll_drain(&mut Context::from_waker(Waker::noop()));
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_gives_its_buffers_back_and_goes_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let (_running, drain) = watch::channel(false);
        let mut server = Server::new(Io::Plain(Socket::new(tcp, Vec::new())), &drain, Arc::default());
        for _ in 0..2 {
            client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            poll_fn(|cx| server.poll_request(cx)).await.unwrap();
            assert_eq!(std::mem::take(&mut server.head).target, "/");
            server.respond(StatusCode::OK, &HeaderMap::new(), None, true);
            server.finish(None);
            poll_fn(|cx| server.poll_drain(cx)).await.unwrap();
            assert!(server.next());
            tokio::select! {
                biased;
                _ = poll_fn(|cx| server.poll_request(cx)) => panic!("nothing was sent"),
                () = tokio::time::sleep(limits::SETTLED * 2) => {}
            }
            assert_eq!(server.link.buf.capacity(), 0);
        }
        let over = tokio::time::timeout(limits::KEEPALIVE_IDLE, poll_fn(|cx| server.poll_request(cx)));
        assert!(matches!(over.await, Ok(Err(NoRequest::End))), "an idle connection ends in its time");
    }
}

//! One HTTP/2 stream of a client: a request and its answer, in calls that never wait.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::{CONNECTION, DATE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::response::Parts as Response;
use http::{HeaderMap, HeaderName, Request, StatusCode, Version};

use crate::proxy::h1::date;
use crate::proxy::outbox::Outbox;
use crate::runtime::Http;

/// Fields that are another version's (RFC 9113 8.2.2).
const OF_HTTP1: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// See the module.
pub(in crate::proxy) struct Stream {
    /// Taken by who serves the request.
    pub(in crate::proxy) head: Parts,
    body: RecvStream,
    /// The request's, once the body is read.
    pub(in crate::proxy) request_trailers: Option<HeaderMap>,
    respond: SendResponse<Bytes>,
    responded: bool,
    /// Once the answer has begun.
    pub(in crate::proxy) outbox: Option<Outbox>,
    received: usize,
    sent: usize,
    /// The answer's trailers, kept for the log where it asks for them.
    pub(in crate::proxy) trailers: Option<HeaderMap>,
    keep_trailers: bool,
    /// What the client sends is no body: it waits for a tunnel.
    pub(in crate::proxy) tunnel: bool,
}

impl Stream {
    pub(super) fn new(request: Request<RecvStream>, respond: SendResponse<Bytes>, http: &Http) -> Self {
        let (head, body) = request.into_parts();
        Stream {
            head,
            body,
            request_trailers: None,
            respond,
            responded: false,
            outbox: None,
            received: 0,
            sent: 0,
            trailers: None,
            keep_trailers: http.access_logs.as_ref().is_some_and(|logs| logs.response),
            tunnel: false,
        }
    }

    /// Takes the header.
    pub(in crate::proxy) fn take_head(&mut self) -> Parts {
        let (mut stub, ()) = Request::new(()).into_parts();
        stub.version = Version::HTTP_2;
        std::mem::replace(&mut self.head, stub)
    }

    /// The client has ended its side, and all of it is read.
    pub(in crate::proxy) fn body_is_done(&self) -> bool {
        self.body.is_end_stream()
    }

    /// The next piece of the request body; `None` at its end, when the trailers are here too.
    pub(in crate::proxy) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, h2::Error>> {
        if let Some(piece) = ready!(self.body.poll_data(cx)).transpose()? {
            self.received += piece.len();
            self.body.flow_control().release_capacity(piece.len())?;
            return Poll::Ready(Ok(Some(piece)));
        }
        let trailers = ready!(self.body.poll_trailers(cx))?;
        self.request_trailers = trailers.or(self.request_trailers.take());
        Poll::Ready(Ok(None))
    }

    /// Ready when the client has reset the stream.
    pub(in crate::proxy) fn poll_reset(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<h2::Reason, h2::Error>> {
        match &mut self.outbox {
            Some(outbox) => outbox.poll_reset(cx),
            None if self.responded => Poll::Pending,
            None => self.respond.poll_reset(cx),
        }
    }

    /// Sends a 1xx other than 101.
    pub(in crate::proxy) fn inform(&mut self, status: StatusCode, headers: &HeaderMap) {
        let mut response = http::Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = headers.clone();
        // The final answer does not need it.
        let _ = self.respond.send_informational(response);
    }

    /// Sends the response header. With `end` there is no body.
    pub(in crate::proxy) fn answer(&mut self, mut parts: Response, end: bool) -> Result<(), h2::Error> {
        for name in &OF_HTTP1 {
            parts.headers.remove(name);
        }
        parts.headers.entry(DATE).or_insert_with(date::value);
        self.responded = true;
        let stream = self.respond.send_response(http::Response::from_parts(parts, ()), end)?;
        if !end {
            self.outbox = Some(Outbox::new(stream));
        }
        Ok(())
    }

    /// A final response header has been sent.
    pub(in crate::proxy) fn responded(&self) -> bool {
        self.responded
    }

    /// Queues a piece of the response body.
    pub(in crate::proxy) fn push(&mut self, piece: Bytes) {
        if let Some(outbox) = &mut self.outbox {
            self.sent += piece.len();
            outbox.push(piece);
        }
    }

    /// No more response body.
    pub(in crate::proxy) fn finish(&mut self, trailers: Option<HeaderMap>) {
        if self.keep_trailers {
            self.trailers.clone_from(&trailers);
        }
        if let Some(outbox) = &mut self.outbox {
            outbox.finish(trailers);
        }
    }

    /// Bytes of bodies, in and out.
    pub(in crate::proxy) fn body_bytes(&self) -> (usize, usize) {
        (self.received, self.sent)
    }

    /// Breaks off.
    pub(in crate::proxy) fn abort(&mut self) {
        match &mut self.outbox {
            Some(outbox) => outbox.reset(h2::Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(h2::Reason::INTERNAL_ERROR),
        }
    }

    /// Reads what the client still sends, and forgets it.
    pub(in crate::proxy) async fn read_rest(&mut self) {
        while let Ok(Some(_)) = std::future::poll_fn(|cx| self.poll_body(cx)).await {}
    }
}

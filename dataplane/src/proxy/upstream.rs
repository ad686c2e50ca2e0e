//! The upstream's side of a try: our own HTTP/1 connection or a stream of Pingora's HTTP/2 session, behind one set of
//! calls that never wait.
//!
//! The only place that knows which of the two it is. Owns the connection or the stream, and for HTTP/2 the sending half
//! of it: dropping it closes the connection or resets the stream. Must not decide about retries.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, Method, Uri, Version};
use pingora_core::protocols::http::v2::client::Http2Session as H2;
use pingora_http::RequestHeader;

use super::connect::Target;
use super::downstream::Downstream;
use super::failure::{Failure, Kind};
use super::forward::Sealed;
use super::h1::{Client, Framing, header_fields, sanitize_trailers};
use super::outbox::Outbox;
use super::pool::{Lease, Pool};
use crate::upstream::Manner;

/// See the module.
pub(super) enum Upstream {
    H1(Box<Client>),
    H2 {
        session: Box<H2>,
        outbox: Option<Outbox>,
        /// Most fields of an answer.
        most: usize,
    },
}

impl Upstream {
    /// One that is used in this manner.
    pub(super) fn new(lease: Lease, manner: &Manner) -> Self {
        match lease {
            Lease::H1(client) => Upstream::H1(client),
            Lease::H2(session) => Upstream::H2 { session, outbox: None, most: header_fields(&manner.http) },
        }
    }

    /// Queues the request header; without `body` also the end of the request.
    pub(super) fn send_header(&mut self, header: Sealed<'_>, body: bool) -> Result<(), Failure> {
        match (self, header) {
            (Upstream::H1(_), Sealed::Nothing) => {}
            (Upstream::H1(client), Sealed::H1(outgoing)) => {
                client.send(outgoing.line(), outgoing.fields(), outgoing.framing(), outgoing.came());
            }
            (Upstream::H2 { session, outbox, .. }, Sealed::H2(header)) => {
                session
                    .write_request_header(header, !body)
                    .map_err(|error| Failure::new(Kind::Unsent, error.to_string()))?;
                // Without a body the sender is kept all the same: dropping it early is no cancel, but useless work.
                *outbox = session.take_request_body_writer().filter(|_| body).map(Outbox::new);
            }
            // The target has said which it is.
            _ => return Err(Failure::new(Kind::Unsent, "a header of another version")),
        }
        Ok(())
    }

    /// Queues a CONNECT request to `host`, which goes on with the bytes of a tunnel.
    pub(super) fn connect(&mut self, host: &str, fields: HeaderMap) -> Result<(), Failure> {
        match self {
            Upstream::H1(client) => {
                client.send((&Method::CONNECT, host, host.as_bytes()), fields.iter(), Framing::None, None);
                Ok(())
            }
            Upstream::H2 { .. } => {
                let (mut parts, ()) = http::Request::new(()).into_parts();
                parts.method = Method::CONNECT;
                parts.version = Version::HTTP_2;
                // RFC 9113 section 8.5: neither scheme nor path.
                let uri = Uri::builder().authority(host).build();
                parts.uri = uri.map_err(|error| Failure::new(Kind::Unsent, error.to_string()))?;
                parts.headers = fields;
                self.send_header(Sealed::H2(Box::new(RequestHeader::from(parts))), true)
            }
        }
    }

    /// Queues a piece of the request body.
    pub(super) fn push(&mut self, piece: Bytes) {
        match self {
            Upstream::H1(client) => client.push(&piece),
            Upstream::H2 { outbox: Some(outbox), .. } => outbox.push(piece),
            Upstream::H2 { .. } => {}
        }
    }

    /// No more request body. `trailers` follow it where the endpoint is sent any.
    pub(super) fn finish(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Failure> {
        match self {
            Upstream::H1(client) => match client.finish(trailers) {
                true => Ok(()),
                false => Err(Failure::new(Kind::Reset, "the request is shorter than it was announced")),
            },
            Upstream::H2 { outbox: Some(outbox), .. } => {
                outbox.finish(trailers.cloned());
                Ok(())
            }
            Upstream::H2 { .. } => Ok(()),
        }
    }

    /// The upstream takes more without piling up what waits for it.
    pub(super) fn has_room(&self) -> bool {
        match self {
            Upstream::H1(client) => client.has_room(),
            Upstream::H2 { outbox, .. } => outbox.as_ref().is_none_or(Outbox::is_empty),
        }
    }

    /// Moves what waits towards the upstream.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match self {
            Upstream::H1(client) => client.poll_drain(cx).map_err(|error| Failure::of_io(&error)),
            Upstream::H2 { outbox: Some(outbox), .. } => {
                outbox.poll_drain(cx).map_err(|error| Failure::of_h2(&error))
            }
            Upstream::H2 { .. } => Poll::Ready(Ok(())),
        }
    }

    /// The gateway's end of the connection.
    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Upstream::H1(client) => client.local_address(),
            Upstream::H2 { session, .. } => {
                let digest = session.digest()?.socket_digest.as_ref()?;
                digest.local_addr()?.as_inet().copied()
            }
        }
    }

    /// Trailers can follow the answer.
    pub(super) fn passes_trailers(&self) -> bool {
        match self {
            Upstream::H1(client) => client.passes_trailers(),
            Upstream::H2 { .. } => true,
        }
    }

    /// The next response header, 1xx included.
    pub(super) fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<Result<Parts, Failure>> {
        match self {
            Upstream::H1(client) => client.poll_header(cx).map_err(|broken| {
                let mut failure = Failure::of_h1(broken);
                if client.untouched() && failure.kind == Kind::Reset {
                    failure.kind = Kind::Unsent;
                }
                failure
            }),
            Upstream::H2 { session, most, .. } => {
                session.poll_read_response_header(cx).map(|read| match (read, session.response_header()) {
                    (Ok(()), Some(header)) if header.headers.len() > *most => {
                        Err(Failure::new(Kind::Protocol, "header fields"))
                    }
                    // A class of status that a client can know.
                    (Ok(()), Some(header)) if (100..=599).contains(&header.status.as_u16()) => {
                        Ok(header.as_owned_parts())
                    }
                    (Ok(()), Some(_)) => Err(Failure::new(Kind::Protocol, "the status is of no known class")),
                    (Ok(()), None) => Err(Failure::new(Kind::Protocol, "no response header")),
                    (Err(error), _) => Err(Failure::of_h2(&error)),
                })
            }
        }
    }

    /// The answer has no body left to read. HTTP/2 trailers count as body.
    pub(super) fn body_is_done(&self) -> bool {
        match self {
            Upstream::H1(client) => client.body_is_done(),
            Upstream::H2 { session, .. } => session.response_finished(),
        }
    }

    /// The next piece of the answer; `None` at the end of the body.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        match self {
            Upstream::H1(client) => client.poll_piece(cx).map_err(Failure::of_h1),
            Upstream::H2 { session, .. } => session
                .poll_read_response_body(cx)
                .map(|piece| piece.transpose().map_err(|error| Failure::of_h2(&error))),
        }
    }

    /// Moves one piece of the answer into `down`; `false` at the end of the body.
    pub(super) fn poll_body_into(
        &mut self,
        down: &mut Downstream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, Failure>> {
        if let (Upstream::H1(client), Some(server)) = (&mut *self, down.server()) {
            // From one buffer into the other.
            return client.poll_body(cx, |piece| server.push(piece)).map_err(Failure::of_h1);
        }
        let piece = ready!(self.poll_piece(cx))?;
        let more = piece.is_some();
        if let Some(piece) = piece {
            down.push(piece);
        }
        Poll::Ready(Ok(more))
    }

    /// Whether trailers pass over HTTP/1, both ways. Over HTTP/2 they always do.
    pub(super) fn pass_trailers(&mut self, pass: bool) {
        if let Upstream::H1(client) = self {
            client.pass_trailers(pass);
        }
    }

    /// Trailers, after the body, without what must not stand there.
    pub(super) fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, Failure>> {
        match self {
            Upstream::H1(client) => {
                let trailers = client.take_trailers().map_err(Failure::of_h1);
                Poll::Ready(trailers.map(sanitize_trailers))
            }
            Upstream::H2 { session, .. } => pin!(session.read_trailers())
                .poll(cx)
                .map(|read| read.map(sanitize_trailers))
                .map_err(|error| Failure::new(Kind::Reset, error.to_string())),
        }
    }

    /// From here on both sides send bytes that are not HTTP.
    pub(super) fn begin_tunnel(&mut self) {
        if let Upstream::H1(client) = self {
            client.begin_tunnel();
        }
    }

    /// The client's end of a tunnel is passed on. A failure shows on the other direction.
    pub(super) fn poll_close_tunnel(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Upstream::H1(client) => client.poll_shutdown(cx).map(|_| ()),
            Upstream::H2 { .. } => Poll::Ready(()),
        }
    }

    /// Request and answer are complete and nothing waits: the connection may serve another request.
    pub(super) fn release(self, pool: &Pool, target: &Target) {
        if let Upstream::H1(mut client) = self
            && client.rest()
        {
            pool.put_back(target, client);
        }
        // An HTTP/2 stream needs no more than to be dropped.
    }
}

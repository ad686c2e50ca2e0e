//! Bytes passed on through an upstream that is asked for it by CONNECT (RFC 9110 section 9.3.6), over HTTP/1.1 or on a
//! stream of HTTP/2.
//!
//! Owns the request, the wait for its answer, and the stream of bytes after it. Must not know whose bytes they are.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use portcullis_proto::policy::v1::HeaderLevel;
use portcullis_shared::format::{Format, Values};
use portcullis_shared::invalid::Invalid;
use portcullis_shared::table;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::access_log::{Connection, Finished};
use super::attempt::target;
use super::authority;
use super::failure::{Failure, Kind};
use super::limits;
use super::pool::Pool;
use super::upstream::Upstream as Session;
use crate::policy::Early;
use crate::upstream::{Bound, Endpoint, Slot, Upstream};

/// What is asked for, with format operators in it.
#[derive(Debug)]
pub struct TunnelRequest {
    host: Format,
    fields: Early,
}

impl TunnelRequest {
    /// Makes it ready.
    ///
    /// # Errors
    /// A field that cannot be one.
    pub fn build(config: &table::Tunnel) -> Result<Self, Invalid> {
        let level = HeaderLevel { remove: Vec::new(), add: config.headers.clone() };
        let fields = Early::build(&[level]).map_err(|e| e.under("headers"))?;
        Ok(Self { host: config.host.clone(), fields })
    }

    /// The request for one connection: host and port, and further fields.
    fn of(&self, connection: &Connection<'_>) -> (String, HeaderMap) {
        let values = Finished::from(connection);
        let values: &dyn Values = &values;
        (self.host.render(values, "-"), self.fields.fields(values))
    }
}

/// The bytes that an upstream passes on.
pub(crate) struct Tunnel {
    session: Session,
    /// Read and not yet taken.
    piece: Bytes,
    ended: bool,
    finished: bool,
    _active: Slot,
}

/// Asks `endpoint` of `upstream` for a tunnel.
pub(super) async fn open(
    pool: &Arc<Pool>,
    upstream: &Upstream,
    endpoint: &Endpoint,
    request: &TunnelRequest,
    connection: &Connection<'_>,
) -> Result<Tunnel, Failure> {
    let (host, fields) = request.of(connection);
    if !authority::is_valid(&host) {
        return Err(Failure::new(Kind::Connect, format!("the tunnel's host \"{host}\" is none")));
    }
    let ends = (connection.info.client, connection.info.local);
    let target = target(upstream, endpoint, upstream.http2).on_behalf(Some(ends));
    // Of HTTP/1 a connection of its own, of HTTP/2 a stream.
    let (lease, _) = pool.acquire(&target, false).await?;
    let overflow = || Failure::new(Kind::Overflow, "the circuit breaker allows no more requests");
    let active = upstream.breakers.take(Bound::Requests).ok_or_else(overflow)?;
    let mut session = Session::new(lease, &target.manner);
    session.connect(&host, fields)?;
    let answered = std::future::poll_fn(|cx| poll_answer(&mut session, cx));
    tokio::time::timeout(target.manner.connect_timeout, answered).await.unwrap_or_else(|_| {
        let limit = target.manner.connect_timeout;
        Err(Failure::new(Kind::ConnectTimeout, format!("no answer to CONNECT within {limit:?}")))
    })?;
    session.begin_tunnel();
    Ok(Tunnel { session, piece: Bytes::new(), ended: false, finished: false, _active: active })
}

/// Waits for the answer; one that grants no tunnel is a failure.
fn poll_answer(session: &mut Session, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
    // What the upstream does not take shows in its answer.
    let _ = session.poll_drain(cx);
    for _ in 0..limits::INFORMATIONAL {
        let header = ready!(session.poll_header(cx))?;
        if header.status.is_success() {
            return Poll::Ready(Ok(()));
        }
        if !header.status.is_informational() {
            // As Envoy says it.
            let detail = format!("tunnel_response:{}", header.status.as_u16());
            return Poll::Ready(Err(Failure::new(Kind::Connect, detail)));
        }
    }
    Poll::Ready(Err(Failure::new(Kind::Protocol, "no answer to CONNECT, but informational ones")))
}

impl Tunnel {
    /// The gateway's end of the connection.
    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        self.session.local_address()
    }
}

fn broken(failure: Failure) -> io::Error {
    io::Error::other(String::from(failure.detail))
}

impl AsyncRead for Tunnel {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if me.piece.is_empty() && !me.ended {
            match ready!(me.session.poll_piece(cx)).map_err(broken)? {
                Some(piece) => me.piece = piece,
                None => me.ended = true,
            }
        }
        let take = me.piece.len().min(buf.remaining());
        buf.put_slice(me.piece.get(..take).unwrap_or_default());
        me.piece.advance(take);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        if !me.session.has_room() {
            ready!(me.session.poll_drain(cx)).map_err(broken)?;
        }
        me.session.push(Bytes::copy_from_slice(bytes));
        if let Poll::Ready(Err(failure)) = me.session.poll_drain(cx) {
            return Poll::Ready(Err(broken(failure)));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().session.poll_drain(cx).map_err(broken)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if !std::mem::replace(&mut me.finished, true) {
            me.session.finish(None).map_err(broken)?;
        }
        ready!(me.session.poll_drain(cx)).map_err(broken)?;
        me.session.poll_close_tunnel(cx).map(Ok)
    }
}

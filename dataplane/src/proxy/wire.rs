//! The upstream transport: a TCP or TLS socket to an endpoint, in the form that Pingora's sessions take.
//!
//! Owns the socket, the write queue of HTTP/1 (see `lazy`) and how often the connection was used. Must not know whom it
//! is connected to: the pool does.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::lazy::Queue;
use crate::upstream::Stats;

/// The socket under a [`Wire`].
pub(super) type Io = super::io::Io<TcpStream, TlsStream<TcpStream>>;

struct Core {
    io: Io,
    queue: Queue,
}

/// One connection to an endpoint.
pub(super) struct Wire {
    core: Mutex<Core>,
    lazy: bool,
    fd: i32,
    /// Requests that were started on it.
    pub(super) uses: u32,
    open: Option<Open>,
}

/// Counts an open connection.
struct Open(Arc<Stats>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections_active.dec();
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("fd", &self.fd).field("uses", &self.uses).finish_non_exhaustive()
    }
}

impl Wire {
    /// `lazy` for HTTP/1: writes only queue, and the engine calls [`Wire::poll_drain`].
    pub(super) fn new(io: Io, fd: i32, lazy: bool) -> Self {
        Wire { core: Mutex::new(Core { io, queue: Queue::default() }), lazy, fd, uses: 0, open: None }
    }

    /// Shows in `stats` as long as it is open.
    pub(super) fn counted(mut self, stats: &Arc<Stats>) -> Self {
        stats.connections.inc();
        stats.connections_active.inc();
        self.open = Some(Open(stats.clone()));
        self
    }

    /// Moves queued bytes to the socket.
    pub(super) fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut core = self.core.lock();
        let core = &mut *core;
        core.queue.poll_drain(&mut core.io, cx)
    }

    /// Tells the endpoint that nothing more comes; its side stays open.
    pub(super) fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut core = self.core.lock();
        Pin::new(&mut core.io).poll_shutdown(cx)
    }

    /// Bytes that wait for the socket.
    pub(super) fn queued(&self) -> usize {
        self.core.lock().queue.len()
    }

    /// Bytes that have gone to the socket since the queue was last empty; none = nothing of a new request was sent.
    pub(super) fn untouched(&self) -> bool {
        self.core.lock().queue.untouched()
    }

    /// An idle connection is fresh when there is nothing to read: neither its end nor bytes that nobody asked for.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0u8; 1];
        let mut buf = ReadBuf::new(&mut byte);
        let core = self.core.get_mut();
        Pin::new(&mut core.io).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf).is_pending()
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().core.get_mut().io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let core = me.core.get_mut();
        if me.lazy {
            core.queue.push(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut core.io).poll_write(cx, bytes)
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let core = me.core.get_mut();
        if me.lazy {
            bufs.iter().for_each(|buf| core.queue.push(buf));
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        Pin::new(&mut core.io).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if me.lazy {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut me.core.get_mut().io).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let core = self.get_mut().core.get_mut();
        ready!(core.queue.poll_drain(&mut core.io, cx))?;
        Pin::new(&mut core.io).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Wire {
    async fn shutdown(&mut self) {
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Wire {
    fn id(&self) -> UniqueIDType {
        self.fd
    }
}

// Digests would be copied for every request, and nothing reads them: the engine has its own facts.
impl Ssl for Wire {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        None
    }
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        None
    }
}

impl GetTimingDigest for Wire {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Wire {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Wire {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

#[async_trait]
impl Peek for Wire {}

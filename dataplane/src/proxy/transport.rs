//! A socket in the form that Pingora's HTTP/2 sessions take. It adds nothing: facts about connections do not travel
//! through sessions here, so there are no digests to ask for.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// See the module.
pub(super) struct Transport<T, G = ()> {
    io: T,
    fd: UniqueIDType,
    /// Dropped with the connection.
    _guard: G,
}

impl<T, G> Transport<T, G> {
    /// `fd` names it in Pingora's logs.
    pub(super) fn new(io: T, fd: UniqueIDType, guard: G) -> Self {
        Transport { io, fd, _guard: guard }
    }
}

impl<T, G> fmt::Debug for Transport<T, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("fd", &self.fd).finish_non_exhaustive()
    }
}

impl<T: AsyncRead + Unpin, G: Unpin> AsyncRead for Transport<T, G> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin, G: Unpin> AsyncWrite for Transport<T, G> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[async_trait]
impl<T: AsyncWrite + Unpin + Send, G: Unpin + Send> Shutdown for Transport<T, G> {
    async fn shutdown(&mut self) {
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl<T, G> UniqueID for Transport<T, G> {
    fn id(&self) -> UniqueIDType {
        self.fd
    }
}

impl<T, G> Ssl for Transport<T, G> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        None
    }
    /// What is spoken over it was settled before, by ALPN or by the preface.
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        Some(ALPN::H2)
    }
}

impl<T, G> GetTimingDigest for Transport<T, G> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<T, G> GetProxyDigest for Transport<T, G> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl<T, G> GetSocketDigest for Transport<T, G> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

impl<T: Send + Sync, G: Send + Sync> Peek for Transport<T, G> {}

//! The downstream transport: what the listener hands to the engine, and what Pingora's sessions read and write.
//!
//! Owns the socket, the TLS session, the bytes read ahead (PROXY protocol, ClientHello), the write queue of HTTP/1, and
//! the two waits that belong to a connection instead of a request: idle between requests, and the total time of one
//! request header. Facts about the connection travel in [`ConnInfo`]. Must not know HTTP beyond the HTTP/2 preface.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::SystemTime;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use pingora_core::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;

use crate::policy::TlsFacts;

use super::lazy::Queue;
use super::limits;
use super::socket::Socket;

/// What is known about a connection before its first request; shared by all its requests.
#[derive(Debug)]
pub struct ConnInfo {
    /// Name of the listener that accepted it.
    pub listener: Arc<str>,
    /// Route configuration of the filter chain that was chosen for it.
    pub route_config: Arc<str>,
    /// The client: from the PROXY protocol where it is spoken, else the socket's peer.
    pub client: SocketAddr,
    /// The socket's peer.
    pub direct: SocketAddr,
    /// The socket's own address.
    pub local: SocketAddr,
    /// Server name that the client asked for.
    pub sni: Option<Arc<str>>,
    /// Filled in by [`Conn::tls`].
    pub tls: Option<TlsFacts>,
}

type Io = super::io::Io<Socket, TlsStream<Socket>>;

/// What an HTTP/1 connection waits for; decides which deadline runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No byte of the next request has come.
    Idle,
    /// Part of a request header has come.
    Header,
    /// A request is being served, or this is HTTP/2: the engine has its own deadlines.
    Open,
}

struct Core {
    io: Io,
    queue: Queue,
    phase: Phase,
    deadline: Instant,
    /// One timer per connection, moved only when it fires too early: a keep-alive request costs no timer.
    timer: Option<Pin<Box<Sleep>>>,
    drain: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Core {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        match phase {
            Phase::Idle => self.deadline = Instant::now() + limits::KEEPALIVE_IDLE,
            Phase::Header => self.deadline = Instant::now() + limits::HEADER_DEADLINE,
            Phase::Open => {}
        }
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }

    /// Nothing to read: may the connection go on waiting? Ready ends it, by end of file (idle, draining) or by error.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.phase {
            Phase::Open => Poll::Pending,
            Phase::Header => self.poll_expired(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            Phase::Idle => {
                if self.drain.as_mut().is_some_and(|drain| drain.as_mut().poll(cx).is_ready()) {
                    self.drain = None;
                    return Poll::Ready(Ok(()));
                }
                self.poll_expired(cx).map(Ok)
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Ready(result) => {
                if self.phase == Phase::Idle && buf.filled().len() > before {
                    self.enter(Phase::Header);
                }
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_patience(cx),
        }
    }
}

/// A downstream connection. For HTTP/1 it is lazy: writes only queue, and the engine calls [`Conn::poll_drain`].
pub struct Conn {
    core: Mutex<Core>,
    lazy: bool,
    fd: i32,
    http2: bool,
    tls: Option<Arc<SslDigest>>,
    socket: Arc<SocketDigest>,
    /// Carries the [`ConnInfo`] to the requests: the one place of Pingora's sessions that keeps foreign data.
    carrier: Arc<ProxyDigest>,
    accepted: SystemTime,
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("fd", &self.fd).field("http2", &self.http2).finish_non_exhaustive()
    }
}

impl Conn {
    /// A plain text connection; `put_back` was read from `tcp` already.
    pub fn plain(tcp: TcpStream, put_back: Vec<u8>, info: ConnInfo) -> io::Result<Self> {
        let fd = tcp.as_raw_fd();
        Conn::new(Io::Plain(Socket::new(tcp, put_back)), fd, false, None, info)
    }

    /// A connection after its TLS handshake.
    pub fn tls(stream: TlsStream<Socket>, mut info: ConnInfo) -> io::Result<Self> {
        let (socket, session) = stream.get_ref();
        let fd = socket.tcp.as_raw_fd();
        let facts = crate::tls::server::facts(session);
        let digest = SslDigest::new(facts.cipher, facts.version, None, None, Vec::new());
        let http2 = facts.http2;
        info.tls = Some(facts);
        Conn::new(Io::Tls(Box::new(stream)), fd, http2, Some(Arc::new(digest)), info)
    }

    fn new(io: Io, fd: i32, http2: bool, tls: Option<Arc<SslDigest>>, info: ConnInfo) -> io::Result<Self> {
        let socket = SocketDigest::from_raw_fd(fd);
        // Set now, or Pingora asks the kernel. A cell that is set already is impossible: it was just made.
        let _ =
            socket.peer_addr.set(Some(pingora_core::protocols::l4::socket::SocketAddr::Inet(info.client)));
        let response =
            pingora_http::ResponseHeader::build_no_case(200u16, Some(0)).map_err(io::Error::other)?;
        Ok(Conn {
            core: Mutex::new(Core {
                io,
                queue: Queue::default(),
                phase: if http2 { Phase::Open } else { Phase::Idle },
                deadline: Instant::now() + limits::FIRST_BYTE,
                timer: None,
                drain: None,
            }),
            lazy: !http2,
            fd,
            http2,
            tls,
            socket: Arc::new(socket),
            carrier: Arc::new(ProxyDigest::new(Box::new(response), Some(Box::new(Arc::new(info))))),
            accepted: SystemTime::now(),
        })
    }

    /// Ends the wait for a next request once `drain` says so. Without it only [`limits::KEEPALIVE_IDLE`] does.
    #[must_use]
    pub fn draining_with(mut self, drain: &ShutdownWatch) -> Self {
        let mut watch = drain.clone();
        self.core.get_mut().drain = Some(Box::pin(async move {
            // An error means that the sender is gone: the process is going down.
            let _ = watch.wait_for(|draining| *draining).await;
        }));
        self
    }

    /// The connection facts inside a session's digest.
    pub fn info(digest: &pingora_core::protocols::Digest) -> Option<&Arc<ConnInfo>> {
        digest.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref::<Arc<ConnInfo>>()
    }

    /// Moves queued bytes to the socket.
    pub fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut core = self.core.lock();
        let core = &mut *core;
        core.queue.poll_drain(&mut core.io, cx)
    }

    /// Bytes that wait for the socket.
    pub fn queued(&self) -> usize {
        self.core.lock().queue.len()
    }

    /// A request header is complete: from now on the engine's deadlines count.
    pub(super) fn request_started(&self) {
        self.core.lock().enter(Phase::Open);
    }

    /// The request is over. With `more`, bytes of the next one are here already.
    pub(super) fn request_finished(&self, more: bool) {
        self.core.lock().enter(if more { Phase::Header } else { Phase::Idle });
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        // What was answered must reach the client even when the connection ends by error.
        let core = self.core.get_mut();
        let _ = core.queue.poll_drain(&mut core.io, &mut Context::from_waker(Waker::noop()));
    }
}

impl AsyncRead for Conn {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().core.get_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Conn {
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

/// What an HTTP/2 client sends first (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[async_trait]
impl Peek for Conn {
    /// Fills `buf` with the preface, or with less as soon as a byte differs: a short HTTP/1 request must not wait for
    /// the preface's 24 bytes.
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        let core = self.core.get_mut();
        let mut read = ReadBuf::new(buf);
        while read.filled() == PREFACE.get(..read.filled().len()).unwrap_or_default() && read.remaining() > 0
        {
            let before = read.filled().len();
            std::future::poll_fn(|cx| core.poll_read(cx, &mut read)).await?;
            if read.filled().len() == before {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let http2 = read.filled() == PREFACE;
        if let Io::Plain(socket) = &mut core.io {
            socket.put_back(read.filled());
        }
        if http2 {
            core.enter(Phase::Open);
            self.lazy = false;
            self.http2 = true;
        }
        Ok(true)
    }
}

#[async_trait]
impl Shutdown for Conn {
    async fn shutdown(&mut self) {
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Conn {
    fn id(&self) -> UniqueIDType {
        self.fd
    }
}

impl Ssl for Conn {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.tls.clone()
    }
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.tls.as_ref()?;
        Some(if self.http2 { ALPN::H2 } else { ALPN::H1 })
    }
}

impl GetTimingDigest for Conn {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest { established_ts: self.accepted, ..TimingDigest::default() })]
    }
}

impl GetProxyDigest for Conn {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.carrier.clone())
    }
}

impl GetSocketDigest for Conn {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.socket.clone())
    }
}

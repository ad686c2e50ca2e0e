//! An accepted connection, as the listener hands it to the engine. Must not read from it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::h1::ServerIo as Io;
use super::socket::Socket;
use crate::policy::metadata::DynamicMetadata;
use crate::policy::{Own, TlsFacts};
use crate::runtime::Http;

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
    /// Where the client connected to: from the PROXY protocol where it is spoken, else the socket's own address.
    pub local: SocketAddr,
    /// Server name that the client asked for.
    pub sni: Option<Arc<str>>,
    /// Filled in by [`Conn::tls`].
    pub tls: Option<TlsFacts>,
    /// Its rate limits, where each connection has its own.
    pub buckets: Arc<Own>,
    /// How HTTP is spoken on it.
    pub http: Arc<Http>,
    /// What is known of it for requests and logs, from its PROXY header.
    pub metadata: Option<Arc<DynamicMetadata>>,
    /// Its number in this process, of [`ConnInfo::next_id`].
    pub id: u64,
}

impl ConnInfo {
    /// A number that no other connection of this process has.
    #[must_use]
    pub fn next_id() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Conn {
    pub(super) io: Io,
    pub(super) info: Arc<ConnInfo>,
}

impl Conn {
    /// A plain text connection; `put_back` was read from `tcp` already.
    pub fn plain(tcp: TcpStream, put_back: Vec<u8>, info: ConnInfo) -> Self {
        Conn { io: Io::Plain(Socket::new(tcp, put_back)), info: Arc::new(info) }
    }

    /// A connection after its TLS handshake.
    pub fn tls(stream: TlsStream<Socket>, mut info: ConnInfo) -> Self {
        info.tls = Some(crate::tls::server::facts(stream.get_ref().1));
        Conn { io: Io::Tls(Box::new(stream)), info: Arc::new(info) }
    }

    /// What is known about it.
    pub fn info(&self) -> Arc<ConnInfo> {
        Arc::clone(&self.info)
    }

    /// ALPN chose HTTP/2; a plain text client says it by its first bytes.
    pub(super) fn http2(&self) -> bool {
        self.info.tls.as_ref().is_some_and(|tls| tls.http2)
    }
}

//! How a connection to an endpoint is made, up to where the endpoint's TLS begins: a socket, its options, the PROXY
//! protocol's header, and the tunnel through a proxy.
//!
//! The engine and health checks both connect by it. Must not pool, count, set deadlines or do the endpoint's TLS.

mod proxy_header;
mod stream;
mod tunnel;

use std::io;
use std::sync::Arc;

use portcullis_shared::table::{Connections, Place, ProxyVersion, TcpKeepalive};
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

pub use proxy_header::Proxied;
pub use stream::Stream;
pub use tunnel::{Refused, Tunnel};

use super::Tls;
use stream::Through;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No tunnel.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// How the connections of an upstream are made.
#[derive(Debug, Default)]
pub struct Dialing {
    proxy_protocol: Option<ProxyVersion>,
    keepalive: Option<socket2::TcpKeepalive>,
    proxy: Option<Proxy>,
}

/// What connections go through.
#[derive(Debug)]
struct Proxy {
    tunnel: Tunnel,
    tls: Option<Arc<Tls>>,
}

impl Dialing {
    /// As `config` says; `tls` is that of its proxy.
    pub(super) fn new(config: &Connections, tls: Option<Arc<Tls>>) -> Self {
        let proxy = config.http_connect.as_ref().map(|connect| Proxy {
            tunnel: Tunnel::new(
                &connect.authority,
                connect.headers.iter().map(|(name, value)| (name, value)),
            ),
            tls,
        });
        Self {
            proxy_protocol: config.proxy_protocol,
            keepalive: config.tcp_keepalive.as_ref().map(keepalive),
            proxy,
        }
    }

    /// A connection serves the client that it was made for, and nobody else.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        self.proxy_protocol.is_some()
    }

    /// Connections go through a proxy, which the endpoint is.
    #[must_use]
    pub fn is_tunnelled(&self) -> bool {
        self.proxy.is_some()
    }

    /// Connects on behalf of a client, or of the gateway itself.
    ///
    /// # Errors
    /// There is no connection; the text is for the log.
    pub async fn open(&self, place: &Place, proxied: Option<Proxied>) -> Result<Stream, Error> {
        let mut stream = match place {
            Place::Address(address) => {
                let tcp = TcpStream::connect(address).await?;
                tcp.set_nodelay(true)?;
                if let Some(keepalive) = &self.keepalive {
                    SockRef::from(&tcp).set_tcp_keepalive(keepalive)?;
                }
                Stream::Tcp(tcp)
            }
            Place::Pipe(path) => Stream::Unix(UnixStream::connect(&**path).await?),
        };
        if let Some(version) = self.proxy_protocol {
            let header = proxy_header::header(version, proxied, stream.ends());
            stream.write_all(&header).await?;
        }
        match &self.proxy {
            Some(proxy) => proxy.through(stream, place).await,
            None => Ok(stream),
        }
    }
}

impl Proxy {
    async fn through(&self, stream: Stream, place: &Place) -> Result<Stream, Error> {
        let (fd, local) = (stream.fd(), stream.local_addr());
        let mut io: Box<dyn stream::Io> = match &self.tls {
            None => Box::new(stream),
            Some(tls) => {
                let connected =
                    TlsConnector::from(Arc::clone(&tls.config)).connect(tls.name_at(place), stream).await;
                let told = |error| io::Error::other(format!("TLS to the proxy: {error}"));
                Box::new(connected.map_err(told)?)
            }
        };
        let front = self.tunnel.open(&mut io).await?;
        Ok(Stream::Tunnel(Box::new(Through { io, front, fd, local })))
    }
}

fn keepalive(config: &TcpKeepalive) -> socket2::TcpKeepalive {
    let mut keepalive = socket2::TcpKeepalive::new();
    if let Some(time) = config.time {
        keepalive = keepalive.with_time(time);
    }
    if let Some(interval) = config.interval {
        keepalive = keepalive.with_interval(interval);
    }
    match config.probes {
        Some(probes) => keepalive.with_retries(probes),
        None => keepalive,
    }
}

//! Makes a connection to one endpoint: TCP, then TLS with the upstream's own client configuration.
//!
//! Owns the deadline for both together. Must not pool, balance or speak HTTP.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use portcullis_shared::version::Digest;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;

use super::attempt::target;
use super::failure::{Failure, Kind};
use super::h1::ClientIo as Io;
use super::reply::Reason;
use super::tunnel::{self, Tunnel, TunnelRequest};
use super::{Connection, Engine};
use crate::upstream::{Bound, Breakers, Endpoint, Slot, Upstream};

/// Where a connection goes and how; connections are shared by requests with equal [`Target::key`] only.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// Changes when connections from before must not be used any more.
    pub(super) epoch: u64,
    pub(super) http2: bool,
    pub(super) tls: Option<TlsTarget>,
    /// For TCP and TLS together.
    pub(super) timeout: Duration,
    /// Requests after which a connection is not used again.
    pub(super) max_requests: Option<u32>,
    /// How many there may be, and where they are counted.
    pub(super) breakers: Breakers,
}

/// The TLS side of a [`Target`].
#[derive(Debug, Clone)]
pub(super) struct TlsTarget {
    pub(super) config: Arc<ClientConfig>,
    /// Over CA, client certificate and policy: what one upstream verified is never used by another.
    pub(super) identity: Digest,
    /// Server name to ask for and to verify; an address sends none.
    pub(super) name: ServerName<'static>,
}

/// What two connections must have in common to stand in for each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    address: SocketAddr,
    epoch: u64,
    http2: bool,
    tls: Option<(Digest, ServerName<'static>)>,
}

impl Target {
    pub(super) fn key(&self) -> Key {
        Key {
            address: self.address,
            epoch: self.epoch,
            http2: self.http2,
            tls: self.tls.as_ref().map(|tls| (tls.identity, tls.name.clone())),
        }
    }
}

/// A connection that was just made.
pub(super) struct Dialed {
    pub(super) io: Io,
    pub(super) fd: i32,
}

/// A connection whose bytes are no matter of this module.
pub(crate) struct Raw<S> {
    pub(crate) io: S,
    /// The gateway's end of it.
    pub(crate) local: Option<SocketAddr>,
    /// Counts it; a tunnel counts itself.
    _slot: Option<Slot>,
}

impl Engine {
    /// Connects to an endpoint, through a tunnel where `request` asks for one.
    pub(crate) async fn dial_raw(
        &self,
        upstream: &Upstream,
        endpoint: &Endpoint,
        request: Option<&TunnelRequest>,
        connection: &Connection<'_>,
    ) -> Result<Raw<impl AsyncRead + AsyncWrite + Unpin + use<>>, (Reason, Box<str>)> {
        let failed = |failure: Failure| (failure.reason(), failure.detail);
        if let Some(request) = request {
            let opened = tunnel::open(&self.pool, upstream, endpoint, request, connection).await;
            let tunnel = opened.map_err(failed)?;
            return Ok(Raw { local: tunnel.local_address(), io: Either::Right(tunnel), _slot: None });
        }
        let overflow = || Failure::new(Kind::Overflow, "the circuit breaker allows no more connections");
        let slot = upstream.breakers.take(Bound::Connections).ok_or_else(overflow).map_err(failed)?;
        let Dialed { io, .. } = dial(&target(upstream, endpoint)).await.map_err(failed)?;
        let local = match &io {
            Io::Plain(tcp) => tcp.local_addr(),
            Io::Tls(stream) => stream.get_ref().0.local_addr(),
        };
        let io = Either::<Io, Tunnel>::Left(io);
        Ok(Raw { io, local: local.ok(), _slot: Some(slot) })
    }
}

/// Connects.
pub(super) async fn dial(target: &Target) -> Result<Dialed, Failure> {
    match tokio::time::timeout(target.timeout, open(target)).await {
        Ok(Ok((io, fd))) => {
            target.breakers.connected();
            Ok(Dialed { io, fd })
        }
        Ok(Err(failure)) => Err(failure),
        Err(_) => {
            Err(Failure::new(Kind::ConnectTimeout, format!("no connection within {:?}", target.timeout)))
        }
    }
}

async fn open(target: &Target) -> Result<(Io, i32), Failure> {
    let failed = |error: std::io::Error| Failure::new(Kind::Connect, error.to_string());
    let tcp = TcpStream::connect(target.address).await.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    let fd = tcp.as_raw_fd();
    let io = match &target.tls {
        None => Io::Plain(tcp),
        Some(tls) => {
            let stream = TlsConnector::from(tls.config.clone())
                .connect(tls.name.clone(), tcp)
                .await
                .map_err(|error| Failure::new(Kind::Connect, format!("TLS: {error}")))?;
            Io::Tls(Box::new(stream))
        }
    };
    Ok((io, fd))
}

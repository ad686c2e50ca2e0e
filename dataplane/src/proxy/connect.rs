//! Makes a connection to one endpoint: as its upstream dials, then TLS with the upstream's own client configuration.
//!
//! Owns the deadline for both together. Must not pool, balance or speak HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use portcullis_shared::table::Place;
use portcullis_shared::version::Digest;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;

use super::attempt::target;
use super::failure::{Failure, Kind};
use super::h1::ClientIo as Io;
use super::reply::Reason;
use super::tunnel::{self, Tunnel, TunnelRequest};
use super::{Connection, Engine};
use crate::upstream::dial::Proxied;
use crate::upstream::{Bound, Breakers, Endpoint, Manner, Slot, Upstream};

/// Where a connection goes and how; connections are shared by requests with equal [`Target::key`] only.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) place: Place,
    /// Changes when connections from before must not be used any more.
    pub(super) epoch: u64,
    pub(super) http2: bool,
    pub(super) tls: Option<TlsTarget>,
    pub(super) manner: Arc<Manner>,
    /// Whom the connection is made for, where the endpoint is told.
    pub(super) proxied: Option<Proxied>,
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
    /// HTTP versions are not settled for the upstream, but by each request.
    pub(super) chosen_by_request: bool,
}

/// What two connections must have in common to stand in for each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    place: Place,
    epoch: u64,
    http2: bool,
    tls: Option<(Digest, ServerName<'static>)>,
    manner: Option<Digest>,
    proxied: Option<Proxied>,
}

impl Target {
    pub(super) fn key(&self) -> Key {
        Key {
            place: self.place.clone(),
            epoch: self.epoch,
            http2: self.http2,
            tls: self.tls.as_ref().map(|tls| (tls.identity, tls.name.clone())),
            manner: self.manner.identity(),
            proxied: self.proxied,
        }
    }

    /// For this client, where the endpoint is told whom a connection is for.
    pub(super) fn on_behalf(mut self, client: Option<Proxied>) -> Self {
        self.proxied = client.filter(|_| self.manner.dialing.is_personal());
        self
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
        let target = target(upstream, endpoint, false)
            .on_behalf(Some((connection.info.client, connection.info.local)));
        let Dialed { io, .. } = dial(&target).await.map_err(failed)?;
        let local = match &io {
            Io::Plain(stream) => stream.local_addr(),
            Io::Tls(stream) => stream.get_ref().0.local_addr(),
        };
        let io = Either::<Io, Tunnel>::Left(io);
        Ok(Raw { io, local, _slot: Some(slot) })
    }
}

/// Connects.
pub(super) async fn dial(target: &Target) -> Result<Dialed, Failure> {
    match tokio::time::timeout(target.manner.connect_timeout, open(target)).await {
        Ok(Ok((io, fd))) => {
            target.breakers.connected();
            Ok(Dialed { io, fd })
        }
        Ok(Err(failure)) => Err(failure),
        Err(_) => {
            let limit = target.manner.connect_timeout;
            Err(Failure::new(Kind::ConnectTimeout, format!("no connection within {limit:?}")))
        }
    }
}

async fn open(target: &Target) -> Result<(Io, i32), Failure> {
    let stream = target
        .manner
        .dialing
        .open(&target.place, target.proxied)
        .await
        .map_err(|refused| Failure::new(Kind::Connect, refused.to_string()))?;
    let fd = stream.fd();
    let io = match &target.tls {
        None => Io::Plain(stream),
        Some(tls) => {
            let connector = TlsConnector::from(tls.config.clone());
            let connected = match tls.chosen_by_request {
                false => connector.connect(tls.name.clone(), stream).await,
                true => {
                    let protocols = protocols(&tls.config.alpn_protocols, target.http2);
                    connector.with_alpn(protocols).connect(tls.name.clone(), stream).await
                }
            };
            Io::Tls(Box::new(
                connected.map_err(|error| Failure::new(Kind::Connect, format!("TLS: {error}")))?,
            ))
        }
    };
    Ok((io, fd))
}

/// What is offered by ALPN for one version of HTTP, out of what the upstream may be offered.
fn protocols(all: &[Vec<u8>], http2: bool) -> Vec<Vec<u8>> {
    const H2: &[u8] = b"h2";
    if http2 {
        return vec![H2.to_vec()];
    }
    let rest: Vec<_> = all.iter().filter(|name| *name != H2).cloned().collect();
    if rest.is_empty() { vec![b"http/1.1".to_vec()] } else { rest }
}

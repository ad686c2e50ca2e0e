//! Makes a connection to one endpoint: as its upstream dials, then TLS with the upstream's own client configuration.
//!
//! Owns the deadline for both together. Must not pool, balance or speak HTTP.

use std::sync::Arc;

use portcullis_shared::table::Place;
use portcullis_shared::version::Digest;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::attempt::target;
use super::failure::{Failure, Kind};
use super::h1::ClientIo as Io;
use super::reply::Reason;
use crate::upstream::dial::Proxied;
use crate::upstream::{Bound, Breakers, Endpoint, Manner, Upstream};

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

/// A connection whose bytes are no matter of this module, and what counts it.
pub(crate) async fn dial_raw(
    upstream: &Upstream,
    endpoint: &Endpoint,
    client: Proxied,
) -> Result<(impl AsyncRead + AsyncWrite + Unpin + use<>, impl Send + use<>), (Reason, Box<str>)> {
    let slot = upstream
        .breakers
        .take(Bound::Connections)
        .ok_or_else(|| (Reason::Overflow, "the circuit breaker allows no more connections".into()))?;
    let dialed = dial(&target(upstream, endpoint, false).on_behalf(Some(client))).await;
    let Dialed { io, .. } = dialed.map_err(|failure| (failure.reason(), failure.detail))?;
    Ok((io, slot))
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

//! Asks an endpoint how it is, over a connection that may serve the next question too.

use std::sync::Arc;

use portcullis_shared::table::{Checker, HealthCheck};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::super::Upstream;
use super::super::endpoint::Endpoint;
use super::{grpc, http, tcp};

/// Why a check did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The endpoint says that it is not well.
    Active,
    /// It is another service.
    Verify,
    /// No connection, or it broke.
    Network,
    /// No answer in time.
    Timeout,
}

impl Failure {
    /// Its word in the event log.
    pub(super) fn word(self) -> &'static str {
        match self {
            Failure::Active | Failure::Verify => "ACTIVE",
            Failure::Network => "NETWORK",
            Failure::Timeout => "NETWORK_TIMEOUT",
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(_: std::io::Error) -> Self {
        Failure::Network
    }
}

impl From<hyper::Error> for Failure {
    fn from(_: hyper::Error) -> Self {
        Failure::Network
    }
}

/// A connection to an endpoint, whatever it is made of.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// What a connection needs to be made.
pub(super) struct Dialer<'a> {
    pub(super) upstream: &'a Arc<Upstream>,
    pub(super) endpoint: &'a Arc<Endpoint>,
}

impl Dialer<'_> {
    /// A connection, and whether HTTP/2 was agreed on.
    pub(super) async fn connect(&self) -> Result<(Box<dyn Io>, bool), Failure> {
        // It speaks for itself, not for a client.
        let opened = self.upstream.manner.dialing.open(&self.endpoint.address, None).await;
        let stream = opened.map_err(|_| Failure::Network)?;
        let Some(tls) = &self.upstream.tls else { return Ok((Box::new(stream), false)) };
        let name = self.upstream.server_name(tls, self.endpoint);
        let stream = TlsConnector::from(Arc::clone(&tls.config)).connect(name, stream).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Box::new(stream), http2))
    }
}

/// The question, and the connection of the last one.
pub(super) struct Probe<'a> {
    dialer: Dialer<'a>,
    check: &'a HealthCheck,
    http: Option<http::Connection>,
    tcp: Option<Box<dyn Io>>,
}

impl<'a> Probe<'a> {
    pub(super) fn new(
        upstream: &'a Arc<Upstream>,
        endpoint: &'a Arc<Endpoint>,
        check: &'a HealthCheck,
    ) -> Self {
        Self { dialer: Dialer { upstream, endpoint }, check, http: None, tcp: None }
    }

    /// Asks once.
    pub(super) async fn ask(&mut self) -> Result<(), Failure> {
        match &self.check.checker {
            Checker::Http(check) => http::ask(check, &self.dialer, &mut self.http).await,
            Checker::Grpc(check) => grpc::ask(check, &self.dialer, &mut self.http).await,
            Checker::Tcp(check) => tcp::ask(check, &self.dialer, &mut self.tcp).await,
        }
    }

    /// The next question gets a connection of its own.
    pub(super) fn disconnect(&mut self) {
        (self.http, self.tcp) = (None, None);
    }
}

//! The TLS side of a new connection: the client's hello is read, the filter chain chosen by its server name, the
//! handshake done with that chain's settings. Private keys are never seen here, nor anything of them logged.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::admission::{Admitted, Refusal};
use crate::proxy::Socket;
use crate::runtime::{Chain, Listener};

/// Time for a handshake, hello included, when the chain does not say. Envoy's default for the same phase.
pub const HANDSHAKE: Duration = Duration::from_secs(15);

/// A fatal `unrecognized_name` alert (RFC 8446 6, RFC 6066 3) in a plain-text record: no chain means no keys yet.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Why there is no TLS connection. The name is a metric's label.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client took too long.
    #[error("the handshake took too long")]
    Timeout,
    /// No filter chain takes this server name.
    #[error("no filter chain for server name {0:?}")]
    NoChain(Option<String>),
    /// The chain that takes this name has no usable certificate.
    #[error("filter chain {0} is not usable")]
    Broken(Arc<str>),
    /// The client sent no TLS, refused our certificate, or had none itself.
    #[error("{0}")]
    Handshake(std::io::Error),
    /// The client went away.
    #[error("the client went away: {0}")]
    Gone(std::io::Error),
    /// The chain lets no more connections in.
    #[error("one connection too many: {}", .0.reason)]
    Refused(Refusal, Arc<Chain>),
}

impl Error {
    /// A short word for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::NoChain(_) => "no_filter_chain",
            Self::Broken(_) => "chain_broken",
            Self::Handshake(_) => "handshake",
            Self::Gone(_) => "client_gone",
            Self::Refused(refusal, _) => refusal.reason,
        }
    }

    fn of(error: std::io::Error) -> Self {
        // rustls puts its own errors into this kind; everything else is the socket's.
        if error.kind() == std::io::ErrorKind::InvalidData {
            Self::Handshake(error)
        } else {
            Self::Gone(error)
        }
    }
}

/// A finished handshake.
pub struct Accepted {
    /// The stream.
    pub stream: TlsStream<Socket>,
    /// The chain that was chosen.
    pub chain: Arc<Chain>,
    /// The server name that the client asked for, lower case.
    pub sni: Option<Arc<str>>,
    /// Counts it.
    pub admitted: Option<Admitted>,
}

/// Does the handshake on `socket`. `known` is the chain that the connection belongs to, where that is known already;
/// else the server name of `client` decides.
///
/// # Errors
/// There is no connection. The client was told why as far as TLS has a word for it.
pub async fn handshake(
    socket: Socket,
    listener: &Listener,
    client: IpAddr,
    known: Option<&Arc<Chain>>,
) -> Result<Accepted, Error> {
    let begun = Instant::now();
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket);
    let mut start =
        timeout_at(begun + HANDSHAKE, hello).await.map_err(|_| Error::Timeout)?.map_err(Error::of)?;
    let sni = start.client_hello().server_name().map(str::to_ascii_lowercase);
    let Some(chain) = known.or_else(|| listener.select(sni.as_deref(), client)) else {
        let _ = timeout_at(begun + HANDSHAKE, start.io.write_all(&UNRECOGNIZED_NAME)).await;
        let _ = timeout_at(begun + HANDSHAKE, start.io.shutdown()).await;
        return Err(Error::NoChain(sni));
    };
    let admitted = match chain.admit() {
        Ok(admitted) => admitted,
        Err(refusal) => {
            refusal.wait().await;
            return Err(Error::Refused(refusal, Arc::clone(chain)));
        }
    };
    let Some(settings) = &chain.tls else {
        let _ = timeout_at(begun + HANDSHAKE, start.io.write_all(&UNRECOGNIZED_NAME)).await;
        return Err(Error::Broken(Arc::clone(&chain.name)));
    };
    let config = settings.fit(&start.client_hello());
    let deadline = begun + chain.handshake_timeout.unwrap_or(HANDSHAKE);
    start.io.hold();
    let mut stream = timeout_at(deadline, start.into_stream(config))
        .await
        .map_err(|_| Error::Timeout)?
        .map_err(Error::of)?;
    stream.get_mut().0.release();
    Ok(Accepted { stream, chain: Arc::clone(chain), sni: sni.map(Arc::from), admitted })
}

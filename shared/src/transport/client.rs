//! The connecting side.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

use super::TransportError;
use super::tls::TlsFiles;

/// How long a connect may take, handshake included.
const CONNECT: Duration = Duration::from_secs(5);

/// Where control is.
#[derive(Clone, Debug)]
pub enum Target {
    /// A unix socket on this host.
    Unix(PathBuf),
    /// TCP with mutual TLS.
    Tls {
        /// `host:port`.
        address: String,
        /// The DNS name that control's certificate must have.
        server_name: String,
        /// Our files.
        files: TlsFiles,
    },
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tls { address, .. } => f.write_str(address),
        }
    }
}

/// Connects once; retrying is the caller's business.
///
/// # Errors
/// Control cannot be reached, or refuses us, within five seconds; or a TLS file is broken.
pub async fn connect(target: &Target) -> Result<Channel, TransportError> {
    // The URI only fills the requests' authority: the connectors below decide where the bytes go.
    let endpoint = Endpoint::from_static("http://control.portcullis.internal")
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true);
    let connected = match target.clone() {
        Target::Unix(path) => {
            let connector = move |_: Uri| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            };
            endpoint.connect_with_connector(tower::service_fn(connector)).await
        }
        Target::Tls { address, server_name, files } => {
            let name = ServerName::try_from(server_name)
                .map_err(|e| TransportError::Connect { address: address.clone(), reason: e.to_string() })?;
            let tls = TlsConnector::from(files.client()?);
            let connector = Arc::new((address, name, tls));
            let connector = move |_: Uri| {
                let shared = Arc::clone(&connector);
                async move {
                    let (address, name, tls) = &*shared;
                    let stream = TcpStream::connect(address).await?;
                    stream.set_nodelay(true)?;
                    tls.connect(name.clone(), stream).await.map(TokioIo::new)
                }
            };
            endpoint.connect_with_connector(tower::service_fn(connector)).await
        }
    };
    connected
        .map_err(|error| TransportError::Connect { address: target.to_string(), reason: root_cause(&error) })
}

/// The innermost error says what happened ("no such file"); the outer ones only that something did.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

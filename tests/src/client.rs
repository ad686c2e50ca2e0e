//! Clients: HTTP/1.1 and HTTP/2, plain and TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::pki::{Ca, Pair};

/// What can go wrong on the way to an answer.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A complete answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Trailers, if there were any.
    pub trailers: Option<HeaderMap>,
    /// Body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text, "" when absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It is not JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text()))
    }

    /// Which `portcullis hello` answered: its name.
    #[must_use]
    pub fn served_by(&self) -> String {
        self.json()["name"].as_str().unwrap_or_default().to_owned()
    }
}

/// The HTTP version to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    H1,
    /// HTTP/2: with prior knowledge, or by ALPN.
    H2,
}

/// GET over a new plain HTTP/1.1 connection.
///
/// # Errors
/// No complete answer came.
pub async fn get(address: SocketAddr, path: &str) -> Result<Answer, Error> {
    request(address, "GET", &address.to_string(), path, &[], "").await
}

/// One request over a new plain HTTP/1.1 connection.
///
/// # Errors
/// No complete answer came.
pub async fn request(
    address: SocketAddr,
    method: &str,
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Answer, Error> {
    let stream = TcpStream::connect(address).await?;
    send(stream, Version::H1, "http", method, host, path, headers, body).await
}

/// One request over a connection that exists.
///
/// # Errors
/// No complete answer came.
#[allow(clippy::too_many_arguments, reason = "a request has that many parts")]
pub async fn send<S>(
    stream: S,
    version: Version,
    scheme: &str,
    method: &str,
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Answer, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut request = Request::builder().method(method);
    request = match version {
        Version::H1 => request.uri(path).header("host", host),
        Version::H2 => request.uri(format!("{scheme}://{host}{path}")),
    };
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into()))?;
    let response = match version {
        Version::H1 => {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        }
        Version::H2 => {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        }
    };
    let (parts, body) = response.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned();
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, trailers, body: body.to_bytes() })
}

/// How a TLS client behaves.
#[derive(Clone)]
pub struct Tls {
    roots: RootCertStore,
    identity: Option<Pair>,
    alpn: Vec<Vec<u8>>,
    first: Option<rustls::CipherSuite>,
}

impl Tls {
    /// A client that trusts `ca` and offers h2 and http/1.1.
    #[must_use]
    pub fn trusting(ca: &Ca) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap()).unwrap();
        Self { roots, identity: None, alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()], first: None }
    }

    /// With a client certificate.
    #[must_use]
    pub fn identity(mut self, pair: &Pair) -> Self {
        self.identity = Some(pair.clone());
        self
    }

    /// With these ALPN protocols.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        self
    }

    /// Preferring this cipher suite.
    #[must_use]
    pub fn first(mut self, suite: rustls::CipherSuite) -> Self {
        self.first = Some(suite);
        self
    }

    /// Connects with this SNI.
    ///
    /// # Errors
    /// The handshake failed.
    pub async fn connect(&self, address: SocketAddr, sni: &str) -> Result<TlsStream<TcpStream>, Error> {
        let mut provider = rustls::crypto::ring::default_provider();
        provider.cipher_suites.sort_by_key(|suite| Some(suite.suite()) != self.first);
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.identity {
            Some(pair) => {
                let (chain, key) = pair.rustls();
                builder.with_client_auth_cert(chain, key)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(sni.to_owned())?;
        Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
    }

    /// GET with SNI and Host the same, over the version that ALPN gives.
    ///
    /// # Errors
    /// The handshake failed or no complete answer came.
    pub async fn get(&self, address: SocketAddr, host: &str, path: &str) -> Result<Answer, Error> {
        let stream = self.connect(address, host).await?;
        let version =
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") { Version::H2 } else { Version::H1 };
        send(stream, version, "https", "GET", host, path, &[], "").await
    }
}

/// Sends raw bytes and reads until the other side closes.
///
/// # Errors
/// The connection broke.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> Result<String, Error> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    // A reset after the answer is as good as an end.
    let _ = tokio::time::timeout(crate::wait::PATIENCE, stream.read_to_end(&mut answer)).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

//! Certificates and handshakes for tests.

use std::sync::Arc;

use portcullis_shared::sensitive::Sensitive;
use portcullis_shared::table::{Certificate, DownstreamTls, OcspPolicy, TlsVersion};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// A certificate authority.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    /// A new one; two of the same name have different keys.
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("ca"))
    }

    /// A certificate for these names, signed by this authority.
    pub(crate) fn issue(&self, names: &[&str]) -> Certificate {
        self.sign(params(names))
    }

    /// A certificate whose time is over.
    pub(crate) fn issue_expired(&self, names: &[&str]) -> Certificate {
        let mut params = params(names);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Certificate {
        let key = KeyPair::generate().expect("key");
        let leaf = params.signed_by(&key, &self.0).expect("certificate");
        certificate(vec![leaf.der().clone()], &key)
    }

    /// `certificate` with this authority as the one that peers are verified by.
    pub(crate) fn verifies(&self, certificate: Certificate) -> Certificate {
        Certificate { ca: vec![self.0.der().clone()], ..certificate }
    }

    /// This authority alone.
    pub(crate) fn alone(&self) -> Certificate {
        Certificate {
            name: "ns.ca".into(),
            chain: vec![],
            key: None,
            ca: vec![self.0.der().clone()],
            ocsp: None,
        }
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("params");
    params.distinguished_name.push(rcgen::DnType::CommonName, "Test, Client");
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "Portcullis");
    params.subject_alt_names = names.iter().map(|name| san(name)).collect();
    params
}

fn san(name: &str) -> SanType {
    match name.parse() {
        Ok(ip) => SanType::IpAddress(ip),
        Err(_) if name.contains("://") => SanType::URI(name.try_into().expect("uri")),
        Err(_) if name.contains('@') => SanType::Rfc822Name(name.try_into().expect("mail")),
        Err(_) => SanType::DnsName(name.try_into().expect("dns")),
    }
}

/// A certificate that signs itself.
pub(crate) fn self_signed(names: &[&str]) -> Certificate {
    let key = KeyPair::generate().expect("key");
    let leaf = params(names).self_signed(&key).expect("certificate");
    certificate(vec![leaf.der().clone()], &key)
}

fn certificate(chain: Vec<rustls::pki_types::CertificateDer<'static>>, key: &KeyPair) -> Certificate {
    let key = Some(Sensitive::new(key.serialize_der()));
    Certificate { name: "ns.leaf".into(), chain, key, ca: Vec::new(), ocsp: None }
}

/// Downstream TLS with nothing set.
pub(crate) fn downstream(certificate: &str) -> DownstreamTls {
    DownstreamTls {
        certificate: certificate.into(),
        require_client_certificate: false,
        verify_subject_alt_names: Vec::new(),
        min_version: TlsVersion::Auto,
        max_version: TlsVersion::Auto,
        cipher_suites: Vec::new(),
        curves: Vec::new(),
        alpn: Vec::new(),
        disable_session_resumption: false,
        handshake_timeout: None,
        ocsp_policy: OcspPolicy::Lenient,
    }
}

/// Both ends after a handshake and a byte in each direction, or the first error.
pub(crate) type Ends =
    (client::TlsStream<tokio::io::DuplexStream>, server::TlsStream<tokio::io::DuplexStream>);

/// Shakes hands over a pipe. With TLS 1.3 a client's certificate is refused only after its side is done, so a byte
/// goes each way.
pub(crate) async fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: ServerName<'static>,
) -> std::io::Result<Ends> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let connect = async {
        let mut stream = TlsConnector::from(Arc::clone(client)).connect(name, near).await?;
        stream.write_all(b"x").await?;
        stream.flush().await?;
        stream.read_exact(&mut [0]).await?;
        Ok::<_, std::io::Error>(stream)
    };
    let accept = async {
        let mut stream = TlsAcceptor::from(Arc::clone(server)).accept(far).await?;
        stream.read_exact(&mut [0]).await?;
        stream.write_all(b"y").await?;
        stream.flush().await?;
        Ok(stream)
    };
    tokio::try_join!(connect, accept)
}

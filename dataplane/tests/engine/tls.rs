//! TLS on either side.

use std::sync::Arc;

use bytes::Bytes;
use portcullis_proto::link::v1::upsert::Resource;
use portcullis_proto::table::v1 as proto;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::gateway::{endpoint, to};
use crate::wire::status;
use crate::{Gateway, Peer, Table, Wire};

struct Ca {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Ca { certificate, issuer: rcgen::Issuer::new(params, key) }
    }

    fn server(&self, name: &str, alpn: &[&str]) -> Arc<rustls::ServerConfig> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf =
            rcgen::CertificateParams::new(vec![name.into()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![leaf.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config =
            rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    fn client(&self, alpn: &[&str]) -> tokio_rustls::TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config).into()
    }

    fn resource(&self, name: &str) -> Resource {
        Resource::Certificate(proto::Certificate {
            name: name.into(),
            ca_der: vec![self.certificate.der().to_vec().into()],
            ..Default::default()
        })
    }
}

/// An HTTPS upstream that answers every request by its name; says which server name it was asked for.
async fn upstream(config: Arc<rustls::ServerConfig>, body: &'static str) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(config.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                let sni = stream.get_ref().1.server_name().unwrap_or("-").to_owned();
                let mut buf = [0; 4096];
                while matches!(stream.read(&mut buf).await, Ok(1..)) {
                    let text = format!("{body} {sni}");
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    address
}

fn tls_upstream(name: &str, address: std::net::SocketAddr, tls: proto::UpstreamTls) -> proto::Upstream {
    proto::Upstream {
        name: name.into(),
        endpoints: vec![endpoint(address)],
        tls: Some(tls),
        ..Default::default()
    }
}

#[tokio::test]
async fn clients_speak_http1_and_http2_over_tls() {
    let ca = Ca::new();
    let mut table = Table::to(Peer::always("ok").await);
    table.tls = Some(ca.server("a.test", &["h2", "http/1.1"]));
    let gateway = Gateway::start(table).await;
    let name = ServerName::try_from("a.test").unwrap();

    let tcp = TcpStream::connect(gateway.address).await.unwrap();
    let mut stream = ca.client(&["http/1.1"]).connect(name.clone(), tcp).await.unwrap();
    for _ in 0..2 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok") {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
    let tcp = TcpStream::connect(gateway.address).await.unwrap();
    let stream = ca.client(&["h2"]).connect(name, tcp).await.unwrap();
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut send: h2::client::SendRequest<Bytes> = send.ready().await.unwrap();
    let request = http::Request::builder().uri("https://a.test/").body(()).unwrap();
    let mut response = send.send_request(request, true).unwrap().0.await.unwrap();
    assert_eq!(response.body_mut().data().await.unwrap().unwrap(), "ok");
    let lines = gateway.lines(3).await;
    assert_eq!((lines[0]["scheme"].as_str(), lines[0]["tls"].as_str()), (Some("https"), Some("TLSv1.3")));
    assert_eq!(lines[2]["protocol"], "HTTP/2");
}

#[tokio::test]
async fn an_upstream_is_verified_by_the_ca_that_its_resource_names() {
    let (ca, other) = (Ca::new(), Ca::new());
    let address = upstream(ca.server("up.test", &[]), "hello").await;
    let verified = |by: &str| proto::UpstreamTls {
        sni: "up.test".into(),
        ca_certificate: by.into(),
        ..Default::default()
    };
    let mut table = Table::default()
        .add_upstream(tls_upstream("good", address, verified("ca")))
        .add_upstream(tls_upstream("bad", address, verified("other")))
        .add_upstream(tls_upstream(
            "any",
            address,
            proto::UpstreamTls { sni: "x.test".into(), ..Default::default() },
        ))
        .route("/good", to("good"), &[])
        .route("/bad", to("bad"), &[])
        .route("/any", to("any"), &[]);
    table.resources.extend([ca.resource("ca"), other.resource("other")]);
    let gateway = Gateway::start(table).await;
    let mut client = Wire::connect(gateway.address).await;
    assert_eq!(client.ask("GET /good HTTP/1.1\r\nHost: h\r\n\r\n").await.1, "hello up.test");
    // The connection that another CA verified is of no use here.
    let (head, _) = client.ask("GET /bad HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(status(&head), 503);
    assert_eq!(client.ask("GET /any HTTP/1.1\r\nHost: h\r\n\r\n").await.1, "hello x.test");
    let line = &gateway.lines(3).await[1];
    assert_eq!(line["reason"], "connect_failed");
    assert!(line["detail"].as_str().unwrap().starts_with("TLS: "), "{line}");
}

#[tokio::test]
async fn an_http2_upstream_is_spoken_to_over_tls() {
    let ca = Ca::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = ca.server("up.test", &["h2"]);
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let stream = tokio_rustls::TlsAcceptor::from(config).accept(tcp).await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let mut out = respond.send_response(http::Response::new(()), false).unwrap();
            out.send_data(Bytes::from(request.uri().to_string()), true).unwrap();
        }
    });
    let tls = proto::UpstreamTls { sni: "up.test".into(), ca_certificate: "ca".into(), ..Default::default() };
    let upstream = proto::Upstream { http2: true, ..tls_upstream("up", address, tls) };
    let mut table = Table::default().add_upstream(upstream).route("/", to("up"), &[]);
    table.resources.push(ca.resource("ca"));
    let gateway = Gateway::start(table).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.chunked().await, b"https://h/x");
}

//! Termination: certificates by SNI, client certificates, hot swap, isolation of what is broken.

use std::time::Duration;

use portcullis_tests::client::{self, Tls, Version};
use portcullis_tests::gateway::Gateway;
use portcullis_tests::pki::Ca;
use portcullis_tests::wait::until;
use rustls::CipherSuite;
use rustls::pki_types::CertificateDer;

use crate::{forward, two_versions};

fn secure(name: &str, ssl: &str, upstream: &str) -> String {
    format!(
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: gloo-system}}\n\
         spec:\n  sslConfig: {ssl}\n  virtualHost:\n    domains: ['{name}.test']\n    routes:\n{}",
        forward("/", upstream)
    )
}

fn by_secret(name: &str) -> String {
    format!("{{secretRef: {{name: {name}, namespace: gloo-system}}, sniDomains: ['{name}.test']}}")
}

/// The certificate that the gateway shows for an SNI.
async fn shown(gateway: &Gateway, ca: &Ca, sni: &str) -> Option<CertificateDer<'static>> {
    let stream = Tls::trusting(ca).connect(gateway.https(), sni).await.ok()?;
    stream.get_ref().1.peer_certificates()?.first().cloned().map(CertificateDer::into_owned)
}

#[tokio::test]
async fn certificates_are_chosen_by_sni_and_h2_by_alpn() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    let ca = Ca::new("test");
    for (name, upstream) in [("one", "v1"), ("two", "v2")] {
        let pair = ca.issue(&[&format!("{name}.test")]);
        gateway.write(&format!("{name}-secret.yaml"), &pair.secret(name, None));
        gateway.write(&format!("{name}.yaml"), &secure(name, &by_secret(name), upstream));
    }
    let gateway = gateway.start().await;
    let tls = Tls::trusting(&ca);
    until("TLS", async || tls.get(gateway.https(), "one.test", "/").await.ok()).await;
    for (name, upstream) in [("one.test", "v1"), ("two.test", "v2")] {
        assert_eq!(tls.get(gateway.https(), name, "/").await.unwrap().served_by(), upstream);
        let h1 = tls.clone().alpn(&["http/1.1"]).get(gateway.https(), name, "/").await.unwrap();
        assert_eq!(h1.served_by(), upstream);
    }
    let stream = tls.connect(gateway.https(), "one.test").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    // As in Gloo, every virtual host of an SSL gateway answers on every chain.
    let crossed = client::send(stream, Version::H2, "https", "GET", "two.test", "/", &[], "").await.unwrap();
    assert_eq!(crossed.served_by(), "v2");
    assert!(tls.connect(gateway.https(), "three.test").await.is_err(), "no chain fits: closed");
}

#[tokio::test]
async fn a_changed_secret_or_file_is_shown_without_a_restart() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    let ca = Ca::new("test");
    gateway.write("one-secret.yaml", &ca.issue(&["one.test"]).secret("one", None));
    gateway.write("one.yaml", &secure("one", &by_secret("one"), "v1"));
    let files = tempfile::TempDir::new().unwrap();
    let (certificate, key) = ca.issue(&["two.test"]).write(files.path(), "two");
    let ssl = format!(
        "{{sslFiles: {{tlsCert: {}, tlsKey: {}}}, sniDomains: [two.test]}}",
        certificate.display(),
        key.display()
    );
    gateway.write("two.yaml", &secure("two", &ssl, "v2"));
    let gateway = gateway.start().await;
    let first_one = until("one", async || shown(&gateway, &ca, "one.test").await).await;
    let first_two = until("two", async || shown(&gateway, &ca, "two.test").await).await;

    gateway.write("one-secret.yaml", &ca.issue(&["one.test"]).secret("one", None));
    until("the new secret", async || shown(&gateway, &ca, "one.test").await.filter(|now| *now != first_one))
        .await;
    assert_eq!(
        shown(&gateway, &ca, "two.test").await,
        Some(first_two.clone()),
        "the other one is left alone"
    );

    let _ = ca.issue(&["two.test"]).write(files.path(), "two");
    until("the new file", async || shown(&gateway, &ca, "two.test").await.filter(|now| *now != first_two))
        .await;
}

#[tokio::test]
async fn a_ca_in_the_secret_demands_client_certificates_unless_one_way() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    let (ca, clients) = (Ca::new("servers"), Ca::new("clients"));
    gateway.write("one-secret.yaml", &ca.issue(&["one.test"]).secret("one", Some(&clients)));
    gateway.write("one.yaml", &secure("one", &by_secret("one"), "v1"));
    gateway.write("two-secret.yaml", &ca.issue(&["two.test"]).secret("two", Some(&clients)));
    let one_way = by_secret("two").replace("sniDomains", "oneWayTls: true, sniDomains");
    gateway.write("two.yaml", &secure("two", &one_way, "v2"));
    gateway.write("three-secret.yaml", &ca.issue(&["three.test"]).secret("three", Some(&clients)));
    let named = by_secret("three").replace("sniDomains", "verifySubjectAltName: [alice.test], sniDomains");
    gateway.write("three.yaml", &secure("three", &named, "v1"));
    let gateway = gateway.start().await;
    let tls = Tls::trusting(&ca);
    let get = |tls: Tls, name: &'static str| {
        let address = gateway.https();
        async move { tls.get(address, name, "/").await.map(|answer| answer.status) }
    };
    until("TLS", async || get(tls.clone(), "two.test").await.ok()).await;
    let (alice, bob) = (clients.issue(&["alice.test"]), clients.issue(&["bob.test"]));
    let stranger = Ca::new("strangers").issue(&["alice.test"]);

    assert_eq!(get(tls.clone(), "two.test").await.unwrap(), 200, "one way");
    assert!(get(tls.clone(), "one.test").await.is_err(), "no certificate");
    assert!(get(tls.clone().identity(&stranger), "one.test").await.is_err(), "a stranger's");
    assert_eq!(get(tls.clone().identity(&bob), "one.test").await.unwrap(), 200);
    assert_eq!(get(tls.clone().identity(&alice), "three.test").await.unwrap(), 200);
    assert!(get(tls.clone().identity(&bob), "three.test").await.is_err(), "the name is not listed");
}

#[tokio::test]
async fn a_broken_certificate_is_an_error_of_its_own_virtual_service_only() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    let ca = Ca::new("test");
    gateway.write("one-secret.yaml", &ca.issue(&["one.test"]).secret("one", None));
    gateway.write("one.yaml", &secure("one", &by_secret("one"), "v1"));
    // The key of another certificate.
    let mut mixed = ca.issue(&["two.test"]);
    mixed.key = ca.issue(&["other.test"]).key;
    gateway.write("two-secret.yaml", &mixed.secret("two", None));
    gateway.write("two.yaml", &secure("two", &by_secret("two"), "v2"));
    let gateway = gateway.start().await;
    let tls = Tls::trusting(&ca);
    let answer = until("one", async || tls.get(gateway.https(), "one.test", "/").await.ok()).await;
    assert_eq!(answer.status, 200);
    assert!(tls.connect(gateway.https(), "two.test").await.is_err());
    let shown = gateway.portcullis(&["get", "vs", "-o", "wide"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let line = |name: &str| shown.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned();
    assert!(line("two").contains("Rejected") && line("two").contains("not a valid TLS secret"), "{shown}");
    assert!(line("one").contains("Accepted"), "{shown}");
    assert!(!shown.contains("PRIVATE KEY") && !gateway.log().contains("PRIVATE KEY"));

    gateway.write("two-secret.yaml", &ca.issue(&["two.test"]).secret("two", None));
    until("two, mended", async || tls.get(gateway.https(), "two.test", "/").await.ok()).await;
}

#[tokio::test]
async fn isolation_ties_hosts_to_their_certificate() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    gateway.write(
        "settings.yaml",
        "apiVersion: gloo.solo.io/v1\nkind: Settings\nmetadata: {name: default, namespace: gloo-system}\n\
         spec: {gateway: {isolateVirtualHostsBySslConfig: true}}\n",
    );
    let ca = Ca::new("test");
    for (name, upstream) in [("one", "v1"), ("two", "v2")] {
        gateway
            .write(&format!("{name}-secret.yaml"), &ca.issue(&[&format!("{name}.test")]).secret(name, None));
        gateway.write(&format!("{name}.yaml"), &secure(name, &by_secret(name), upstream));
    }
    let gateway = gateway.start().await;
    let tls = Tls::trusting(&ca);
    until("TLS", async || tls.get(gateway.https(), "one.test", "/").await.ok()).await;
    let stream = tls.connect(gateway.https(), "one.test").await.unwrap();
    let crossed = client::send(stream, Version::H2, "https", "GET", "two.test", "/", &[], "").await.unwrap();
    assert!(matches!(crossed.status, 404 | 421), "{}", crossed.status);
}

#[tokio::test]
async fn clients_without_aes_instructions_get_chacha_and_the_others_the_cheapest_suite() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    let ca = Ca::new("test");
    gateway.write("secret.yaml", &ca.issue(&["one.test"]).secret("one", None));
    gateway.write("one.yaml", &secure("one", &by_secret("one"), "v1"));
    let gateway = gateway.start().await;
    let tls = Tls::trusting(&ca);
    until("TLS", async || tls.get(gateway.https(), "one.test", "/").await.ok()).await;
    for (first, settled) in [
        (CipherSuite::TLS13_AES_256_GCM_SHA384, CipherSuite::TLS13_AES_128_GCM_SHA256),
        (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
    ] {
        let stream = tls.clone().first(first).connect(gateway.https(), "one.test").await.unwrap();
        assert_eq!(stream.get_ref().1.negotiated_cipher_suite().unwrap().suite(), settled);
    }
}

#[tokio::test]
async fn an_upstream_with_a_ca_is_verified_and_never_shares_connections_with_another_ca() {
    use http::Response;
    let gateway = Gateway::new();
    let (right, wrong) = (Ca::new("right"), Ca::new("wrong"));
    let pair = right.issue(&["backend.test"]);
    // A TLS server on a port of the gateway's address.
    let (chain, key) = pair.rustls();
    let mut config = rustls::ServerConfig::builder_with_provider(std::sync::Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(chain, key)
    .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind((gateway.ip, 0)).await.unwrap();
    let backend = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = hyper::service::service_fn(|_| async {
                    Ok::<_, std::convert::Infallible>(Response::new(portcullis_tests::backend::body(
                        "secure",
                    )))
                });
                let io = hyper_util::rt::TokioIo::new(stream);
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
            });
        }
    });
    let mut resources = String::new();
    let mut routes = String::new();
    for (name, ca) in [("right", Some(&right)), ("wrong", Some(&wrong)), ("unverified", None)] {
        let ssl = match ca {
            Some(ca) => {
                let path = gateway.data.path().join(format!("{name}.ca"));
                std::fs::write(&path, ca.pem()).unwrap();
                format!("  sslConfig: {{sni: backend.test, sslFiles: {{rootCa: {}}}}}\n", path.display())
            }
            None => "  sslConfig: {sni: backend.test}\n".to_owned(),
        };
        resources.push_str(&portcullis_tests::backend::upstream(name, backend, &ssl));
        routes.push_str(&forward(&format!("/{name}"), name));
    }
    gateway.write("upstreams.yaml", &resources);
    gateway.write("vs.yaml", &crate::virtual_service("secure", "['*']", &routes));
    let gateway = gateway.start().await;
    // Alternating, so that a pooled connection of the right CA is there when the wrong one is asked.
    for _ in 0..3 {
        assert_eq!(gateway.get("x.test", "/right").await.text(), "secure");
        assert_eq!(gateway.get("x.test", "/unverified").await.text(), "secure");
        assert_eq!(gateway.get("x.test", "/wrong").await.status, 503);
    }
    tokio::time::timeout(Duration::from_secs(10), gateway.get("x.test", "/right")).await.unwrap();
}

#[tokio::test]
async fn who_asks_for_client_certificates_is_not_reached_over_another_chain() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    let (ca, clients) = (Ca::new("servers"), Ca::new("clients"));
    gateway.write("one-secret.yaml", &ca.issue(&["one.test"]).secret("one", Some(&clients)));
    gateway.write("one.yaml", &secure("one", &by_secret("one"), "v1"));
    gateway.write("two-secret.yaml", &ca.issue(&["two.test"]).secret("two", None));
    gateway.write("two.yaml", &secure("two", &by_secret("two"), "v2"));
    let gateway = gateway.start().await;
    let tls = Tls::trusting(&ca);
    until("TLS", async || tls.get(gateway.https(), "two.test", "/").await.ok()).await;
    let send = async |tls: &Tls, sni: &str, version, alpn: &str, host: &str| {
        let stream = tls.clone().alpn(&[alpn]).connect(gateway.https(), sni).await.unwrap();
        client::send(stream, version, "https", "GET", host, "/", &[], "").await.unwrap().status
    };
    for (version, alpn) in [(Version::H1, "http/1.1"), (Version::H2, "h2")] {
        assert_eq!(send(&tls, "two.test", version, alpn, "one.test").await, 421);
        let alice = tls.clone().identity(&clients.issue(&["alice.test"]));
        assert_eq!(send(&alice, "one.test", version, alpn, "one.test").await, 200);
        // The other way round nothing is lost.
        assert_eq!(send(&alice, "one.test", version, alpn, "two.test").await, 200);
    }
    until("the log", async || gateway.log().contains("misdirected_request").then_some(())).await;
}

#[tokio::test]
async fn upstreams_learn_which_certificate_the_client_was_shown() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    let (ca, clients) = (Ca::new("servers"), Ca::new("clients"));
    let server = ca.issue(&["one.test", "spiffe://one/gateway"]);
    gateway.write("one-secret.yaml", &server.secret("one", Some(&clients)));
    gateway.write("one.yaml", &secure("one", &by_secret("one"), "v1"));
    let options = "httpGateway: {options: {httpConnectionManagerSettings: {forwardClientCertDetails: SANITIZE_SET, \
                   setCurrentClientCertDetails: {uri: true}}}}";
    gateway.write("gateways.yaml", &gateway.listeners().replace("httpGateway: {}", options));
    let gateway = gateway.start().await;
    let alice = Tls::trusting(&ca).identity(&clients.issue(&["spiffe://one/alice"]));
    let answer = until("TLS", async || alice.get(gateway.https(), "one.test", "/").await.ok()).await;
    let said = answer.json()["headers"]["x-forwarded-client-cert"].as_str().unwrap_or_default().to_owned();
    assert!(said.starts_with("By=spiffe://one/gateway;Hash="), "{said}");
    assert!(said.ends_with(";URI=spiffe://one/alice"), "{said}");
}

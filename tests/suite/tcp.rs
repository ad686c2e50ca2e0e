//! TCP gateways: what is passed on as it is, and what TLS is taken off before.

use std::net::SocketAddr;

use portcullis_tests::backend;
use portcullis_tests::client::Tls;
use portcullis_tests::gateway::Gateway;
use portcullis_tests::peer::acceptor;
use portcullis_tests::pki::{Ca, Pair};
use portcullis_tests::wait::{PATIENCE, until};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A server that hears everything, then answers with its name and what it heard; over TLS with `pair`.
pub async fn server(gateway: &Gateway, name: &'static str, pair: Option<Pair>) -> SocketAddr {
    let listener = TcpListener::bind((gateway.ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = pair.as_ref().map(acceptor);
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                match acceptor {
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(tcp).await {
                            answer(stream, name).await;
                        }
                    }
                    None => answer(tcp, name).await,
                }
            });
        }
    });
    address
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, name: &str) {
    let mut heard = String::new();
    if stream.read_to_string(&mut heard).await.is_ok() {
        let _ = stream.write_all(format!("{name} heard {heard}").as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

/// Says something and that it was all; what is answered.
pub async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, say: &str) -> Option<String> {
    stream.write_all(say.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()?;
    let mut heard = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut heard)).await.expect("no end").ok()?;
    (!heard.is_empty()).then_some(heard)
}

pub async fn over_tls(at: SocketAddr, ca: &Ca, name: &str) -> Option<String> {
    ask(Tls::trusting(ca).alpn(&[]).connect(at, name).await.ok()?, "hello").await
}

async fn plain(at: SocketAddr) -> Option<String> {
    ask(TcpStream::connect(at).await.ok()?, "hello").await
}

fn gateway_resource(gateway: &Gateway, port: u16, spec: &str) -> String {
    format!(
        "apiVersion: gateway.solo.io/v1\nkind: Gateway\nmetadata: {{name: tcp, namespace: gloo-system}}\n\
         spec:\n  bindAddress: {}\n  bindPort: {port}\n{spec}",
        gateway.ip
    )
}

const HOSTS: &str = "  tcpGateway:
    tcpHosts:
    - name: passed-on
      sslConfig: {sniDomains: [own.test]}
      destination: {single: {upstream: {name: own, namespace: gloo-system}}}
    - name: ends-here
      sslConfig: {secretRef: {name: ends, namespace: gloo-system}, sniDomains: [ends.test]}
      destination: {single: {upstream: {name: again, namespace: gloo-system}}}
    - name: the-rest
      destination:
        multi: {destinations: [{weight: 1, destination: {upstream: {name: bare, namespace: gloo-system}}}]}
";

#[tokio::test]
async fn connections_are_passed_on_by_server_name_with_and_without_tls_on_either_side() {
    let gateway = Gateway::new();
    let ca = Ca::new("test");
    let at: SocketAddr = (gateway.ip, 9443).into();
    let own = server(&gateway, "own", Some(ca.issue(&["own.test"]))).await;
    let again = server(&gateway, "again", Some(ca.issue(&["inside.test"]))).await;
    let bare = server(&gateway, "bare", None).await;
    let authority = gateway.data.path().join("ca.pem");
    std::fs::write(&authority, ca.pem()).unwrap();
    let tls = format!("  sslConfig: {{sni: inside.test, sslFiles: {{rootCa: {}}}}}\n", authority.display());
    let upstreams = backend::upstream("own", own, "")
        + &backend::upstream("again", again, &tls)
        + &backend::upstream("bare", bare, "");
    gateway.write("upstreams.yaml", &upstreams);
    gateway.write("secret.yaml", &ca.issue(&["ends.test"]).secret("ends", None));
    gateway.write("tcp.yaml", &gateway_resource(&gateway, 9443, HOSTS));
    let gateway = gateway.start().await;
    let answer = until("the TCP port", async || plain(at).await).await;
    assert_eq!(answer, "bare heard hello");
    assert_eq!(over_tls(at, &ca, "own.test").await.as_deref(), Some("own heard hello"));
    assert_eq!(over_tls(at, &ca, "ends.test").await.as_deref(), Some("again heard hello"));
    let shown = gateway.portcullis(&["get", "gateways"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.lines().any(|line| line.contains("tcp") && line.contains("Accepted")), "{shown}");

    // An upstream that goes closes its connections, and nobody else's.
    gateway
        .write("upstreams.yaml", &(backend::upstream("own", own, "") + &backend::upstream("bare", bare, "")));
    until("the upstream to be gone", async || over_tls(at, &ca, "ends.test").await.is_none().then_some(()))
        .await;
    assert_eq!(over_tls(at, &ca, "own.test").await.as_deref(), Some("own heard hello"));
    // A mistake keeps the last accepted form.
    let wrong = HOSTS.replace("sniDomains: [ends.test]", "sniDomains: [own.test]");
    gateway.write("tcp.yaml", &gateway_resource(&gateway, 9443, &wrong));
    let told = async || {
        let shown = gateway.portcullis(&["get", "gateways", "-o", "wide"]).await;
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        shown.contains("tcpHosts[1].sslConfig.sniDomains").then_some(())
    };
    until("the mistake to be told", told).await;
    assert_eq!(plain(at).await.as_deref(), Some("bare heard hello"));
    assert_eq!(over_tls(at, &ca, "own.test").await.as_deref(), Some("own heard hello"));
}

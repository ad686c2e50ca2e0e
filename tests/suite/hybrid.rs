//! Hybrid gateways: several on one port, of which each connection gets one.

use std::net::{Ipv4Addr, SocketAddr};

use portcullis_tests::backend;
use portcullis_tests::client::{self, Answer, Tls, Version};
use portcullis_tests::gateway::Gateway;
use portcullis_tests::pki::Ca;
use portcullis_tests::wait::until;
use tokio::net::{TcpSocket, TcpStream};

use super::tcp::{ask, over_tls, server};

const PORT: u16 = 9444;

/// A connection of a client at `from`.
async fn connect_from(from: Ipv4Addr, at: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind((from, 0).into()).ok()?;
    socket.connect(at).await.ok()
}

/// A GET with plain HTTP from there.
async fn get_from(from: Ipv4Addr, at: SocketAddr, host: &str, path: &str) -> Option<Answer> {
    let stream = connect_from(from, at).await?;
    client::send(stream, Version::H1, "http", "GET", host, path, &[], "").await.ok()
}

/// A VirtualService whose requests are answered with its name.
fn service(name: &str, domain: &str, further: &str) -> String {
    format!(
        "---\napiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: gloo-system}}\n\
         spec:\n  virtualHost: {{domains: ['{domain}'], routes: [{{directResponseAction: {{status: 200, body: {name}}}}}]}}\n{further}"
    )
}

fn hybrid(gateway: &Gateway, spec: &str) -> String {
    format!(
        "apiVersion: gateway.solo.io/v1\nkind: Gateway\nmetadata: {{name: hybrid, namespace: gloo-system}}\n\
         spec:\n  bindAddress: {}\n  bindPort: {PORT}\n  hybridGateway:\n{spec}",
        gateway.ip
    )
}

const MATCHED: &str = "    matchedGateways:
    - matcher: {sslConfig: {secretRef: {name: shop, namespace: gloo-system}}}
      httpGateway:
        virtualServices: [{name: shop, namespace: gloo-system}]
        options: {httpConnectionManagerSettings: {serverName: tls}}
    - matcher: {sslConfig: {sniDomains: [own.test, ends.test]}}
      tcpGateway:
        tcpHosts:
        - name: passed-on
          sslConfig: {sniDomains: [own.test]}
          destination: {single: {upstream: {name: own, namespace: gloo-system}}}
        - name: ends-here
          sslConfig: {secretRef: {name: ends, namespace: gloo-system}, sniDomains: [ends.test]}
          destination: {single: {upstream: {name: bare, namespace: gloo-system}}}
    - matcher: {sourcePrefixRanges: [{addressPrefix: 127.200.0.0, prefixLen: 16}, {addressPrefix: 'fd00::', prefixLen: 8}]}
      httpGateway:
        virtualServices: [{name: inner, namespace: gloo-system}]
        options: {httpConnectionManagerSettings: {serverName: inner}}
    - matcher: {sourcePrefixRanges: [{addressPrefix: '::ffff:127.200.7.0', prefixLen: 120}]}
      tcpGateway:
        tcpHosts: [{name: raw, destination: {single: {upstream: {name: bare, namespace: gloo-system}}}}]
    - matcher: {}
      httpGateway:
        virtualServices: [{name: outer, namespace: gloo-system}]
";

#[tokio::test]
async fn one_port_serves_http_tls_and_tcp_by_server_name_and_by_address() {
    let gateway = Gateway::new();
    let ca = Ca::new("test");
    let at: SocketAddr = (gateway.ip, PORT).into();
    let own = server(&gateway, "own", Some(ca.issue(&["own.test"]))).await;
    let bare = server(&gateway, "bare", None).await;
    gateway
        .write("upstreams.yaml", &(backend::upstream("own", own, "") + &backend::upstream("bare", bare, "")));
    let secret = |name: &str| ca.issue(&[&format!("{name}.test")]).secret(name, None);
    gateway.write("secrets.yaml", &(secret("shop") + "---\n" + &secret("ends")));
    // Its own sslConfig has nothing but a name: the rest is the matcher's.
    let services = service("shop", "*", "  sslConfig: {sniDomains: [shop.test]}\n")
        + &service("inner", "inner.test", "")
        + &service("outer", "*", "");
    gateway.write("services.yaml", &services);
    gateway.write("gateways.yaml", &hybrid(&gateway, MATCHED));
    let gateway = gateway.start().await;

    let (inside, narrow, outside) =
        (Ipv4Addr::new(127, 200, 1, 1), Ipv4Addr::new(127, 200, 7, 1), Ipv4Addr::new(127, 0, 0, 1));
    let outer = until("the port", async || get_from(outside, at, "any.test", "/").await).await;
    assert_eq!((outer.status, outer.text().as_str(), outer.header("server")), (200, "outer", "portcullis"));
    let inner = get_from(inside, at, "inner.test", "/").await.unwrap();
    assert_eq!((inner.text().as_str(), inner.header("server")), ("inner", "inner"));
    // Whoever takes the connection owns it: what it does not serve is served by nobody.
    assert_eq!(get_from(inside, at, "any.test", "/").await.unwrap().status, 404);
    // A narrower network comes before the wider one, whatever the order.
    let raw = ask(connect_from(narrow, at).await.unwrap(), "hello").await;
    assert_eq!(raw.as_deref(), Some("bare heard hello"));

    let shop = Tls::trusting(&ca).get(at, "shop.test", "/").await.unwrap();
    assert_eq!((shop.text().as_str(), shop.header("server")), ("shop", "tls"));
    assert_eq!(over_tls(at, &ca, "own.test").await.as_deref(), Some("own heard hello"));
    assert_eq!(over_tls(at, &ca, "ends.test").await.as_deref(), Some("bare heard hello"));

    let explained = gateway
        .portcullis(&[
            "explain",
            &format!("http://inner.test:{PORT}/"),
            "-H",
            "host: inner.test",
            "--from",
            "127.200.1.1",
        ])
        .await;
    let shown = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(shown.contains("spec.hybridGateway.matchedGateways[2]"), "{shown}");
    assert!(shown.contains("clients from 127.200.0.0/16") && shown.contains("server inner"), "{shown}");
    let explained =
        gateway.portcullis(&["explain", &format!("tcp://own.test:{PORT}"), "--sni", "own.test"]).await;
    let shown = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(shown.contains("TCP host passed-on") && shown.contains("own_gloo-system"), "{shown}");
}

const DELEGATED: &str = "    delegatedHttpGateways:
      selector: {labels: {port: shared}}
      httpConnectionManagerSettings: {serverName: parent, via: parent}
    delegatedTcpGateways: {ref: {name: raw, namespace: gloo-system}}
";

fn part(settings: &str) -> String {
    format!(
        "apiVersion: gateway.solo.io/v1\nkind: MatchableHttpGateway\n\
         metadata: {{name: web, namespace: gloo-system, labels: {{port: shared}}}}\n\
         spec:\n  matcher: {{}}\n  httpGateway:\n    virtualServices: [{{name: outer, namespace: gloo-system}}]\n    \
         options: {{httpConnectionManagerSettings: {settings}}}\n"
    )
}

#[tokio::test]
async fn a_part_changes_under_traffic_and_a_broken_one_keeps_its_last_form() {
    let gateway = Gateway::new();
    let ca = Ca::new("test");
    let at: SocketAddr = (gateway.ip, PORT).into();
    let own = server(&gateway, "own", Some(ca.issue(&["own.test"]))).await;
    gateway.write("upstreams.yaml", &backend::upstream("own", own, ""));
    gateway.write("services.yaml", &service("outer", "*", ""));
    gateway.write("gateways.yaml", &hybrid(&gateway, DELEGATED));
    gateway.write("web.yaml", &part("{via: child}"));
    gateway.write(
        "tcpgateways/gloo-system/raw.yaml",
        "matcher: {ssl_config: {sni_domains: [own.test]}}\n\
         tcp_gateway: {tcp_hosts: [{name: own, destination: {single: {upstream: {name: own, namespace: gloo-system}}}}]}\n",
    );
    let gateway = gateway.start().await;
    let get = async || client::get(at, "/").await;
    let first = until("the port", async || get().await.ok()).await;
    assert_eq!((first.header("server"), first.header("via")), ("parent", "child"));
    assert_eq!(over_tls(at, &ca, "own.test").await.as_deref(), Some("own heard hello"));

    // Every request is answered while the part changes.
    gateway.write("web.yaml", &part("{serverName: changed}"));
    let changed = until("the change", async || {
        let answer = get().await.expect("no request is lost");
        assert_eq!(answer.status, 200);
        (answer.header("server") == "changed").then_some(answer)
    })
    .await;
    assert_eq!(changed.header("via"), "parent", "what the part does not say any more");

    let shown = async |kind: &str| {
        let shown = gateway.portcullis(&["get", kind, "-o", "wide"]).await;
        String::from_utf8_lossy(&shown.stdout).into_owned()
    };
    until("the worker to have it", async || shown("hgw").await.contains("1/1 workers").then_some(())).await;
    gateway.write("web.yaml", &part("{serverName: broken, maxHeadersCount: 0}"));
    let told = until("the mistake to be told", async || {
        Some(shown("httpgateways").await).filter(|it| it.contains("maxHeadersCount"))
    })
    .await;
    assert!(told.contains("Rejected") && told.contains("last accepted form in use"), "{told}");
    assert_eq!(get().await.unwrap().header("server"), "changed");
    assert!(shown("gw").await.contains("Accepted"), "its gateway has no mistake");
    assert!(shown("tgw").await.contains("raw"));

    gateway.write("web.yaml", &part("{serverName: mended}"));
    until("the mended part", async || get().await.ok().filter(|it| it.header("server") == "mended")).await;
}

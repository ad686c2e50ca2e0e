//! What Upstreams say about their connections: whom they are for, what they go through, where they end.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Response;
use portcullis_tests::backend::{self, body, scripted};
use portcullis_tests::client::{self, Version};
use portcullis_tests::gateway::Gateway;
use portcullis_tests::peer::{connect_proxy, on_pipe, proxied};
use portcullis_tests::pki::Ca;
use portcullis_tests::wait::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{forward, virtual_service};

/// One GET on a connection that stays.
async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    let mut heard = Vec::new();
    loop {
        assert!(stream.read_buf(&mut heard).await.unwrap() > 0, "{}", String::from_utf8_lossy(&heard));
        let text = String::from_utf8_lossy(&heard).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            return body.to_owned();
        }
    }
}

#[tokio::test]
async fn the_proxy_protocol_tells_an_upstream_who_each_client_is() {
    let gateway = Gateway::new();
    let server = proxied(gateway.ip).await;
    let upstreams = backend::upstream("one", server.address, "  proxyProtocolVersion: V1\n")
        + &backend::upstream("two", server.address, "  proxyProtocolVersion: V2\n");
    gateway.write("upstreams.yaml", &upstreams);
    gateway.write("one.yaml", &virtual_service("one", "[a.test]", &forward("/", "one")));
    gateway.write("two.yaml", &virtual_service("two", "[b.test]", &forward("/", "two")));
    let tcp = format!(
        "apiVersion: gateway.solo.io/v1\nkind: Gateway\nmetadata: {{name: tcp, namespace: gloo-system}}\nspec:\n  \
         bindAddress: {}\n  bindPort: 9000\n  tcpGateway:\n    tcpHosts:\n    - name: all\n      \
         destination: {{single: {{upstream: {{name: two, namespace: gloo-system}}}}}}\n",
        gateway.ip
    );
    gateway.write("tcp.yaml", &tcp);
    let gateway = gateway.start().await;
    let mut seen = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = TcpStream::connect(gateway.http()).await.unwrap();
        let said = ask(&mut client).await;
        let wanted = format!("v1 {} {} #", client.local_addr().unwrap(), gateway.http());
        assert!(said.starts_with(&wanted), "{said}, not {wanted}");
        assert_eq!(ask(&mut client).await, said, "its next request goes over the same connection");
        seen.push(said);
        clients.push(client);
    }
    assert_ne!(seen[0], seen[1]);
    let said = gateway.get("b.test", "/").await.text();
    assert!(said.starts_with("v2 ") && said.contains(&gateway.http().to_string()), "{said}");
    // A TCP gateway tells the same.
    let at = SocketAddr::from((gateway.ip, 9000));
    let mut client = until("the TCP port", async || TcpStream::connect(at).await.ok()).await;
    let wanted = format!("v2 {} {at} #", client.local_addr().unwrap());
    let said = ask(&mut client).await;
    assert!(said.starts_with(&wanted), "{said}, not {wanted}");
}

#[tokio::test]
async fn an_upstream_behind_an_http_proxy_is_reached_through_it() {
    let gateway = Gateway::new();
    let ca = Ca::new("inside");
    let listener = TcpListener::bind((gateway.ip, 0)).await.unwrap();
    let target = listener.local_addr().unwrap();
    let acceptor = portcullis_tests::peer::acceptor(&ca.issue(&["inside.test"]));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                let name = stream.get_ref().1.server_name().unwrap_or("-").to_owned();
                let mut heard = [0; 4096];
                while matches!(stream.read(&mut heard).await, Ok(1..)) {
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let outer = ca.issue(&["proxy.test"]);
    let proxy = connect_proxy(gateway.ip, target, "Basic aHVudGVyMg==", Some(&outer)).await;
    let authority = gateway.data.path().join("ca.pem");
    std::fs::write(&authority, ca.pem()).unwrap();
    let options = |password: &str| {
        format!(
            "  httpProxyHostname: inside.test:443\n  httpConnectHeaders: [{{key: proxy-authorization, value: {password}}}]\n  \
             httpConnectSslConfig: {{sni: proxy.test, verifySubjectAltName: [proxy.test], sslFiles: {{rootCa: {ca}}}}}\n  \
             sslConfig: {{sni: inside.test, verifySubjectAltName: [inside.test], sslFiles: {{rootCa: {ca}}}}}\n",
            ca = authority.display()
        )
    };
    let upstreams = backend::upstream("good", proxy.peer.address, &options("Basic aHVudGVyMg=="))
        + &backend::upstream("bad", proxy.peer.address, &options("Basic c2VjcmV0cw=="));
    gateway.write("upstreams.yaml", &upstreams);
    gateway.write("good.yaml", &virtual_service("good", "[good.test]", &forward("/", "good")));
    gateway.write("bad.yaml", &virtual_service("bad", "[bad.test]", &forward("/", "bad")));
    let gateway = gateway.start().await;
    for _ in 0..3 {
        let answer = gateway.get("good.test", "/").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "inside.test"));
    }
    let refused = gateway.get("bad.test", "/").await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(proxy.asked.lock().unwrap().iter().all(|host| host == "inside.test:443"));
    assert_eq!(proxy.opened.load(std::sync::atomic::Ordering::Relaxed), 1, "the connection is kept");
    let told = async || Some(gateway.log()).filter(|log| log.contains("the proxy answers CONNECT by 407"));
    let log = until("the refusal in the log", told).await;
    assert!(!log.contains("aHVudGVyMg") && !log.contains("c2VjcmV0cw"), "a secret is in the log");
    let shown = gateway.portcullis(&["explain", "GET", "http://good.test/"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("through a proxy to inside.test:443") && !shown.contains("aHVudGVyMg"), "{shown}");
}

#[tokio::test]
async fn a_unix_socket_is_an_upstream_with_and_without_tls_and_is_checked() {
    let gateway = Gateway::new();
    let path = |name: &str| gateway.data.path().join(name);
    let ca = Ca::new("pipes");
    let (plain, secret) = (path("plain.sock"), path("secret.sock"));
    let serving = on_pipe(&plain, "plain", None);
    let _secret = on_pipe(&secret, "secret", Some(&ca.issue(&["pipe.test"])));
    let pipe = |name: &str, at: &std::path::Path, further: &str| {
        format!(
            "---\napiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: {name}, namespace: gloo-system}}\nspec:\n  \
             pipe: {{path: {}}}\n{further}",
            at.display()
        )
    };
    let checks = "  healthChecks:\n  - {timeout: 5s, interval: 20ms, noTrafficInterval: 20ms, unhealthyThreshold: 1, \
                  healthyThreshold: 1, httpHealthCheck: {path: /health}}\n  \
                  loadBalancerConfig: {healthyPanicThreshold: 0, updateMergeWindow: 0s}\n";
    let upstreams =
        pipe("plain", &plain, checks) + &pipe("secret", &secret, "  sslConfig: {sni: pipe.test}\n");
    gateway.write("upstreams.yaml", &upstreams);
    gateway.write("plain.yaml", &virtual_service("plain", "[plain.test]", &forward("/", "plain")));
    gateway.write("secret.yaml", &virtual_service("secret", "[secret.test]", &forward("/", "secret")));
    let shown = plain.display().to_string();
    let gateway = gateway.start().await;
    for _ in 0..2 {
        assert_eq!(gateway.get("plain.test", "/").await.text(), "plain");
        assert_eq!(gateway.get("secret.test", "/").await.text(), "secret");
    }
    let endpoints = client::get(gateway.admin(1), "/endpoints").await.unwrap().text();
    assert!(endpoints.contains(&format!("plain_gloo-system {shown}: healthy")), "{endpoints}");
    serving.abort();
    gateway
        .until_get("plain.test", "/", |answer| answer.status == 503 && answer.text() == "no healthy upstream")
        .await;
}

#[tokio::test]
async fn an_upstream_can_be_spoken_to_as_the_client_speaks() {
    let gateway = Gateway::new();
    let server = scripted(gateway.ip, |request| {
        let version = format!("{:?}", request.version());
        async move { Response::new(body(version)) }
    })
    .await;
    let upstream = backend::upstream("any", server.address, "  protocolSelection: USE_DOWNSTREAM_PROTOCOL\n");
    gateway.write("upstreams.yaml", &upstream);
    gateway.write("vs.yaml", &virtual_service("any", "['*']", &forward("/", "any")));
    let gateway = Arc::new(gateway.start().await);
    for (version, said) in [(Version::H1, "HTTP/1.1"), (Version::H2, "HTTP/2.0"), (Version::H1, "HTTP/1.1")] {
        let stream = TcpStream::connect(gateway.http()).await.unwrap();
        let answer = client::send(stream, version, "http", "GET", "a.test", "/", &[], "").await.unwrap();
        assert_eq!(answer.text(), said);
    }
}

#[tokio::test]
async fn mistakes_in_these_options_are_told_with_their_fields() {
    let gateway = Gateway::new();
    let wrong = "  proxyProtocolVersion: v1\n  httpProxyHostname: no-port\n  preconnectPolicy: {perUpstreamPreconnectRatio: 4}\n  \
                 respectDnsTtl: true\n  initialStreamWindowSize: 1\n";
    gateway.write("upstreams.yaml", &backend::upstream("wrong", SocketAddr::from((gateway.ip, 1)), wrong));
    let folder = gateway.config.path().display().to_string();
    let told = gateway.portcullis(&["check", "-f", &folder]).await;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    for field in [
        "spec.proxyProtocolVersion: [v1] is no version of the PROXY protocol",
        "spec.httpProxyHostname: [no-port] is not a host with a port",
        "spec.preconnectPolicy.perUpstreamPreconnectRatio: 4 is not between 1 and 3",
        "spec.respectDnsTtl: is for upstreams with DNS names",
        "spec.initialStreamWindowSize: a number from 65535 to 2147483647 is needed, found 1",
    ] {
        assert!(told.contains(field), "{field} is missing in\n{told}");
    }
}

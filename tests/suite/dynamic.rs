//! Requests that go to the host which they name.

use std::net::{Ipv4Addr, SocketAddr};

use portcullis_tests::backend::hello;
use portcullis_tests::client;
use portcullis_tests::gateway::Gateway;
use portcullis_tests::peer::acceptor;
use portcullis_tests::pki::{Ca, Pair};
use portcullis_tests::wait::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use crate::virtual_service;

/// The listeners, with an option of the HTTP side.
fn with_options(gateway: &Gateway, options: &str) -> String {
    gateway.listeners().replace("httpGateway: {}", &format!("httpGateway: {{options: {options}}}"))
}

#[tokio::test]
async fn a_request_goes_to_the_host_that_it_names_or_that_the_route_puts_in_its_place() {
    let gateway = Gateway::new();
    let named = SocketAddr::from((gateway.ip, 9001));
    let _named = hello(named, "named").await;
    gateway.write("gateways.yaml", &with_options(&gateway, "{dynamicForwardProxy: {}}"));
    let routes = format!(
        "    - matchers: [{{prefix: /there}}]\n      routeAction: {{dynamicForwardProxy: {{hostRewrite: '{named}'}}}}\n\
         \x20   - matchers: [{{prefix: /header}}]\n      routeAction: {{dynamicForwardProxy: {{autoHostRewriteHeader: x-host}}}}\n\
         \x20   - routeAction: {{dynamicForwardProxy: {{}}}}\n"
    );
    gateway.write("vs.yaml", &virtual_service("dynamic", "['*']", &routes));
    let gateway = gateway.start().await;
    let ask = async |host: &str, path: &str, headers: &[(&str, &str)]| {
        client::request(gateway.http(), "GET", host, path, headers, "").await.unwrap()
    };
    for (host, path, headers) in [
        (&*named.to_string(), "/", &[][..]),
        ("any.test", "/there", &[]),
        ("any.test", "/header", &[("x-host", &*named.to_string())]),
    ] {
        // Twice: looked up, and remembered.
        for _ in 0..2 {
            let answer = ask(host, path, headers).await;
            assert_eq!(answer.status, 200, "{host}{path}");
            assert!(answer.text().contains("named"), "{}", answer.text());
        }
    }
    let unknown = ask("no.such.host.invalid", "/", &[]).await;
    assert_eq!((unknown.status, unknown.text()), (503, "DNS resolution failure".to_owned()));
}

/// A DNS server that knows one address for every name but those that begin with `no`.
async fn dns(ip: Ipv4Addr) -> SocketAddr {
    let socket = UdpSocket::bind((ip, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let query = &buffer[..length];
            // Labels up to the empty one, then type and class.
            let mut end = 12;
            while query[end] != 0 {
                end += usize::from(query[end]) + 1;
            }
            let question = &query[12..end + 5];
            let found = !question[1..].starts_with(b"no") && question[question.len() - 4..] == [0, 1, 0, 1];
            let absent = question[1..].starts_with(b"no");
            let mut answer = query[..2].to_vec();
            answer.extend([0x81, if absent { 0x83 } else { 0x80 }, 0, 1, 0, u8::from(found), 0, 0, 0, 0]);
            answer.extend(question);
            if found {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(ip.octets());
            }
            let _ = socket.send_to(&answer, from).await;
        }
    });
    address
}

/// A server over TLS that answers every request by `hello`.
async fn secure(ip: Ipv4Addr, pair: &Pair) -> SocketAddr {
    let acceptor = acceptor(pair);
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn hosts_are_found_by_a_server_of_one_s_own_and_spoken_to_over_verified_tls() {
    let gateway = Gateway::new();
    let ca = Ca::new("test");
    let at = secure(gateway.ip, &ca.issue(&["good.test"])).await;
    let dns = dns(gateway.ip).await;
    let authority = gateway.data.path().join("ca.pem");
    std::fs::write(&authority, ca.pem()).unwrap();
    let log = gateway.data.path().join("access.log");
    let resolver = format!("{{socketAddress: {{address: {}, portValue: {}}}}}", dns.ip(), dns.port());
    let options = format!(
        "{{dynamicForwardProxy: {{saveUpstreamAddress: true, circuitBreakers: {{maxConnections: 7}}, \
         sslConfig: {{sslFiles: {{rootCa: {}}}}}, dnsCacheConfig: {{dnsLookupFamily: V4_ONLY, \
         dnsFailureRefreshRate: {{baseInterval: 1h}}, \
         caresDns: {{resolvers: [{resolver}], dnsResolverOptions: {{noDefaultSearchDomain: true}}}}}}}}}}",
        authority.display()
    );
    let logs = format!(
        "  options: {{accessLoggingService: {{accessLog: [{{fileSink: {{path: {}, stringFormat: \
         \"%REQ(:AUTHORITY)% %FILTER_STATE(envoy.stream.upstream_address:PLAIN)%\\n\"}}}}]}}}}\n",
        log.display()
    );
    let listeners =
        with_options(&gateway, &options).replacen("  httpGateway", &format!("{logs}  httpGateway"), 1);
    gateway.write("gateways.yaml", &listeners);
    gateway.write(
        "vs.yaml",
        &virtual_service("dynamic", "['*']", "    - routeAction: {dynamicForwardProxy: {}}\n"),
    );
    let gateway = gateway.start().await;
    let port = at.port();
    let ask = async |host: &str| {
        client::request(gateway.http(), "GET", &format!("{host}:{port}"), "/", &[], "").await.unwrap()
    };
    for _ in 0..2 {
        let answer = ask("good.test").await;
        assert_eq!((answer.status, answer.text()), (200, "hello".to_owned()));
    }
    // The certificate is for another name.
    assert_eq!(ask("bad.test").await.status, 503);
    for _ in 0..2 {
        let absent = ask("no.test").await;
        assert_eq!((absent.status, absent.text()), (503, "DNS resolution failure".to_owned()));
    }
    let lines = until("lines in the log", async || {
        let text = std::fs::read_to_string(&log).ok()?;
        (text.lines().count() >= 5).then_some(text)
    })
    .await;
    assert_eq!(lines.lines().next(), Some(&*format!("good.test:{port} {at}")));
    assert!(lines.lines().last().unwrap().ends_with(" -"), "{lines}");
}

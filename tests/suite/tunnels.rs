//! CONNECT, WebSockets and trailers, from YAML to bytes on sockets.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, Response};
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Frame;
use portcullis_tests::backend::upstream;
use portcullis_tests::client;
use portcullis_tests::gateway::Gateway;
use portcullis_tests::wait::{PATIENCE, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::virtual_service;

/// Takes connections, and tells by `reply` what came first on each and what it answers.
async fn scripted(gateway: &Gateway, reply: impl Fn(&str) -> String + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((gateway.ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let reply = std::sync::Arc::new(reply);
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let reply = reply.clone();
            tokio::spawn(async move {
                let mut buf = vec![0; 65536];
                while let Ok(got @ 1..) = tcp.read(&mut buf).await {
                    let answer = reply(&String::from_utf8_lossy(&buf[..got]));
                    if tcp.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Sends `text`, and reads up to `wanted`.
async fn say(tcp: &mut TcpStream, text: &str, wanted: &str) -> String {
    tcp.write_all(text.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    // One by one, so that what comes after it stays.
    let mut byte = [0];
    let reading = async {
        while !all.ends_with(wanted.as_bytes()) {
            match tcp.read(&mut byte).await {
                Ok(1..) => all.push(byte[0]),
                _ => break,
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(10), reading).await;
    String::from_utf8_lossy(&all).into_owned()
}

const ROUTES: &str = "    - matchers: [{connectMatcher: {}, headers: [{name: x-end}]}]
      options: {upgrades: [{connectTerminate: {}}]}
      routeAction: {single: {upstream: {name: raw, namespace: gloo-system}}}
    - matchers: [{connectMatcher: {}, headers: [{name: x-on}]}]
      options: {upgrades: [{connect: {}}]}
      routeAction: {single: {upstream: {name: raw, namespace: gloo-system}}}
    - matchers: [{connectMatcher: {}}]
      routeAction: {single: {upstream: {name: raw, namespace: gloo-system}}}
    - matchers: [{prefix: /}]
      routeAction: {single: {upstream: {name: raw, namespace: gloo-system}}}
";

#[tokio::test]
async fn connect_is_served_as_routes_and_listeners_say() {
    let gateway = Gateway::new();
    let address = scripted(&gateway, |came| match came.split(' ').next() {
        Some("CONNECT") => "HTTP/1.1 200 Ok\r\n\r\nat once".to_owned(),
        Some("GET") => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(),
        _ => format!("<{came}>"),
    })
    .await;
    gateway.write("up.yaml", &upstream("raw", address, ""));
    gateway.write("vs.yaml", &virtual_service("tunnels", "['t.test:443', 't.test']", ROUTES));
    let gateway = gateway.start().await;
    until("the route", async || {
        let answer = client::request(gateway.http(), "GET", "t.test", "/", &[], "").await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
    let ask = |field: &str| format!("CONNECT t.test:443 HTTP/1.1\r\nHost: t.test:443\r\n{field}\r\n");
    let connect = async || TcpStream::connect(gateway.http()).await.unwrap();

    let mut tcp = connect().await;
    let head = say(&mut tcp, &ask("x-end: 1\r\n"), "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(say(&mut tcp, "ping", ">").await, "<ping>");
    assert_eq!(say(&mut tcp, "pong", ">").await, "<pong>");
    drop(tcp);

    let mut tcp = connect().await;
    let head = say(&mut tcp, &ask("x-on: 1\r\n"), "at once").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\nat once"), "{head}");
    assert_eq!(say(&mut tcp, "ping", ">").await, "<ping>");
    drop(tcp);

    let refused = say(&mut connect().await, &ask(""), "\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    // The listener's leave is for all routes that say nothing, also for connections that were there before.
    let options = "httpGateway: {options: {httpConnectionManagerSettings: {upgrades: [{connect: {}}]}}}";
    gateway.write("gateways.yaml", &gateway.listeners().replace("httpGateway: {}", options));
    until("leave of the listener", async || {
        let head = say(&mut connect().await, &ask(""), "\r\n\r\nat once").await;
        head.starts_with("HTTP/1.1 200 ").then_some(())
    })
    .await;
    until("lines of the log", async || {
        let log = gateway.log();
        (log.contains("connect_not_allowed") && log.contains("\"bytes_sent\":12")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn trailers_pass_over_http1_once_their_listener_says_so() {
    let gateway = Gateway::new();
    let backend = portcullis_tests::backend::scripted(gateway.ip, |_| async {
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())]);
        // Of no known length: a body with a length has no place for trailers.
        let frames = [Ok(Frame::data(bytes::Bytes::from_static(b"ok"))), Ok(Frame::trailers(trailers))];
        Response::new(UnsyncBoxBody::new(StreamBody::new(futures::stream::iter(frames))))
    })
    .await;
    gateway.write("up.yaml", &upstream("h2", backend.address, "  useHttp2: true\n"));
    gateway.write("vs.yaml", &virtual_service("trailers", "['t.test']", &crate::forward("/", "h2")));
    let gateway = gateway.start().await;
    let ask = "GET / HTTP/1.1\r\nHost: t.test\r\n\r\n";
    let mut tcp = until("a connection", async || {
        let mut tcp = TcpStream::connect(gateway.http()).await.unwrap();
        say(&mut tcp, ask, "\r\n0\r\n\r\n").await.starts_with("HTTP/1.1 200 ").then_some(tcp)
    })
    .await;
    // The same connection gets what its listener gets.
    let options = "httpGateway: {options: {httpConnectionManagerSettings: {enableTrailers: true}}}";
    gateway.write("gateways.yaml", &gateway.listeners().replace("httpGateway: {}", options));
    let passed = async {
        loop {
            let answer = say(&mut tcp, ask, "\r\n\r\n2\r\nok\r\n0\r\n").await;
            let rest = say(&mut tcp, "", "\r\n").await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}{rest}");
            if rest == "x-sum: 1\r\n" {
                return say(&mut tcp, "", "\r\n").await;
            }
            assert_eq!(rest, "\r\n");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, passed).await.expect("no trailers"), "\r\n");
}

#[tokio::test]
async fn trailers_pass_from_http1_to_http1_when_both_sides_have_them() {
    let gateway = Gateway::new();
    // Header, body and trailers of a small request leave in one write.
    let address = scripted(&gateway, |came| match came.ends_with("\r\n0\r\nx-up: 1\r\n\r\n") {
        true => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            format!("{head}0\r\nx-sum: 1\r\nhost: evil\r\n\r\n")
        }
        false => "HTTP/1.1 400 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n0\r\n".to_owned(),
    })
    .await;
    let further = "  connectionConfig: {http1ProtocolOptions: {enableTrailers: true}}\n";
    gateway.write("up.yaml", &upstream("raw", address, further));
    gateway.write("vs.yaml", &virtual_service("trailers", "['t.test']", &crate::forward("/", "raw")));
    let options = "httpGateway: {options: {httpConnectionManagerSettings: {enableTrailers: true}}}";
    gateway.write("gateways.yaml", &gateway.listeners().replace("httpGateway: {}", options));
    let gateway = gateway.start().await;
    let mut tcp = TcpStream::connect(gateway.http()).await.unwrap();
    let ask = "POST / HTTP/1.1\r\nHost: t.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx-up: 1\r\ncookie: a\r\n\r\n";
    let answer = say(&mut tcp, ask, "\r\n0\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(say(&mut tcp, "", "\r\n\r\n").await, "x-sum: 1\r\n\r\n");
}

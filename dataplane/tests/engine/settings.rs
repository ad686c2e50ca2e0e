//! What users set for HTTP on a listener. What is expected was seen on Envoy.

use std::time::Duration;

use portcullis_proto::policy::v1 as policy;
use portcullis_proto::table::v1 as table;

use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

async fn gateway(peer: &Peer, http: table::HttpSettings) -> Gateway {
    Gateway::start(Table { http, ..Table::to(peer.address) }).await
}

/// What came to the upstream of a request with these lines, and the head of the answer.
async fn passed(peer: &Peer, gateway: &Gateway, lines: &str) -> (String, String) {
    let mut client = Wire::connect(gateway.address).await;
    client.send(format!("GET /p HTTP/1.1\r\nHost: h:80\r\n{lines}\r\n")).await;
    let mut upstream = peer.accept().await;
    let came = upstream.head().await;
    upstream.send("HTTP/1.1 200 OK\r\nserver: up\r\nvia: u\r\ncontent-length: 0\r\n\r\n").await;
    (came, client.answer().await.0)
}

fn client(use_remote: bool, trusted_hops: u32) -> table::HttpSettings {
    let client_address = Some(table::ClientAddress { use_remote, trusted_hops, ..Default::default() });
    table::HttpSettings { client_address, ..Default::default() }
}

#[tokio::test]
async fn an_edge_believes_the_connection() {
    let peer = Peer::bind().await;
    let http = table::HttpSettings { append_x_forwarded_port: true, via: "pv".into(), ..client(true, 0) };
    let gateway = gateway(&peer, http).await;
    let lines = "x-forwarded-for: 1.1.1.1\r\nx-forwarded-proto: https\r\nx-forwarded-port: 5\r\nvia: c\r\n\
        x-request-id: abc\r\nx-envoy-max-retries: 3\r\nx-envoy-decorator-operation: o\r\n";
    let (came, answer) = passed(&peer, &gateway, lines).await;
    assert!(header(&came, "x-forwarded-for").unwrap().starts_with("1.1.1.1,"), "{came}");
    assert_eq!(header(&came, "x-forwarded-proto"), Some("http"));
    assert_eq!(header(&came, "x-forwarded-port"), Some(gateway.address.port().to_string().as_str()));
    assert_eq!(header(&came, "x-envoy-external-address"), Some("127.0.0.1"));
    assert_eq!(header(&came, "via"), Some("c, pv"));
    assert_ne!(header(&came, "x-request-id"), Some("abc"));
    assert_eq!(header(&came, "x-envoy-max-retries"), None);
    assert_eq!(header(&came, "x-envoy-decorator-operation"), None);
    assert_eq!(header(&answer, "via"), Some("u, pv"));
}

#[tokio::test]
async fn proxies_in_front_are_believed_as_far_as_they_are_trusted() {
    let peer = Peer::bind().await;
    let lines = "x-forwarded-for: 1.1.1.1, 2.2.2.2\r\nx-forwarded-proto: https\r\n";
    let edge = gateway(&peer, client(true, 1)).await;
    let (came, _) = passed(&peer, &edge, lines).await;
    assert_eq!(header(&came, "x-envoy-external-address"), Some("2.2.2.2"));
    assert_eq!(header(&came, "x-forwarded-proto"), Some("https"));
    let mut http = client(true, 0);
    let address = http.client_address.as_mut().unwrap();
    (address.skip_xff_append, address.internal) = (true, vec!["127.0.0.0/8".into()]);
    http.request_id = Some(table::RequestId { none: true, preserve_external: false });
    let inside = gateway(&peer, http).await;
    let (came, _) = passed(&peer, &inside, "x-envoy-max-retries: 3\r\n").await;
    assert_eq!(header(&came, "x-envoy-internal"), Some("true"));
    assert_eq!(header(&came, "x-envoy-max-retries"), Some("3"));
    assert_eq!(header(&came, "x-forwarded-for"), None);
    assert_eq!(header(&came, "x-request-id"), None);
}

#[tokio::test]
async fn names_and_hosts_are_treated_as_set() {
    let peer = Peer::bind().await;
    let level = policy::HeaderLevel {
        remove: vec!["x-gone".into()],
        add: vec![policy::HeaderAdd {
            name: "x-early".into(),
            value: "%REQ(:METHOD)%".into(),
            overwrite: true,
        }],
    };
    let http = table::HttpSettings {
        strip_any_host_port: true,
        underscores: table::UnderscoreAction::Drop as i32,
        early_headers: vec![level],
        suppress_envoy_headers: true,
        server: Some(table::ServerHeader {
            name: "me".into(),
            action: table::ServerHeaderAction::AppendIfAbsent as i32,
        }),
        http1: Some(table::Http1 { header_case: table::HeaderCase::Proper as i32, ..Default::default() }),
        ..Default::default()
    };
    let proper = gateway(&peer, http.clone()).await;
    let (came, answer) = passed(&peer, &proper, "x_u: 1\r\nx-gone: 1\r\n").await;
    assert_eq!(header(&came, "host"), Some("h"));
    assert_eq!((header(&came, "x_u"), header(&came, "x-gone")), (None, None));
    assert_eq!(header(&came, "x-early"), Some("GET"));
    assert_eq!(header(&came, "x-envoy-expected-rq-timeout-ms"), None);
    assert!(answer.contains("\r\nServer: up\r\n") && answer.contains("\r\nContent-Length: 0"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("x-envoy-upstream-service-time"), "{answer}");
    let http1 = table::Http1 { header_case: table::HeaderCase::Preserve as i32, ..Default::default() };
    let kept = gateway(&peer, table::HttpSettings { http1: Some(http1), ..Default::default() }).await;
    let (came, _) = passed(&peer, &kept, "X-mY-Name: 1\r\n").await;
    assert!(came.contains("\r\nX-mY-Name: 1\r\n"), "{came}");
}

#[tokio::test]
async fn paths_are_read_as_set() {
    let peer = Peer::bind().await;
    let paths = |escaped: table::EscapedSlashes| table::HttpSettings {
        paths: Some(table::Paths {
            merge_slashes: true,
            escaped_slashes: escaped as i32,
            ..Default::default()
        }),
        ..Default::default()
    };
    let ask = async |http: table::HttpSettings| {
        let gateway = gateway(&peer, http).await;
        let mut client = Wire::connect(gateway.address).await;
        client.send("GET /a%2Fb//c?x=%2F HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client
    };
    let head = ask(paths(table::EscapedSlashes::Redirect)).await.head().await;
    assert_eq!((status(&head), header(&head, "location")), (307, Some("/a/b/c?x=%2F")));
    let head = ask(paths(table::EscapedSlashes::Reject)).await.head().await;
    assert_eq!(status(&head), 400);
    let mut client = ask(paths(table::EscapedSlashes::Forward)).await;
    let came = peer.accept().await.serve("ok").await;
    assert!(came.starts_with("GET /a/b/c?x=%2F "), "{came}");
    client.answer().await;
}

#[tokio::test]
async fn limits_are_those_that_are_set() {
    let peer = Peer::bind().await;
    let limits = table::Limits { header_kb: Some(1), header_fields: Some(3), requests_per_connection: 2 };
    let gateway = gateway(&peer, table::HttpSettings { limits: Some(limits), ..Default::default() }).await;
    let many = "a: 1\r\nb: 1\r\nc: 1\r\n".to_owned();
    let long = format!("a: {}\r\n", "x".repeat(1024));
    for lines in [many, long] {
        let mut client = Wire::connect(gateway.address).await;
        client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n")).await;
        assert_eq!(status(&client.head().await), 431);
    }
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    upstream.serve("one").await;
    assert_eq!(header(&client.answer().await.0, "connection"), None);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream.serve("two").await;
    assert_eq!(header(&client.answer().await.0, "connection"), Some("close"));
    client.ends().await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET / HTTP/1.0\r\nHost: h\r\n\r\n").await;
    assert_eq!(status(&client.head().await), 426);
}

#[tokio::test]
async fn times_are_those_that_are_set() {
    let peer = Peer::bind().await;
    let times =
        |timeouts: table::Timeouts| table::HttpSettings { timeouts: Some(timeouts), ..Default::default() };
    let start = async |timeouts| gateway(&peer, times(timeouts)).await;
    let late = start(table::Timeouts { request_headers_ms: Some(50), ..Default::default() }).await;
    let mut client = Wire::connect(late.address).await;
    client.send("GET / HTTP/1.1\r\n").await;
    assert_eq!(status(&client.head().await), 408);
    let late = start(table::Timeouts { request_ms: Some(50), ..Default::default() }).await;
    let mut client = Wire::connect(late.address).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\ncontent-length: 5\r\n\r\nab").await;
    assert_eq!(status(&client.head().await), 408);
    assert_eq!(late.line().await["reason"], "request_timeout");
    let long = start(table::Timeouts { max_stream_ms: Some(50), ..Default::default() }).await;
    let mut client = Wire::connect(long.address).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(status(&client.head().await), 504);
    let line = long.line().await;
    assert_eq!((line["reason"].as_str(), line["flags"].as_str()), (Some("max_duration"), Some("DT")));
    let short =
        start(table::Timeouts { max_connection_ms: Some(50), idle_ms: Some(60_000), ..Default::default() })
            .await;
    let mut client = Wire::connect(short.address).await;
    tokio::time::timeout(Duration::from_secs(10), client.ends()).await.unwrap();
    let silent = start(table::Timeouts { stream_idle_ms: Some(50), ..Default::default() }).await;
    let (mut client, _upstream, _) = silent.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(status(&client.head().await), 504);
    assert_eq!(silent.line().await["flags"], "SI");
    // Idle a connection drains, and is closed after that: without time to drain at once.
    for (drain_ms, least) in [(Some(0), 100), (Some(400), 500)] {
        let idle = start(table::Timeouts { idle_ms: Some(100), drain_ms, ..Default::default() }).await;
        let (mut client, mut upstream, _) = idle.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let begun = std::time::Instant::now();
        upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        client.answer().await;
        tokio::time::timeout(Duration::from_secs(10), client.ends()).await.unwrap();
        assert!(begun.elapsed().as_millis() >= least, "{:?}", begun.elapsed());
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn the_upstream_may_be_asked_to_continue() {
    let http1 = table::Http1 { forward_expect: true, ..Default::default() };
    let peer = Peer::bind().await;
    let gateway = gateway(&peer, table::HttpSettings { http1: Some(http1), ..Default::default() }).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    assert_eq!(header(&upstream.head().await, "expect"), Some("100-continue"));
    upstream.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(status(&client.head().await), 100);
    client.send("hi").await;
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(status(&client.answer().await.0), 200);
}

#[tokio::test]
async fn http_2_has_its_own_limits() {
    let direct = table::DirectResponse { status: 200, body: "ok".into() };
    let table = Table::default().route("/", table::route::Action::DirectResponse(direct), &[]);
    let http2 = table::Http2 { max_concurrent_streams: Some(7), ..Default::default() };
    let http =
        table::HttpSettings { http2: Some(http2), codec: table::Codec::Http2 as i32, ..Default::default() };
    let gateway = Gateway::start(Table { http, ..table }).await;
    let tcp = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let (mut send, connection) = h2::client::handshake(tcp).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://h/").body(()).unwrap();
    let (answer, _) = send.send_request(request, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    assert_eq!(send.current_max_send_streams(), 7);
}

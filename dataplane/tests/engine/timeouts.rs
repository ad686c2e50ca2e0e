//! Time limits: of the whole exchange, of a try, of a request header.

use std::time::{Duration, Instant};

use crate::gateway::{retry, timeout, to};
use crate::wire::status;
use crate::{Gateway, Peer, Table, Wire};

fn table(address: std::net::SocketAddr, policies: &[prost_types::Any]) -> Table {
    Table::default().upstream("up", &[address], false).route("/", to("up"), policies)
}

/// Within `wanted` and a little more: both limits are exact.
#[track_caller]
fn took(since: Instant, wanted: u64) {
    let elapsed = since.elapsed();
    let wanted = Duration::from_millis(wanted);
    assert!(
        elapsed >= wanted && elapsed < wanted + Duration::from_millis(150),
        "{elapsed:?} instead of {wanted:?}"
    );
}

#[tokio::test]
async fn the_total_limit_answers_504_before_the_header() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(peer.address, &[timeout(200)])).await;
    let mut client = Wire::connect(gateway.address).await;
    let start = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    upstream.head().await;
    let (head, body) = client.answer().await;
    took(start, 200);
    assert_eq!((status(&head), body.as_str()), (504, "upstream request timeout"));
    upstream.ends().await;
    let line = gateway.line().await;
    assert_eq!((line["reason"].as_str(), line["flags"].as_str()), (Some("timeout"), Some("UT")));
    // The client's connection goes on.
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    peer.accept().await.serve("ok").await;
    assert_eq!(client.answer().await.1, "ok");
}

#[tokio::test]
async fn the_total_limit_cuts_an_answer_that_has_begun() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(peer.address, &[timeout(200)])).await;
    let mut client = Wire::connect(gateway.address).await;
    let start = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    upstream.head().await;
    upstream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
    client.head().await;
    assert_eq!(client.rest().await, b"2\r\nhi\r\n");
    took(start, 200);
    assert_eq!(gateway.line().await["reason"], "timeout");
}

#[tokio::test]
async fn zero_means_no_limit_and_the_limit_waits_for_the_upload() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(peer.address, &[timeout(150)])).await;
    let (mut client, _upstream, _) =
        gateway.forwarded(&peer, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na").await;
    // Longer than the limit, which has not begun.
    tokio::time::sleep(Duration::from_millis(250)).await;
    let start = Instant::now();
    client.send("b").await;
    assert_eq!(status(&client.answer().await.0), 504);
    took(start, 150);

    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(peer.address, &[timeout(0)])).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    let head = upstream.serve("ok").await;
    assert!(!head.contains("x-envoy-expected-rq-timeout-ms"), "{head}");
    client.answer().await;
}

#[tokio::test]
async fn the_limit_of_a_try_is_retried_and_ends_with_the_header() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(peer.address, &[retry(&["5xx"], 2, 150)])).await;
    let mut client = Wire::connect(gateway.address).await;
    let start = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut hung = Vec::new();
    for _ in 0..2 {
        let mut upstream = peer.accept().await;
        upstream.head().await;
        hung.push(upstream);
    }
    let mut upstream = peer.accept().await;
    took(start, 300);
    upstream.head().await;
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab").await;
    // The rest comes later than a try may take.
    tokio::time::sleep(Duration::from_millis(250)).await;
    upstream.send("cd").await;
    assert_eq!(client.answer().await.1, "abcd");
    for mut upstream in hung {
        upstream.ends().await;
    }
    let line = gateway.line().await;
    assert_eq!((line["attempts"].as_u64(), line["status"].as_u64()), (Some(3), Some(200)));
}

#[tokio::test]
async fn the_limit_of_the_last_try_is_504() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(peer.address, &[retry(&["connect-failure"], 2, 100)])).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(status(&client.answer().await.0), 504);
    assert_eq!(gateway.line().await["reason"], "per_try_timeout");
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_the_connect_is_given_up() {
    // A listener whose queue is full drops what comes: nothing is ever accepted here.
    let full = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = full.local_addr().unwrap();
    let socket = socket2::Socket::from(full);
    socket.listen(0).unwrap();
    let mut held = Vec::new();
    for _ in 0..4 {
        let stream = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        stream.set_nonblocking(true).unwrap();
        let _ = stream.connect(&address.into());
        held.push(stream);
    }
    let mut upstream = portcullis_proto::table::v1::Upstream {
        name: "up".into(),
        endpoints: vec![crate::gateway::endpoint(address)],
        ..Default::default()
    };
    upstream.connect_timeout_ms = 200;
    let gateway = Gateway::start(Table::default().add_upstream(upstream).route("/", to("up"), &[])).await;
    let mut client = Wire::connect(gateway.address).await;
    let start = Instant::now();
    let (head, body) = client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    took(start, 200);
    assert_eq!(status(&head), 503);
    assert!(body.ends_with("reset reason: connection timeout"), "{body}");
    assert_eq!(gateway.line().await["reason"], "connect_timeout");
}

/// Lets everything that waits for `seconds` happen now. Sockets go on in real time.
async fn advance(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

/// Until the gateway has read what other connections sent before: it serves them in one thread.
async fn settle(gateway: &Gateway) {
    let mut other = Wire::connect(gateway.address).await;
    other.ask("OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    other.ends().await;
}

#[tokio::test]
async fn a_header_that_does_not_come_to_its_end_is_408() {
    let gateway = Gateway::start(Table::to(Peer::always("ok").await)).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n").await;
    settle(&gateway).await;
    advance(6).await;
    // More of it does not put the end off.
    client.send("X: 1\r\n").await;
    settle(&gateway).await;
    advance(6).await;
    assert_eq!(status(&client.head().await), 408);
    assert_eq!(gateway.lines(3).await[2]["reason"], "header_timeout");
}

#[tokio::test]
async fn silent_and_idle_clients_are_let_go() {
    let gateway = Gateway::start(Table::to(Peer::always("ok").await)).await;
    let mut silent = Wire::connect(gateway.address).await;
    let mut idle = Wire::connect(gateway.address).await;
    idle.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    settle(&gateway).await;
    advance(61).await;
    silent.ends().await;
    // One request in between, long after the first.
    assert_eq!(idle.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.1, "ok");
    settle(&gateway).await;
    advance(3590).await;
    assert_eq!(idle.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.1, "ok");
    settle(&gateway).await;
    advance(3601).await;
    idle.ends().await;
}

#[tokio::test]
async fn silence_ends_a_request_that_has_no_other_limit() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(peer.address, &[timeout(0)])).await;
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    settle(&gateway).await;
    advance(301).await;
    let (head, body) = client.answer().await;
    assert_eq!((status(&head), body.as_str()), (504, "stream timeout"));
    upstream.ends().await;
}

#[tokio::test]
async fn idle_upstream_connections_are_closed() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(peer.address, &[])).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    upstream.serve("ok").await;
    client.answer().await;
    settle(&gateway).await;
    advance(61).await;
    upstream.ends().await;
}

//! Connections to clients and to upstreams: how long they live, and who shares them.

use portcullis_proto::table::v1 as proto;

use crate::gateway::{endpoint, to};
use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

#[tokio::test]
async fn an_idle_client_is_let_go_at_once_when_draining() {
    let gateway = Gateway::start(Table::to(Peer::always("ok").await)).await;
    let mut silent = Wire::connect(gateway.address).await;
    let mut idle = Wire::connect(gateway.address).await;
    assert_eq!(idle.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.1, "ok");
    gateway.drain.send(true).unwrap();
    idle.ends().await;
    silent.ends().await;
}

#[tokio::test]
async fn a_request_in_flight_is_finished_and_told_that_it_was_the_last() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    gateway.drain.send(true).unwrap();
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let (head, body) = client.answer().await;
    assert_eq!((header(&head, "connection"), body.as_str()), (Some("close"), "ok"));
    client.ends().await;
}

#[tokio::test]
async fn half_a_header_is_waited_for_while_draining() {
    let gateway = Gateway::start(Table::to(Peer::always("ok").await)).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nHo").await;
    // Until the gateway has read it: a request on another connection has been served since.
    assert_eq!(Wire::connect(gateway.address).await.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.1, "ok");
    gateway.drain.send(true).unwrap();
    let (head, body) = client.ask("st: h\r\n\r\n").await;
    assert_eq!((header(&head, "connection"), body.as_str()), (Some("close"), "ok"));
}

#[tokio::test]
async fn upstream_connections_are_shared_and_limited_in_use() {
    let peer = Peer::bind().await;
    let upstream = proto::Upstream {
        name: "up".into(),
        endpoints: vec![endpoint(peer.address)],
        max_requests_per_connection: 2,
        ..Default::default()
    };
    let gateway = Gateway::start(Table::default().add_upstream(upstream).route("/", to("up"), &[])).await;
    for _ in 0..2 {
        let mut one = Wire::connect(gateway.address).await;
        let mut other = Wire::connect(gateway.address).await;
        one.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut upstream = peer.accept().await;
        upstream.serve("one").await;
        one.answer().await;
        other.send("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n").await;
        upstream.serve("two").await;
        other.answer().await;
        upstream.ends().await;
    }
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_meanwhile_is_not_tried() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    upstream.serve("one").await;
    client.answer().await;
    drop(upstream);
    // The end of that connection is known to the gateway once it has served something else since.
    let mut other = Wire::connect(gateway.address).await;
    other.send("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(status(&other.head().await), 404);
    client.send("POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;
    peer.accept().await.serve("two").await;
    assert_eq!(client.answer().await.1, "two");
    assert_eq!(gateway.lines(3).await[2]["attempts"], 1);
}

#[tokio::test]
async fn an_answer_with_connection_close_ends_the_upstream_connection() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
    let (head, _) = client.answer().await;
    assert_eq!(header(&head, "connection"), None, "that was between gateway and upstream");
    upstream.ends().await;
}

#[tokio::test]
async fn a_client_that_asks_for_it_is_closed() {
    let gateway = Gateway::start(Table::to(Peer::always("ok").await)).await;
    let mut client = Wire::connect(gateway.address).await;
    let (head, _) = client.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert_eq!(header(&head, "connection"), Some("close"));
    client.ends().await;
}

#[tokio::test]
async fn no_endpoint_is_503() {
    let gateway = Gateway::start(Table::default().upstream("up", &[], false).route("/", to("up"), &[])).await;
    let mut client = Wire::connect(gateway.address).await;
    let (head, body) = client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!((status(&head), body.as_str()), (503, "no healthy upstream"));
    assert_eq!(gateway.line().await["reason"], "upstream_unhealthy");
}

//! Circuit breakers: what waits, what is refused, and how it is said.

use portcullis_proto::table::v1 as table;

use crate::gateway::{endpoint, retry, to};
use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

async fn gateway(
    peer: &Peer,
    http2: bool,
    breakers: table::CircuitBreakers,
    policies: &[prost_types::Any],
) -> Gateway {
    let upstream = table::Upstream {
        name: "up".into(),
        endpoints: vec![endpoint(peer.address)],
        circuit_breakers: Some(breakers),
        http2,
        ..Default::default()
    };
    Gateway::start(Table::default().add_upstream(upstream).route("/", to("up"), policies)).await
}

fn metric(gateway: &Gateway, name: &str) -> u64 {
    let line = format!("envoy_cluster_{name}{{envoy_cluster_name=\"up\"}} ");
    let metrics = gateway.metrics();
    let value = metrics.lines().find_map(|text| text.strip_prefix(&line));
    value.unwrap_or_else(|| panic!("no {line} in {metrics}")).parse().unwrap()
}

#[tokio::test]
async fn a_request_beyond_the_bound_is_refused_as_overload() {
    let peer = Peer::bind().await;
    let breakers = table::CircuitBreakers { max_requests: Some(1), ..Default::default() };
    let gateway = gateway(&peer, false, breakers, &[retry(&["5xx", "reset"], 3, 0)]).await;
    let (mut first, mut upstream, _) = gateway.forwarded(&peer, GET).await;
    let mut second = Wire::connect(gateway.address).await;
    let (head, body) = second.ask(GET).await;
    assert_eq!((status(&head), header(&head, "x-envoy-overloaded")), (503, Some("true")));
    assert_eq!(body, "upstream connect error or disconnect/reset before headers. reset reason: overflow");
    let line = gateway.line().await;
    assert_eq!((line["reason"].as_str(), line["flags"].as_str()), (Some("overflow"), Some("UO")));
    assert_eq!(line["attempts"], 1, "it is not tried again");
    assert_eq!(metric(&gateway, "upstream_rq_pending_overflow"), 1);
    assert_eq!(metric(&gateway, "circuit_breakers_default_rq_open"), 1);
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(first.answer().await.1, "ok");
    second.send(GET).await;
    upstream.serve("again").await;
    assert_eq!(second.answer().await.1, "again", "the slot is free again");
}

#[tokio::test]
async fn requests_wait_for_a_connection_and_get_the_one_that_comes_free() {
    let peer = Peer::bind().await;
    let breakers = table::CircuitBreakers {
        max_connections: Some(1),
        max_pending_requests: Some(1),
        track_remaining: true,
        ..Default::default()
    };
    let gateway = gateway(&peer, false, breakers, &[]).await;
    let (mut first, mut upstream, _) = gateway.forwarded(&peer, GET).await;
    let mut second = Wire::connect(gateway.address).await;
    second.send("GET /second HTTP/1.1\r\nHost: h\r\n\r\n").await;
    while metric(&gateway, "upstream_rq_pending_active") == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(metric(&gateway, "circuit_breakers_default_remaining_cx"), 0);
    let mut third = Wire::connect(gateway.address).await;
    assert_eq!(status(&third.ask(GET).await.0), 503, "one may wait, not two");
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(first.answer().await.1, "ok");
    assert!(upstream.serve("second").await.starts_with("GET /second "), "on the same connection");
    assert_eq!(second.answer().await.1, "second");
    assert!(peer.is_quiet());
    // One that ends instead of coming free makes room as well.
    let mut again = Wire::connect(gateway.address).await;
    first.send(GET).await;
    upstream.head().await;
    again.send(GET).await;
    upstream.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(status(&first.answer().await.0), 200);
    peer.accept().await.serve("other").await;
    assert_eq!(again.answer().await.1, "other");
}

#[tokio::test]
async fn without_room_to_wait_a_request_needs_a_connection_that_is_ready() {
    let peer = Peer::bind().await;
    let breakers = table::CircuitBreakers { max_pending_requests: Some(0), ..Default::default() };
    let gateway = gateway(&peer, false, breakers, &[]).await;
    let mut client = Wire::connect(gateway.address).await;
    assert_eq!(header(&client.ask(GET).await.0, "x-envoy-overloaded"), Some("true"));
}

#[tokio::test]
async fn a_retry_beyond_the_bound_leaves_the_answer_that_there_is() {
    let peer = Peer::bind().await;
    let breakers = table::CircuitBreakers { max_retries: Some(0), ..Default::default() };
    let gateway = gateway(&peer, false, breakers, &[retry(&["5xx"], 1, 0)]).await;
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, GET).await;
    upstream.send("HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno").await;
    let (head, body) = client.answer().await;
    assert_eq!((status(&head), body.as_str()), (500, "no"));
    assert_eq!(gateway.line().await["flags"], "UO");
    assert_eq!(metric(&gateway, "upstream_rq_retry_overflow"), 1);
}

//! Silence, life, and what is told about tries.

use std::time::{Duration, Instant};

use portcullis_proto::policy::v1 as policy;

use crate::gateway::{any, retry};
use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn limits(idle_ms: Option<u64>, max_ms: Option<u64>, grpc: Option<u64>) -> prost_types::Any {
    any(&policy::StreamLimits { idle_ms, max_ms, grpc_timeout_max_ms: grpc, grpc_timeout_offset_ms: 0 })
}

#[tokio::test]
async fn silence_is_504_while_the_upstream_is_waited_for_and_408_while_the_client_is() {
    let peer = Peer::bind().await;
    let table = Table::to(peer.address).with(&[limits(Some(100), None, None)]);
    let gateway = Gateway::start(table).await;
    let (mut client, _upstream, _) = gateway.forwarded(&peer, GET).await;
    assert_eq!(status(&client.answer().await.0), 504);
    let upload = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab";
    let (mut client, _upstream, _) = gateway.forwarded(&peer, upload).await;
    assert_eq!(status(&client.answer().await.0), 408);
    for line in gateway.lines(2).await {
        assert_eq!(line["flags"], "SI");
    }
}

#[tokio::test]
async fn a_life_ends_before_and_in_the_answer() {
    let peer = Peer::bind().await;
    let table = Table::to(peer.address).with(&[limits(Some(0), Some(100), None)]);
    let gateway = Gateway::start(table).await;
    let (mut client, _upstream, _) = gateway.forwarded(&peer, GET).await;
    let (head, body) = client.answer().await;
    assert_eq!((status(&head), body.as_str()), (504, "downstream duration timeout"));
    assert_eq!(gateway.line().await["reason"], "max_duration");
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, GET).await;
    upstream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
    client.head().await;
    assert_eq!(client.rest().await, b"2\r\nhi\r\n");
}

#[tokio::test]
async fn a_grpc_timeout_is_the_limit_where_it_may_be() {
    let peer = Peer::bind().await;
    let table = Table::to(peer.address).with(&[limits(None, None, Some(0))]);
    let gateway = Gateway::start(table).await;
    let start = Instant::now();
    let call = "POST /a.B/C HTTP/1.1\r\nHost: h\r\ncontent-type: application/grpc\r\ngrpc-timeout: 100m\r\n\
                content-length: 0\r\n\r\n";
    let (mut client, _upstream, _) = gateway.forwarded(&peer, call).await;
    let (head, _) = client.answer().await;
    assert_eq!((status(&head), header(&head, "grpc-status")), (200, Some("4")));
    assert_eq!(header(&head, "grpc-message"), Some("downstream duration timeout"));
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn attempts_are_told_and_exhaustion_is_flagged() {
    let peer = Peer::bind().await;
    let count = any(&policy::AttemptCount { request: true, response: true });
    let table = Table::to(peer.address).with(&[retry(&["5xx"], 1, 0), count]);
    let gateway = Gateway::start(table).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\nx-envoy-attempt-count: 7\r\n\r\n").await;
    for number in ["1", "2"] {
        let mut upstream = peer.accept().await;
        assert_eq!(header(&upstream.head().await, "x-envoy-attempt-count"), Some(number));
        upstream.send("HTTP/1.1 503 No\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno").await;
    }
    let (head, body) = client.answer().await;
    assert_eq!((status(&head), body.as_str()), (503, "no"));
    assert_eq!(header(&head, "x-envoy-attempt-count"), Some("2"));
    assert_eq!(gateway.line().await["flags"], "URX");
}

#[tokio::test]
async fn an_answer_says_when_to_come_again() {
    let peer = Peer::bind().await;
    let rule = any(&policy::Retry {
        retry_on: vec!["5xx".into()],
        num_retries: 1,
        // Only what the answer says is short enough to be waited for.
        base_interval_ms: 3_600_000,
        max_interval_ms: 3_600_000,
        reset_headers: vec![policy::ResetHeader { name: "retry-after".into(), unix_timestamp: false }],
        ..Default::default()
    });
    let gateway = Gateway::start(Table::to(peer.address).with(&[rule])).await;
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, GET).await;
    upstream
        .send("HTTP/1.1 503 No\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .await;
    peer.accept().await.serve("now").await;
    assert_eq!(client.answer().await.1, "now");
}

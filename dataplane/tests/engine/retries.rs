//! What is sent again, and what is not.

use portcullis_proto::policy::v1 as policy;

use crate::gateway::{any, retry, to};
use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

fn table(addresses: &[std::net::SocketAddr], policies: &[prost_types::Any]) -> Table {
    Table::default().upstream("up", addresses, false).route("/", to("up"), policies)
}

#[tokio::test]
async fn a_refused_connect_goes_to_the_other_endpoint() {
    let (dead, alive) = (Peer::nowhere().await, Peer::always("alive").await);
    let gateway = Gateway::start(table(&[dead, alive], &[retry(&["connect-failure"], 1, 0)])).await;
    let mut client = Wire::connect(gateway.address).await;
    for _ in 0..10 {
        assert_eq!(client.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await.1, "alive");
    }
    let lines = gateway.lines(10).await;
    assert!(lines.iter().any(|line| line["attempts"] == 2));
    assert!(gateway.metrics().contains("envoy_cluster_upstream_cx_connect_fail{envoy_cluster_name=\"up\"}"));
}

#[tokio::test]
async fn without_a_rule_a_refused_connect_is_503() {
    let gateway = Gateway::start(table(&[Peer::nowhere().await], &[])).await;
    let mut client = Wire::connect(gateway.address).await;
    let (head, body) = client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(status(&head), 503);
    assert_eq!(
        body,
        "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
    );
    assert_eq!(header(&head, "content-type"), Some("text/plain"));
    assert_eq!(header(&head, "connection"), None);
    let line = gateway.line().await;
    assert_eq!((line["reason"].as_str(), line["flags"].as_str()), (Some("connect_failed"), Some("UF")));
}

#[tokio::test]
async fn a_status_is_retried_and_the_last_answer_is_the_client_s() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(&[peer.address], &[retry(&["5xx"], 2, 0)])).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    for _ in 0..2 {
        let mut upstream = peer.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno").await;
        // What is left of it is not waited for.
        upstream.ends().await;
    }
    let mut upstream = peer.accept().await;
    upstream.head().await;
    upstream.send("HTTP/1.1 502 Last\r\ncontent-length: 4\r\n\r\nlast").await;
    let (head, body) = client.answer().await;
    assert_eq!((status(&head), body.as_str()), (502, "last"));
    assert_eq!(gateway.line().await["attempts"], 3);
}

#[tokio::test]
async fn listed_statuses_and_409_and_grpc_codes_are_retried_by_their_words() {
    let listed = policy::Retry {
        retry_on: vec!["retriable-status-codes".into(), "retriable-4xx".into(), "unavailable".into()],
        num_retries: 1,
        base_interval_ms: 1,
        retriable_status_codes: vec![418],
        ..Default::default()
    };
    for answer in ["418 Teapot\r\n", "409 Conflict\r\n", "200 OK\r\ngrpc-status: 14\r\n"] {
        let peer = Peer::bind().await;
        let gateway = Gateway::start(table(&[peer.address], &[any(&listed)])).await;
        let (mut client, mut upstream, _) =
            gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        upstream.send(format!("HTTP/1.1 {answer}content-length: 0\r\n\r\n")).await;
        peer.accept().await.serve("good").await;
        assert_eq!(client.answer().await.1, "good", "{answer}");
    }
}

#[tokio::test]
async fn a_body_is_sent_again_from_its_beginning() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(&[peer.address], &[retry(&["5xx"], 1, 0)])).await;
    let mut client = Wire::connect(gateway.address).await;
    let body = "x".repeat(300_000);
    client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
    let mut upstream = peer.accept().await;
    upstream.head().await;
    upstream.take(300_000).await;
    upstream.send("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    upstream.head().await;
    assert_eq!(upstream.take(300_000).await, body.as_bytes());
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.1, "ok");
}

#[tokio::test]
async fn half_a_body_is_replayed_and_the_rest_follows_from_the_client() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(&[peer.address], &[retry(&["reset"], 1, 0)])).await;
    let (mut client, mut upstream, _) =
        gateway.forwarded(&peer, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nfirst").await;
    assert_eq!(upstream.take(5).await, b"first");
    drop(upstream);
    let mut upstream = peer.accept().await;
    upstream.head().await;
    assert_eq!(upstream.take(5).await, b"first");
    client.send("after").await;
    assert_eq!(upstream.take(5).await, b"after");
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.1, "ok");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_not_sent_again() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(&[peer.address], &[retry(&["5xx"], 1, 0)])).await;
    let mut client = Wire::connect(gateway.address).await;
    let size = 1024 * 1024 + 1;
    client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n")).await;
    let mut upstream = peer.accept().await;
    upstream.head().await;
    client.send("x".repeat(size)).await;
    upstream.take(size).await;
    upstream.send("HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno").await;
    let (head, body) = client.answer().await;
    assert_eq!((status(&head), body.as_str()), (503, "no"), "the upstream's own answer passes");
    assert_eq!(gateway.line().await["attempts"], 1);
}

#[tokio::test]
async fn a_stale_connection_is_replaced_when_that_is_safe() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(&[peer.address], &[])).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    upstream.serve("one").await;
    client.answer().await;
    // It dies only after the next request is on it.
    client.send("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream.head().await;
    drop(upstream);
    peer.accept().await.serve("two").await;
    assert_eq!(client.answer().await.1, "two");
    assert_eq!(gateway.lines(2).await[1]["attempts"], 2);
}

#[tokio::test]
async fn a_post_that_may_have_had_its_effect_is_not_repeated() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(&[peer.address], &[])).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    upstream.serve("one").await;
    client.answer().await;
    client.send("POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;
    upstream.head().await;
    drop(upstream);
    let (head, body) = client.answer().await;
    assert_eq!(status(&head), 503);
    assert!(body.ends_with("reset reason: connection termination"), "{body}");
    assert!(peer.is_quiet());
    assert_eq!(gateway.lines(2).await[1]["reason"], "upstream_reset");
}

#[tokio::test]
async fn a_fresh_connection_that_dies_is_not_repeated_without_a_rule() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(&[peer.address], &[])).await;
    let (mut client, upstream, _) = gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    drop(upstream);
    assert_eq!(status(&client.answer().await.0), 503);
    assert!(peer.is_quiet());
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_502() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(&[peer.address], &[])).await;
    for garbage in
        ["SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"]
    {
        let (mut client, mut upstream, _) =
            gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        upstream.send(garbage).await;
        let (head, body) = client.answer().await;
        assert_eq!(status(&head), 502);
        assert!(body.ends_with("reset reason: protocol error"), "{body}");
    }
    assert_eq!(gateway.lines(2).await[0]["reason"], "upstream_protocol_error");
}

#[tokio::test]
async fn a_body_beyond_the_listener_s_buffer_is_not_sent_again() {
    let peer = Peer::bind().await;
    let mut table = table(&[peer.address], &[retry(&["5xx"], 1, 0)]);
    table.http.buffer_limit = 10;
    let gateway = Gateway::start(table).await;
    for (body, again) in [("0123456789", true), ("0123456789a", false)] {
        let mut client = Wire::connect(gateway.address).await;
        client
            .send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
            .await;
        for answer in ["500 No", "200 OK"].iter().take(1 + usize::from(again)) {
            let mut upstream = peer.accept().await;
            upstream.head().await;
            assert_eq!(upstream.take(body.len()).await, body.as_bytes());
            upstream.send(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n")).await;
        }
        assert_eq!(status(&client.answer().await.0), if again { 200 } else { 500 });
    }
}

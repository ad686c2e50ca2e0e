//! What changes or holds back bodies: buffer, gzip, and the gateway's own health.

use std::io::Read;

use portcullis_proto::policy::v1 as policy;

use crate::gateway::any;
use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

fn gzip() -> prost_types::Any {
    any(&policy::Compression {
        level: 6,
        window_bits: 12,
        min_length: 30,
        remove_accept_encoding: true,
        ..Default::default()
    })
}

#[tokio::test]
async fn an_answer_is_compressed_for_who_takes_it_and_says_so_to_everyone() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address).with(&[gzip()])).await;
    let text = "hello ".repeat(1000);
    let answer = |fields: &str| {
        let length = text.len();
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n{fields}content-length: {length}\r\n\r\n{text}"
        )
    };
    let (mut client, mut upstream, head) =
        gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: br, gzip\r\n\r\n").await;
    assert_eq!(header(&head, "accept-encoding"), None);
    upstream.send(answer("etag: \"strong\"\r\nvary: origin\r\n")).await;
    let head = client.head().await;
    assert_eq!(header(&head, "content-encoding"), Some("gzip"));
    assert_eq!(header(&head, "vary"), Some("origin, Accept-Encoding"));
    assert_eq!((header(&head, "etag"), header(&head, "content-length")), (None, None));
    let mut back = String::new();
    flate2::read::GzDecoder::new(client.chunked().await.as_slice()).read_to_string(&mut back).unwrap();
    assert_eq!(back, text);
    // Who takes nothing gets it as it is.
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream.head().await;
    upstream.send(answer("etag: W/\"weak\"\r\n")).await;
    let (head, body) = client.answer().await;
    assert_eq!(header(&head, "content-encoding"), None);
    assert_eq!(header(&head, "vary"), Some("Accept-Encoding"));
    assert_eq!(header(&head, "etag"), Some("W/\"weak\""));
    assert_eq!(body, text);
    for fields in ["cache-control: no-transform\r\n", "content-encoding: br\r\n"] {
        client.send("GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n").await;
        upstream.head().await;
        upstream.send(answer(fields)).await;
        let (head, body) = client.answer().await;
        assert_eq!((header(&head, "vary"), body.len()), (None, text.len()), "{fields}");
    }
}

#[tokio::test]
async fn pieces_of_a_compressed_stream_arrive_as_they_come() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address).with(&[gzip()])).await;
    let (mut client, mut upstream, _) =
        gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n").await;
    upstream
        .send(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        )
        .await;
    assert_eq!(header(&client.head().await, "content-encoding"), Some("gzip"));
    // The size of a chunk in hexadecimal: it is there before the upstream has said more.
    assert_ne!(client.take(1).await, b"0");
    upstream.send("0\r\n\r\n").await;
}

#[tokio::test]
async fn a_buffered_request_goes_on_when_it_is_complete_and_not_when_it_is_too_long() {
    let peer = Peer::bind().await;
    let buffer = any(&policy::Buffer { max_request_bytes: 10 });
    let gateway = Gateway::start(Table::to(peer.address).with(std::slice::from_ref(&buffer))).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    assert!(peer.is_quiet());
    client.send("0\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    let head = upstream.head().await;
    assert_eq!(header(&head, "content-length"), Some("5"));
    assert_eq!(upstream.take(5).await, b"hello");
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(status(&client.answer().await.0), 200);
    let long = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello world";
    let (head, _) = Wire::connect(gateway.address).await.ask(long).await;
    assert_eq!(status(&head), 413);
    // A route may want it otherwise.
    let off = any(&policy::BufferPerRoute { disabled: true, max_request_bytes: 0 });
    let gateway = Gateway::start(Table::to(peer.address).with(&[off, buffer])).await;
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, long).await;
    assert_eq!(upstream.take(11).await, b"hello world");
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(status(&client.answer().await.0), 200);
}

#[tokio::test]
async fn the_gateway_answers_for_itself_on_exactly_one_path() {
    let upstream = Peer::always("upstream").await;
    let check = any(&policy::HealthCheck { path: "/healthz".into() });
    let gateway = Gateway::start(Table::to(upstream).with(&[check])).await;
    let mut client = Wire::connect(gateway.address).await;
    for (path, body) in [("/healthz", ""), ("/healthz?x=1", "upstream"), ("/healthz/", "upstream")] {
        let answer = client.ask(&format!("GET {path} HTTP/1.1\r\nHost: any\r\n\r\n")).await;
        assert_eq!((status(&answer.0), answer.1.as_str()), (200, body), "{path}");
    }
    assert_eq!(gateway.lines(1).await[0]["reason"], "health_check");
}

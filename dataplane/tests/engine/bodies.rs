//! Bodies: framing, both directions at once, back-pressure, early answers, and clients and upstreams that leave.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

#[tokio::test]
async fn lengths_and_chunks_go_through_both_ways() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let (mut client, mut upstream, head) =
        gateway.forwarded(&peer, "POST /length HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello").await;
    assert_eq!(header(&head, "content-length"), Some("5"));
    assert_eq!(upstream.take(5).await, b"hello");
    upstream
        .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        .await;
    let head = client.head().await;
    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
    assert_eq!(client.chunked().await, b"abcde");

    client.send("POST /chunks HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n").await;
    let head = upstream.head().await;
    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
    assert_eq!(upstream.chunked().await, b"hello!");
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.1, "ok");
    let line = &gateway.lines(2).await[1];
    assert_eq!((line["bytes_received"].as_u64(), line["bytes_sent"].as_u64()), (Some(6), Some(2)));
}

#[tokio::test]
async fn a_large_body_is_echoed_while_it_comes() {
    const SIZE: usize = 20_000_000;
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let client = Wire::connect(gateway.address).await;
    tokio::spawn(async move {
        let mut upstream = peer.accept().await;
        upstream.head().await;
        upstream.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n")).await;
        let (mut read, mut write) = upstream.tcp.split();
        // Whatever came with the header is too little to matter: the client waits before it sends.
        tokio::io::copy(&mut read, &mut write).await.unwrap();
    });
    let (mut read, mut write) = client.tcp.into_split();
    write
        .write_all(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut reader = Reader { read: &mut read, buf: Vec::new() };
    reader.head().await;
    let piece: Vec<u8> = (0..=255u8).cycle().take(SIZE).collect();
    let expected = piece.clone();
    let sending = tokio::spawn(async move {
        write.write_all(&piece).await.unwrap();
        write
    });
    assert!(reader.take(SIZE).await == expected, "bytes were lost or changed");
    sending.await.unwrap();
}

struct Reader<'a> {
    read: &'a mut tokio::net::tcp::OwnedReadHalf,
    buf: Vec<u8>,
}

impl Reader<'_> {
    async fn more(&mut self) {
        use tokio::io::AsyncReadExt;
        let got = tokio::time::timeout(Duration::from_secs(20), self.read.read_buf(&mut self.buf)).await;
        assert!(got.expect("nothing came").unwrap() > 0, "ended after {} bytes", self.buf.len());
    }
    async fn head(&mut self) {
        while !self.buf.windows(4).any(|window| window == b"\r\n\r\n") {
            self.more().await;
        }
        let at = self.buf.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        self.buf.drain(..at + 4);
    }
    async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buf.len() < count {
            self.more().await;
        }
        self.buf.drain(..count).collect()
    }
}

/// Writes until nothing is taken for a while; says how much was.
async fn fill(tcp: &mut tokio::net::TcpStream, limit: usize) -> usize {
    let piece = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    while sent < limit {
        // Silence is what is waited for here, so a duration it must be.
        match tokio::time::timeout(Duration::from_millis(300), tcp.write(&piece)).await {
            Ok(written) => sent += written.unwrap(),
            Err(_) => return sent,
        }
    }
    sent
}

#[tokio::test]
async fn an_upload_stops_when_the_upstream_does_not_read() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let (mut client, _upstream, _) =
        gateway.forwarded(&peer, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 500000000\r\n\r\n").await;
    let sent = fill(&mut client.tcp, 500_000_000).await;
    assert!(sent < 60_000_000, "{sent} bytes were taken in");
}

#[tokio::test]
async fn a_download_stops_when_the_client_does_not_read() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 500000000\r\n\r\n").await;
    let sent = fill(&mut upstream.tcp, 500_000_000).await;
    assert!(sent < 60_000_000, "{sent} bytes were taken in");
    assert_eq!(status(&client.head().await), 200);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_upload_is_delivered() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let (mut client, mut upstream, _) =
        gateway.forwarded(&peer, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50000000\r\n\r\nstart").await;
    upstream.take(5).await;
    upstream.send("HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig").await;
    drop(upstream);
    let (head, body) = client.answer().await;
    assert_eq!((status(&head), body.as_str()), (413, "big"));
    assert_eq!(header(&head, "connection"), Some("close"));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_try() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let (client, mut upstream, _) = gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    drop(client);
    upstream.ends().await;
    let line = gateway.line().await;
    assert_eq!((line["status"].as_u64(), line["reason"].as_str()), (Some(499), Some("client_disconnect")));
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_answer_ends_it() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome").await;
    client.head().await;
    drop(client);
    upstream.ends().await;
    let line = gateway.line().await;
    assert_eq!((line["status"].as_u64(), line["reason"].as_str()), (Some(200), Some("client_disconnect")));
}

#[tokio::test]
async fn a_truncated_answer_is_passed_on_as_truncated() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    for header in ["content-length: 100", "transfer-encoding: chunked"] {
        let (mut client, mut upstream, _) =
            gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        upstream.send(format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n4\r\nsome\r\n")).await;
        drop(upstream);
        client.head().await;
        let rest = client.rest().await;
        assert!(!rest.ends_with(b"0\r\n\r\n") && rest.len() < 50, "{:?}", String::from_utf8_lossy(&rest));
    }
    assert_eq!(gateway.lines(2).await[0]["reason"], "upstream_truncated");
}

#[tokio::test]
async fn a_connection_with_something_left_over_is_not_used_again() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream
        .send(
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        )
        .await;
    assert_eq!(client.answer().await.1, "ok");
    client.send("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n").await;
    peer.accept().await.serve("good").await;
    assert_eq!(client.answer().await.1, "good");
}

#[tokio::test]
async fn a_malformed_chunk_is_refused() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut client = Wire::connect(gateway.address).await;
    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n")
        .await;
    assert_eq!(status(&client.head().await), 400);
    assert_eq!(gateway.line().await["reason"], "bad_request");
}

#[tokio::test]
async fn an_endless_answer_streams() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream
        .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    client.head().await;
    for _ in 0..100 {
        // Each event is here before the next one is sent.
        upstream.send("7\r\ndata: 1\r\n").await;
        assert_eq!(client.take(12).await, b"7\r\ndata: 1\r\n");
    }
}

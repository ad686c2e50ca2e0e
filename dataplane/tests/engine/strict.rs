//! Requests that have more than one reading, or none, do not reach an upstream.

use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

/// Sends `request`; it must be answered by `code`, and the connection be closed.
async fn refused(gateway: &Gateway, request: impl AsRef<[u8]>, code: u16) {
    let shown = String::from_utf8_lossy(request.as_ref()).chars().take(120).collect::<String>();
    let mut client = Wire::connect(gateway.address).await;
    client.send(request).await;
    let head = client.head().await;
    assert_eq!(status(&head), code, "{shown:?} got {head}");
    assert_eq!(header(&head, "connection"), Some("close"), "{shown:?} got {head}");
    client.rest().await;
}

#[tokio::test]
async fn malformed_requests_are_refused_and_the_connection_closed() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut count = 0;
    for request in [
        // Host
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        // Target
        "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ?x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET @evil/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET \\x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a?ä HTTP/1.1\r\nHost: a\r\n\r\n",
        // Framing
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-forwarded-for\r\n\r\n",
        "GARBAGE\r\n\r\n",
    ] {
        refused(&gateway, request, 400).await;
        count += 1;
    }
    assert!(peer.is_quiet(), "something reached the upstream");
    let lines = gateway.lines(count).await;
    assert!(lines.iter().all(|line| line["reason"] == "bad_request"), "{lines:?}");
}

#[tokio::test]
async fn other_transfer_codings_are_not_implemented() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    for coding in ["gzip, chunked", "chunked, chunked", "x\r\nTransfer-Encoding: chunked"] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n");
        refused(&gateway, request, 501).await;
    }
    refused(&gateway, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405).await;
}

#[tokio::test]
async fn large_headers_are_431() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let many: String = (0..101).map(|i| format!("x{i}: 1\r\n")).collect();
    refused(&gateway, format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431).await;
    let very_many: String = (0..300).map(|i| format!("x{i}: 1\r\n")).collect();
    refused(&gateway, format!("GET / HTTP/1.1\r\nHost: a\r\n{very_many}\r\n"), 431).await;
    refused(&gateway, format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n", "a".repeat(61_440)), 431).await;
    refused(&gateway, format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n", "a".repeat(2_000_000)), 431)
        .await;
    let lines = gateway.lines(4).await;
    assert_eq!(lines[3]["reason"], "header_too_large");
    // What could be read is said.
    let line = &lines[0];
    assert_eq!((line["method"].as_str(), line["path"].as_str()), (Some("GET"), Some("/")));
    assert_eq!((line["authority"].as_str(), line["protocol"].as_str()), (Some("a"), Some("HTTP/1.1")));
}

#[tokio::test]
async fn unusual_but_clear_requests_are_served() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut client = Wire::connect(gateway.address).await;
    let mut upstream: Option<Wire> = None;
    for (request, wanted) in [
        ("GET http://a.test/x?y HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET /x?y HTTP/1.1\r\nHost: a.test\r\n"),
        ("\r\nGET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n"),
        ("purge //x//y HTTP/1.1\r\nHost: my_svc\r\n\r\n", "purge //x//y HTTP/1.1\r\n"),
        ("GET /%61%2f?%61 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a%2f?%61 HTTP/1.1\r\n"),
    ] {
        client.send(request).await;
        if upstream.is_none() {
            upstream = Some(peer.accept().await);
        }
        let head = upstream.as_mut().unwrap().serve("ok").await;
        assert!(head.starts_with(wanted), "{head}");
        client.answer().await;
    }
    // No prefix matches an asterisk.
    assert_eq!(status(&client.ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await.0), 404);
}

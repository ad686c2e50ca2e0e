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
        // Target forms and Host
        "GET http://b/ HTTP/1.1\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET http://u@b/ HTTP/1.1\r\nHost: u@b\r\n\r\n",
        "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
        "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST * HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        // Bytes
        "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\u{7f}b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\tfolded\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        // Framing
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: gzip\r\n\r\nabc",
    ] {
        refused(&gateway, request, 400).await;
        count += 1;
    }
    assert!(peer.is_quiet(), "something reached the upstream");
    let lines = gateway.lines(count).await;
    for line in lines {
        assert!(line["reason"] == "bad_request" && line["detail"].is_string(), "{line}");
    }
}

/// Sends `body` in chunks; the answer must be 400 and nothing of the connections be used again.
async fn bad_chunks(body: &str) {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let (mut client, mut upstream, _) =
        gateway.forwarded(&peer, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send(body).await;
    client.send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!((status(&head), header(&head, "connection")), (400, Some("close")), "{body:?}");
    client.rest().await;
    let passed = upstream.rest().await;
    assert!(!passed.ends_with(b"0\r\n\r\n"), "{body:?} ended as {:?}", String::from_utf8_lossy(&passed));
    assert!(peer.is_quiet());
    let line = gateway.line().await;
    assert!(line["reason"] == "bad_request" && line["detail"].is_string(), "{line}");
}

#[tokio::test]
async fn malformed_chunks_end_the_request_and_the_connection() {
    for body in [
        "\r\n",
        "\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3;\0\r\nabc\r\n0\r\n\r\n",
        "0\r\nx : y\r\n\r\n",
        "0\r\nx\r\n\r\n",
        "0\r\nx: y\n\r\n",
        "0\r\n folded: y\r\n\r\n",
        "0\r\nx: \0\r\n\r\n",
        "0\n\n",
    ] {
        bad_chunks(body).await;
    }
    bad_chunks(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(5000))).await;
    bad_chunks(&format!("0\r\nx: {}\r\n\r\n", "y".repeat(9000))).await;
}

#[tokio::test]
async fn extensions_and_trailers_stay_behind() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send("3 ; a=\"b\"\r\nabc\r\n0\r\nContent-Length: 7\r\nx: y\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    upstream.head().await;
    assert_eq!(upstream.chunked().await, b"abc");
    upstream
        .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\ny: z\r\n\r\n")
        .await;
    client.head().await;
    assert_eq!(client.chunked().await, b"ok");
    // Both connections go on.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    upstream.serve("ok").await;
    assert_eq!(client.answer().await.1, "ok");
}

#[tokio::test]
async fn versions_that_are_not_spoken_are_505_and_long_targets_414() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9"] {
        refused(&gateway, format!("GET / {version}\r\nHost: a\r\n\r\n"), 505).await;
    }
    refused(&gateway, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 505).await;
    refused(&gateway, format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000)), 414).await;
    let lines = gateway.lines(5).await;
    assert_eq!((&lines[0]["reason"], &lines[0]["path"]), (&"version_not_supported".into(), &"/".into()));
    assert_eq!(lines[4]["reason"], "target_too_long");
}

#[tokio::test]
async fn a_host_in_the_target_takes_the_place_of_the_field() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    for (target, line) in [
        ("http://b.test:81/x?y", "GET /x?y HTTP/1.1\r\n"),
        ("HTTP://b.test:81", "GET / HTTP/1.1\r\n"),
        ("http://b.test:81?z", "GET /?z HTTP/1.1\r\n"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        let (mut client, mut upstream, head) = gateway.forwarded(&peer, request).await;
        assert!(head.starts_with(line), "{head}");
        assert_eq!(header(&head, "host"), Some("b.test:81"));
        assert!(!head.contains("a.test"), "{head}");
        upstream.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
        client.rest().await;
    }
    assert_eq!(gateway.lines(3).await[0]["authority"], "b.test:81");
}

#[tokio::test]
async fn what_a_client_sends_byte_by_byte_means_the_same() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut client = Wire::connect(gateway.address).await;
    let request =
        "\r\nPOST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n";
    for byte in request.bytes() {
        client.send([byte]).await;
        // So that it is read alone.
        tokio::task::yield_now().await;
    }
    let mut upstream = peer.accept().await;
    assert!(upstream.head().await.starts_with("POST /x HTTP/1.1\r\n"));
    assert_eq!(upstream.chunked().await, b"abc");
    for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" {
        upstream.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.answer().await.1, "ok");
}

#[tokio::test]
async fn answers_that_are_malformed_are_502() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let many: String = (0..101).map(|i| format!("x{i}: 1\r\n")).collect();
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: \0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx y: z\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        &format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
        &format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(62_000)),
    ] {
        let (mut client, mut upstream, _) =
            gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        upstream.send(answer).await;
        let shown: String = answer.chars().take(60).collect();
        assert_eq!(status(&client.head().await), 502, "{shown:?}");
    }
    let lines = gateway.lines(11).await;
    assert!(lines.iter().all(|line| line["reason"] == "upstream_protocol_error"), "{lines:?}");
}

#[tokio::test]
async fn the_answers_of_old_servers_are_put_in_order() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream.send("HTTP/1.1 200\nX : 1\nFolded: a\r\n\tb\ncontent-length: 2\n\nok").await;
    let (head, body) = client.answer().await;
    assert_eq!((header(&head, "x"), header(&head, "folded"), body.as_str()), (Some("1"), Some("a b"), "ok"));
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && !head.replace("\r\n", "").contains('\n'), "{head}");
}

#[tokio::test]
async fn other_transfer_codings_are_not_implemented() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    for coding in ["gzip, chunked", "chunked, chunked", "x\r\nTransfer-Encoding: chunked"] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n");
        refused(&gateway, request, 501).await;
    }
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

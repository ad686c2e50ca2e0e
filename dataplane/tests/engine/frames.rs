//! HTTP/2 by hand: requests that no client library would send.

use crate::{Gateway, Peer, Table, Wire};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What became of a stream.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// By the first byte of its header block, which is the index of a usual status.
    Answered(u8),
    Reset,
    Ended,
}

/// 400 in HPACK's static table (RFC 7541, appendix A).
const BAD_REQUEST: u8 = 0x8c;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Literals without indexing and without Huffman coding.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// Sends a request with these fields, without more or with this body.
async fn ask(gateway: &Gateway, fields: &[(&str, &str)], body: Option<&[u8]>) -> Outcome {
    let mut wire = Wire::connect(gateway.address).await;
    wire.send(PREFACE).await;
    wire.send(frame(4, 0, 0, &[])).await;
    let end = if body.is_some() { 4 } else { 5 };
    wire.send(frame(1, end, 1, &block(fields))).await;
    if let Some(body) = body {
        wire.send(frame(0, 1, 1, body)).await;
    }
    outcome(&mut wire).await
}

async fn outcome(wire: &mut Wire) -> Outcome {
    loop {
        let Some(head) = wire.some(9).await else { return Outcome::Ended };
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let payload = wire.take(length).await;
        match (head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]])) {
            (1, 1) => return Outcome::Answered(payload[0]),
            (3, 1) => return Outcome::Reset,
            (7, _) => return Outcome::Ended,
            _ => {}
        }
    }
}

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const AUTHORITY: (&str, &str) = (":authority", "a.test");
const PATH: (&str, &str) = (":path", "/");

#[tokio::test]
async fn pseudo_headers_and_fields_are_taken_literally_or_not_at_all() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let usual = [METHOD, SCHEME, AUTHORITY, PATH];
    let with = |field| [METHOD, SCHEME, AUTHORITY, PATH, field].to_vec();
    let path = |path| vec![METHOD, SCHEME, AUTHORITY, (":path", path)];
    let method = |method| vec![(":method", method), SCHEME, AUTHORITY, PATH];
    let authority = |authority| vec![METHOD, SCHEME, (":authority", authority), PATH];
    let cases: Vec<Vec<(&str, &str)>> = vec![
        // Pseudo-headers: twice, late, unknown, missing, of an answer
        with(METHOD),
        with(PATH),
        with(AUTHORITY),
        with(SCHEME),
        vec![METHOD, SCHEME, ("x", "1"), AUTHORITY, PATH],
        with((":x", "1")),
        with((":status", "200")),
        with((":protocol", "websocket")),
        vec![METHOD, SCHEME, PATH],
        vec![METHOD, SCHEME, AUTHORITY],
        vec![SCHEME, AUTHORITY, PATH],
        vec![METHOD, SCHEME, AUTHORITY, (":path", "")],
        // Targets
        path("x"),
        path("?x"),
        path("//\\evil"),
        path("/a b"),
        path("/a\tb"),
        path("/a\r\nx: 1"),
        path("/a\nx"),
        path("/a\0"),
        path("/a\u{7f}"),
        path("/\u{e4}"),
        path("/a%00"),
        path("http://b.test/"),
        path("*"),
        path("a.test:80"),
        // Methods
        method("GET "),
        method("G T"),
        method("GET / HTTP/1.1\r\nx:"),
        method(""),
        // Hosts
        authority("a.test, b.test"),
        authority("u@a.test"),
        authority("a.test/x"),
        authority("a b"),
        authority("a.test:99999"),
        authority("a.test:"),
        authority("a.test\r\nx: 1"),
        authority(""),
        with(("host", "b.test")),
        [&usual[..], &[("host", "a.test"), ("host", "a.test")]].concat(),
        vec![METHOD, SCHEME, PATH, ("host", "a b")],
        // Schemes
        vec![METHOD, (":scheme", "ftp"), AUTHORITY, PATH],
        vec![METHOD, (":scheme", "h\r\n"), AUTHORITY, PATH],
        // Fields
        with(("X-Upper", "1")),
        with(("connection", "close")),
        with(("keep-alive", "1")),
        with(("proxy-connection", "close")),
        with(("transfer-encoding", "chunked")),
        with(("upgrade", "websocket")),
        with(("te", "gzip")),
        with(("te", "trailers, gzip")),
        with(("x", "a\r\nb: c")),
        with(("x", "a\nb")),
        with(("x", "a\0b")),
        with(("x", " a")),
        with(("x", "a ")),
        with(("x y", "1")),
        with(("x:", "1")),
        with(("x\r\ny", "1")),
        with(("\"x\"", "1")),
        with(("", "1")),
        with(("content-length", "5")),
        with(("content-length", "+0")),
        with(("content-length", "0, 0")),
        // CONNECT has no path, and its extended form a protocol that is one
        vec![(":method", "CONNECT"), AUTHORITY],
        vec![(":method", "CONNECT"), SCHEME, (":authority", "a.test:443"), PATH],
        vec![(":method", "CONNECT"), (":authority", "a.test:443"), PATH],
        vec![(":method", "CONNECT"), (":protocol", "h2c"), SCHEME, AUTHORITY, PATH],
        vec![(":method", "CONNECT"), (":protocol", "HTTP/2"), SCHEME, AUTHORITY, PATH],
        vec![(":method", "CONNECT"), (":protocol", "a b"), SCHEME, AUTHORITY, PATH],
    ];
    for fields in &cases {
        let outcome = ask(&gateway, fields, None).await;
        assert!(
            matches!(outcome, Outcome::Answered(BAD_REQUEST) | Outcome::Reset | Outcome::Ended),
            "{fields:?}: {outcome:?}"
        );
    }
    // Bodies of another length than was said
    for (length, body) in [("5", &b"abc"[..]), ("1", b"abc"), ("0", b"abc")] {
        let fields = [("content-length", length)];
        let fields = [&[(":method", "POST"), SCHEME, AUTHORITY, PATH], &fields[..]].concat();
        let outcome = ask(&gateway, &fields, Some(body)).await;
        assert_ne!(outcome, Outcome::Answered(0x88), "{length}");
    }
}

#[tokio::test]
async fn nothing_of_an_abused_request_reaches_the_upstream_and_what_is_refused_here_is_logged() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let refused = [
        vec![METHOD, SCHEME, AUTHORITY, (":path", "/a%00")],
        vec![METHOD, SCHEME, AUTHORITY, PATH, ("host", "b.test")],
        vec![METHOD, SCHEME, (":authority", "u@a.test"), PATH],
        vec![METHOD, SCHEME, PATH],
        vec![METHOD, SCHEME, AUTHORITY, PATH, ("content-length", "0, 0")],
        vec![METHOD, SCHEME, AUTHORITY, PATH, ("x", "a ")],
    ];
    for fields in &refused {
        assert_eq!(ask(&gateway, fields, None).await, Outcome::Answered(BAD_REQUEST), "{fields:?}");
    }
    for line in gateway.lines(refused.len()).await {
        assert!(line["reason"] == "bad_request" && line["detail"].is_string(), "{line}");
        assert_eq!((line["status"].as_u64(), line["protocol"].as_str()), (Some(400), Some("HTTP/2")));
    }
    assert!(peer.is_quiet(), "something reached the upstream");
}

#[tokio::test]
async fn a_client_that_only_opens_and_resets_streams_is_sent_away() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut wire = Wire::connect(gateway.address).await;
    wire.send(PREFACE).await;
    wire.send(frame(4, 0, 0, &[])).await;
    let mut flood = Vec::new();
    for stream in (1..4000).step_by(2) {
        flood.extend(frame(1, 5, stream, &block(&[METHOD, SCHEME, AUTHORITY, PATH])));
        flood.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    // It may be cut off in the middle.
    let _ = tokio::io::AsyncWriteExt::write_all(&mut wire.tcp, &flood).await;
    wire.rest().await;
}

#[tokio::test]
async fn a_header_that_never_ends_is_cut_off() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut wire = Wire::connect(gateway.address).await;
    wire.send(PREFACE).await;
    wire.send(frame(4, 0, 0, &[])).await;
    let mut flood = frame(1, 1, 1, &block(&[METHOD, SCHEME, AUTHORITY, PATH]));
    for _ in 0..20_000 {
        flood.extend(frame(
            9,
            0,
            1,
            &block(&[("x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]),
        ));
    }
    let _ = tokio::io::AsyncWriteExt::write_all(&mut wire.tcp, &flood).await;
    wire.rest().await;
    assert!(peer.is_quiet(), "something reached the upstream");
}

#[tokio::test]
async fn a_preface_alone_does_not_hold_a_connection() {
    let peer = Peer::bind().await;
    let mut table = Table::to(peer.address);
    table.http.timeouts.get_or_insert_default().idle_ms = Some(100);
    table.http.timeouts.get_or_insert_default().drain_ms = Some(100);
    let gateway = Gateway::start(table).await;
    let mut wire = Wire::connect(gateway.address).await;
    wire.send(PREFACE).await;
    wire.rest().await;
}

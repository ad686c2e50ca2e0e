//! The fields after a body, on both sides and over both versions.

use bytes::Bytes;
use h2::{client, server};
use http::{HeaderMap, Request, Response};
use portcullis_proto::table::v1 as table;
use tokio::net::{TcpListener, TcpStream};

use crate::gateway::{endpoint, to};
use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

/// Trailers pass on both sides.
#[allow(clippy::needless_update, reason = "the message is to get more fields")]
fn passing(peer: &Peer) -> Table {
    let mut table = Table::default()
        .add_upstream(table::Upstream {
            name: "up".into(),
            endpoints: vec![endpoint(peer.address)],
            connect_timeout_ms: 2000,
            http: Some(table::UpstreamHttp { trailers: true, ..Default::default() }),
            ..Default::default()
        })
        .route("/", to("up"), &[]);
    table.http.http1.get_or_insert_default().trailers = true;
    table
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n";

/// The lines after the last chunk.
async fn section(wire: &mut Wire) -> String {
    assert_eq!(wire.take(3).await, b"0\r\n");
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") && text != b"\r\n" {
        text.extend(wire.take(1).await);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn trailers_pass_over_http1_where_both_sides_let_them() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(passing(&peer)).await;
    let mut client = Wire::connect(gateway.address).await;
    let mut upstream: Option<Wire> = None;
    for _ in 0..2 {
        client.send(CHUNKED).await;
        // What would frame, route or authenticate does not pass.
        client
            .send("3\r\nabc\r\n0\r\nx-sum: 1\r\nContent-Length: 7\r\nHost: evil\r\nAuthorization: a\r\nx-two:  b \r\n\r\n")
            .await;
        if upstream.is_none() {
            upstream = Some(peer.accept().await);
        }
        let upstream = upstream.as_mut().unwrap();
        let head = upstream.head().await;
        assert_eq!(header(&head, "trailer"), Some("x-sum"), "{head}");
        assert_eq!(upstream.take(8).await, b"3\r\nabc\r\n");
        assert_eq!(section(upstream).await, "x-sum: 1\r\nx-two: b\r\n\r\n");
        upstream
            .send("HTTP/1.1 200 OK\r\ntrailer: y\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\ny: z\r\nset-cookie: a=b\r\n\r\n")
            .await;
        let head = client.head().await;
        assert_eq!(header(&head, "trailer"), Some("y"), "{head}");
        assert_eq!(client.take(7).await, b"2\r\nok\r\n");
        assert_eq!(section(&mut client).await, "y: z\r\n\r\n");
    }
}

#[tokio::test]
async fn a_body_of_known_length_has_no_place_for_them() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(passing(&peer)).await;
    let (mut client, mut upstream, _) =
        gateway.forwarded(&peer, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!(upstream.take(2).await, b"hi");
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.1, "ok");
    // And none come where there are none.
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    upstream.head().await;
    assert_eq!(section(&mut upstream).await, "\r\n");
    upstream.send("HTTP/1.1 204 No\r\n\r\n").await;
    assert_eq!(status(&client.head().await), 204);
}

#[tokio::test]
async fn malformed_trailers_are_refused() {
    for trailer in [
        "x : 1\r\n\r\n".to_owned(),
        "x: 1\n\r\n".to_owned(),
        "x: \0\r\n\r\n".to_owned(),
        ": 1\r\n\r\n".to_owned(),
        " x: 1\r\n\r\n".to_owned(),
        "x: a\rb\r\n\r\n".to_owned(),
        format!("x: {}\r\n\r\n", "y".repeat(9000)),
        format!("{}\r\n", "x: 1\r\n".repeat(101)),
    ] {
        let peer = Peer::bind().await;
        let gateway = Gateway::start(passing(&peer)).await;
        let (mut client, mut upstream, _) = gateway.forwarded(&peer, CHUNKED).await;
        client.send(format!("3\r\nabc\r\n0\r\n{trailer}")).await;
        let head = client.head().await;
        assert_eq!((status(&head), header(&head, "connection")), (400, Some("close")), "{trailer:.20?}");
        assert!(!upstream.rest().await.ends_with(b"\r\n\r\n"), "{trailer:.20?}");
        assert_eq!(gateway.line().await["reason"], "bad_request");
    }
}

#[tokio::test]
async fn trailers_cross_from_http2_to_http1_and_back() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(passing(&peer)).await;
    let (send, connection) =
        client::handshake(TcpStream::connect(gateway.address).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    let mut send = send.ready().await.unwrap();
    let ask = Request::builder().method("POST").uri("http://a.test/").body(()).unwrap();
    let (response, mut stream) = send.send_request(ask, false).unwrap();
    stream.send_data("abc".into(), false).unwrap();
    stream.send_trailers(fields(&[("x-sum", "1"), ("content-length", "3")])).unwrap();
    let mut upstream = peer.accept().await;
    upstream.head().await;
    assert_eq!(upstream.take(8).await, b"3\r\nabc\r\n");
    assert_eq!(section(&mut upstream).await, "x-sum: 1\r\n\r\n");
    upstream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\ny: z\r\n\r\n").await;
    let mut response = response.await.unwrap();
    let body = response.body_mut();
    assert_eq!(body.data().await.unwrap().unwrap(), "ok");
    assert!(body.data().await.is_none());
    assert_eq!(body.trailers().await.unwrap().unwrap()["y"], "z");
}

#[tokio::test]
async fn request_trailers_reach_http2_upstreams() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut table = Table::to_h2(address);
    table.http.http1.get_or_insert_default().trailers = true;
    let gateway = Gateway::start(table).await;
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut connection = server::handshake(tcp).await.unwrap();
        let (mut call, mut respond) = connection.accept().await.unwrap().unwrap();
        tokio::spawn(async move { while connection.accept().await.is_some() {} });
        let body = call.body_mut();
        let data = body.data().await.unwrap().unwrap();
        assert!(body.data().await.is_none());
        let trailers = body.trailers().await.unwrap();
        let mut out = respond.send_response(Response::new(()), false).unwrap();
        out.send_data(Bytes::from_static(b"ok"), false).unwrap();
        out.send_trailers(fields(&[("y", "z")])).unwrap();
        (data, trailers)
    });
    let mut client = Wire::connect(gateway.address).await;
    client.send(CHUNKED).await;
    client.send("3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n").await;
    let (data, trailers) = serving.await.unwrap();
    assert_eq!((&data[..], trailers.unwrap()["x-sum"].as_bytes()), (&b"abc"[..], &b"1"[..]));
    client.head().await;
    assert_eq!(client.take(7).await, b"2\r\nok\r\n");
    assert_eq!(section(&mut client).await, "y: z\r\n\r\n");
}

fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
    list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

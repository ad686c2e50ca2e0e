//! CONNECT: as which it goes to the upstream, or which ends here; over HTTP/1 and HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use h2::client;
use http::{Method, Request};
use portcullis_proto::policy::v1::{HeaderAdd, HeaderLevel, Headers, Upgrade};
use portcullis_proto::table::v1 as table;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::gateway::{any, prefix, timeout, to};
use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

const ASK: &str = "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n";

fn connect() -> table::Match {
    table::Match { path: Some(table::r#match::Path::Connect(true)), ..Default::default() }
}

fn upgrade(terminates: bool) -> prost_types::Any {
    any(&Upgrade { connect: Some(true), connect_terminates: terminates, ..Default::default() })
}

/// CONNECT goes to `peer`, as it is or as what comes through it; everything else there too.
fn table(peer: &Peer, terminates: bool) -> Table {
    Table::default()
        .upstream("up", &[peer.address], false)
        .match_route(connect(), to("up"), &[upgrade(terminates), timeout(150)])
        .route("/", to("up"), &[])
}

#[tokio::test]
async fn a_connect_that_ends_here_is_bytes_for_the_upstream() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(&peer, true)).await;
    let mut client = Wire::connect(gateway.address).await;
    // Bytes of the tunnel may come with the header.
    client.send(format!("{ASK}early")).await;
    let head = client.head().await;
    assert_eq!(status(&head), 200, "{head}");
    for name in ["content-length", "transfer-encoding", "connection"] {
        assert_eq!(header(&head, name), None, "{head}");
    }
    let mut upstream = peer.accept().await;
    assert_eq!(upstream.take(5).await, b"early");
    // The route's limit is over with the answer.
    tokio::time::sleep(Duration::from_millis(200)).await;
    upstream.send("hello").await;
    assert_eq!(client.take(5).await, b"hello");
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(upstream.take(27).await, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    // A client that has said all still hears the rest.
    client.tcp.shutdown().await.unwrap();
    assert!(upstream.rest().await.is_empty());
    upstream.send("rest").await;
    drop(upstream);
    assert_eq!(client.rest().await, b"rest");
    let line = gateway.line().await;
    assert_eq!((line["status"].as_u64(), line["method"].as_str()), (Some(200), Some("CONNECT")));
    assert_eq!((line["bytes_received"].as_u64(), line["bytes_sent"].as_u64()), (Some(32), Some(9)));
    assert_eq!(line["authority"], "a.test:443");
}

#[tokio::test]
async fn a_connect_can_go_on_as_one() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(&peer, false)).await;
    let (mut client, mut upstream, head) = gateway
        .forwarded(&peer, "CONNECT a.test:443 HTTP/1.1\r\nHost: other\r\nUpgrade: websocket\r\nConnection: upgrade, x\r\nX: 1\r\nY: 2\r\n\r\nearly")
        .await;
    assert!(head.starts_with("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n"), "{head}");
    for name in ["content-length", "transfer-encoding", "connection", "upgrade", "x"] {
        assert_eq!(header(&head, name), None, "{head}");
    }
    assert_eq!(header(&head, "y"), Some("2"));
    // What an answer to CONNECT says of its length counts for nothing.
    upstream.send("HTTP/1.1 200 Established\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nz: 1\r\n\r\nhello").await;
    let head = client.head().await;
    assert_eq!((status(&head), header(&head, "z")), (200, Some("1")));
    assert_eq!((header(&head, "content-length"), header(&head, "transfer-encoding")), (None, None));
    assert_eq!(client.take(5).await, b"hello");
    assert_eq!(upstream.take(5).await, b"early");
    drop(upstream);
    client.ends().await;
    assert_eq!(gateway.line().await["status"], 200);
}

#[tokio::test]
async fn an_upstream_may_refuse_it() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(&peer, false)).await;
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, ASK).await;
    upstream.send("HTTP/1.1 407 No\r\ncontent-length: 2\r\n\r\nno").await;
    let (head, body) = client.answer().await;
    assert_eq!((status(&head), body.as_str()), (407, "no"));
    // 101 is an answer to something else.
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, ASK).await;
    upstream.send("HTTP/1.1 101 Ok\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n").await;
    assert_eq!(status(&client.head().await), 502);
}

#[tokio::test]
async fn without_leave_it_is_refused_and_only_connect_routes_match() {
    let peer = Peer::bind().await;
    let refused = async |table: Table, code: u16, reason: &str| {
        let gateway = Gateway::start(table).await;
        let mut client = Wire::connect(gateway.address).await;
        client.send(ASK).await;
        let head = client.head().await;
        assert_eq!((status(&head), header(&head, "connection")), (code, Some("close")), "{head}");
        client.rest().await;
        assert_eq!(gateway.line().await["reason"], reason);
    };
    refused(Table::to(peer.address), 404, "no_route").await;
    let plain = Table::default().upstream("up", &[peer.address], false);
    refused(plain.match_route(connect(), to("up"), &[]), 403, "connect_not_allowed").await;
    let direct =
        table::route::Action::DirectResponse(table::DirectResponse { status: 200, body: "hi".into() });
    refused(Table::default().match_route(connect(), direct, &[]), 403, "connect_not_allowed").await;
    let off = any(&Upgrade { connect: Some(false), connect_terminates: true, ..Default::default() });
    let mut table = Table::default().upstream("up", &[peer.address], false);
    table.http.upgrades.push(table::Upgrade { protocol: "CONNECT".into(), enabled: true });
    refused(table.match_route(connect(), to("up"), &[off]), 403, "connect_not_allowed").await;
    assert!(peer.is_quiet());
    let nowhere = Table::default().upstream("up", &[Peer::nowhere().await], false);
    refused(nowhere.match_route(connect(), to("up"), &[upgrade(true)]), 503, "connect_failed").await;
    // The listener's leave is enough, and is none for a protocol of that name.
    let mut table = Table::to(peer.address).match_route(connect(), to("up"), &[]);
    table.http.upgrades.push(table::Upgrade { protocol: "CONNECT".into(), enabled: true });
    let gateway = Gateway::start(table).await;
    let (_client, _upstream, head) = gateway.forwarded(&peer, ASK).await;
    assert!(head.starts_with("CONNECT a.test:443 "), "{head}");
    let ask = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: CONNECT\r\n\r\n";
    assert_eq!(status(&Wire::connect(gateway.address).await.ask(ask).await.0), 403);
}

#[tokio::test]
async fn a_connect_has_a_port_no_content_and_one_host() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(&peer, true)).await;
    for (request, code) in [
        ("CONNECT a.test HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        ("CONNECT a.test: HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        ("CONNECT a.test:0x1 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        ("CONNECT u@a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", 400),
        ("CONNECT http://a.test:443/ HTTP/1.1\r\nHost: a.test:443\r\n\r\n", 400),
        ("CONNECT /x HTTP/1.1\r\nHost: a.test:443\r\n\r\n", 400),
        ("CONNECT a.test:443 HTTP/1.1\r\n\r\n", 400),
        ("CONNECT a.test:443 HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (
            "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        ("CONNECT a.test:443 HTTP/1.0\r\nHost: a.test:443\r\n\r\n", 426),
    ] {
        let mut client = Wire::connect(gateway.address).await;
        client.send(request).await;
        let head = client.head().await;
        assert_eq!(
            (status(&head), header(&head, "connection")),
            (code, Some("close")),
            "{request:?} got {head}"
        );
        client.rest().await;
    }
    assert!(peer.is_quiet(), "something reached the upstream");
}

#[tokio::test]
async fn policies_see_a_connect_as_any_other_request() {
    let peer = Peer::bind().await;
    let add = HeaderAdd { name: "x-added".into(), value: "yes".into(), overwrite: true };
    let headers = any(&Headers {
        request: vec![HeaderLevel { add: vec![add], ..Default::default() }],
        ..Default::default()
    });
    let table = Table::default().upstream("up", &[peer.address], false).match_route(
        connect(),
        to("up"),
        &[headers, upgrade(false)],
    );
    let gateway = Gateway::start(table).await;
    let (_client, _upstream, head) = gateway.forwarded(&peer, ASK).await;
    assert_eq!(header(&head, "x-added"), Some("yes"));
    // One that answers ends it.
    let fault = any(&portcullis_proto::policy::v1::Fault {
        abort_per_million: 1_000_000,
        abort_status: 451,
        ..Default::default()
    });
    let table = Table::default().upstream("up", &[peer.address], false).match_route(
        connect(),
        to("up"),
        &[fault, upgrade(true)],
    );
    let gateway = Gateway::start(table).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send(ASK).await;
    assert_eq!(status(&client.head().await), 451);
    client.rest().await;
    assert!(peer.is_quiet());
}

async fn h2(gateway: &Gateway) -> client::SendRequest<Bytes> {
    let (send, connection) =
        client::handshake(TcpStream::connect(gateway.address).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    send.ready().await.unwrap()
}

fn h2_connect() -> Request<()> {
    Request::builder().method(Method::CONNECT).uri("a.test:443").body(()).unwrap()
}

#[tokio::test]
async fn a_stream_of_http2_can_be_the_tunnel() {
    for terminates in [true, false] {
        let peer = Peer::bind().await;
        let gateway = Gateway::start(table(&peer, terminates)).await;
        let mut send = h2(&gateway).await;
        let (response, mut stream) = send.send_request(h2_connect(), false).unwrap();
        let mut upstream = peer.accept().await;
        if !terminates {
            assert!(upstream.head().await.starts_with("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n"));
            upstream.send("HTTP/1.1 200 Ok\r\n\r\n").await;
        }
        let mut response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("content-length"));
        stream.send_data("ping".into(), false).unwrap();
        assert_eq!(upstream.take(4).await, b"ping");
        upstream.send("pong").await;
        assert_eq!(response.body_mut().data().await.unwrap().unwrap(), "pong");
        stream.send_data("last".into(), true).unwrap();
        assert_eq!(upstream.rest().await, b"last");
        upstream.send("rest").await;
        drop(upstream);
        assert_eq!(response.body_mut().data().await.unwrap().unwrap(), "rest");
        assert!(response.body_mut().data().await.is_none());
        let line = gateway.line().await;
        assert_eq!((line["bytes_received"].as_u64(), line["bytes_sent"].as_u64()), (Some(8), Some(8)));
        assert_eq!((line["protocol"].as_str(), line["method"].as_str()), (Some("HTTP/2"), Some("CONNECT")));
    }
}

#[tokio::test]
async fn a_refused_stream_ends_at_once_and_its_siblings_go_on() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut send = h2(&gateway).await;
    let (response, _stream) = send.send_request(h2_connect(), false).unwrap();
    let response = tokio::time::timeout(Duration::from_millis(900), response).await.expect("late").unwrap();
    assert_eq!(response.status(), 404);
    let other = Request::builder().uri("http://a.test/x").body(()).unwrap();
    let (response, _) = send.send_request(other, true).unwrap();
    peer.accept().await.serve("ok").await;
    assert_eq!(response.await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_upstream_that_does_not_read_stops_the_client() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(table(&peer, true)).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send(ASK).await;
    client.head().await;
    let upstream = peer.accept().await;
    let piece = vec![7; 1024 * 1024];
    let mut sent = 0;
    // The kernel takes some megabytes on both ways; what the gateway takes beyond that is a queue's length.
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(500), client.tcp.write(&piece)).await {
        sent += written.unwrap();
        assert!(sent < 64 * 1024 * 1024, "nothing stops the client");
    }
    drop(upstream);
    client.rest().await;
}

#[tokio::test]
async fn connects_do_not_match_paths() {
    let peer = Peer::bind().await;
    let table = Table::default().upstream("up", &[peer.address], false).match_route(
        prefix("/"),
        to("up"),
        &[upgrade(true)],
    );
    let gateway = Gateway::start(table).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send(ASK).await;
    assert_eq!(status(&client.head().await), 404);
}

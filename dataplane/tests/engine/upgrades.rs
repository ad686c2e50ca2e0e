//! WebSocket and other protocols behind an Upgrade.

use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

#[tokio::test]
async fn an_upgrade_becomes_a_tunnel_in_both_directions() {
    for protocol in ["websocket", "my-own/1"] {
        let peer = Peer::bind().await;
        // The route's limit does not concern an established tunnel.
        let table = Table::to(peer.address).with(&[crate::gateway::timeout(100)]).upgrades_to("my-own/1");
        let gateway = Gateway::start(table).await;
        let mut client = Wire::connect(gateway.address).await;
        client
            .send(format!(
                "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {protocol}\r\n\
                 Sec-WebSocket-Key: k\r\n\r\n"
            ))
            .await;
        let mut upstream = peer.accept().await;
        let head = upstream.head().await;
        assert_eq!(header(&head, "upgrade"), Some(protocol));
        assert_eq!(header(&head, "connection"), Some("upgrade"));
        upstream
            .send(format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: {protocol}\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: a\r\n\r\nfirst"
            ))
            .await;
        let head = client.head().await;
        assert_eq!(status(&head), 101);
        assert_eq!(header(&head, "upgrade"), Some(protocol));
        assert_eq!(header(&head, "connection"), Some("upgrade"));
        assert_eq!(header(&head, "sec-websocket-accept"), Some("a"));
        assert_eq!(client.take(5).await, b"first");
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        for round in 0..50u8 {
            client.send([round; 3000]).await;
            assert_eq!(upstream.take(3000).await, [round; 3000]);
            upstream.send([round; 2000]).await;
            assert_eq!(client.take(2000).await, [round; 2000]);
        }
        drop(client);
        upstream.ends().await;
        drop(upstream);
        let line = gateway.line().await;
        assert_eq!(line["status"], 101);
        assert_eq!(line["bytes_received"], 150_000);
    }
}

#[tokio::test]
async fn the_upstream_s_end_of_a_tunnel_reaches_the_client() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let (mut client, mut upstream, _) = gateway
        .forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    upstream.send("HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nlast words").await;
    drop(upstream);
    client.head().await;
    assert_eq!(client.rest().await, b"last words");
}

#[tokio::test]
async fn an_upgrade_that_the_upstream_refuses_is_an_ordinary_answer() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let (mut client, mut upstream, _) = gateway
        .forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    upstream.send("HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno").await;
    assert_eq!(status(&client.answer().await.0), 403);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream.serve("ok").await;
    assert_eq!(client.answer().await.1, "ok");
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_refused() {
    for upgrade in [
        "",
        "Upgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: AA\r\n",
        "Upgrade: websocket, h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: AA\r\n",
        "Upgrade: x\r\nUpgrade: H2C\r\nConnection: upgrade\r\n",
        "Upgrade: x, HTTP/2.0\r\nConnection: upgrade\r\n",
    ] {
        let peer = Peer::bind().await;
        let gateway = Gateway::start(Table::to(peer.address)).await;
        let (mut client, mut upstream, head) =
            gateway.forwarded(&peer, format!("GET / HTTP/1.1\r\nHost: h\r\n{upgrade}\r\n")).await;
        assert_eq!(header(&head, "upgrade"), None);
        assert_eq!(header(&head, "http2-settings"), None);
        upstream.send("HTTP/1.1 101 Surprise\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nevil").await;
        assert_eq!(status(&client.answer().await.0), 502);
        assert_eq!(gateway.line().await["reason"], "upstream_protocol_error");
    }
}

#[tokio::test]
async fn a_101_to_another_protocol_is_refused() {
    for (granted, code) in [
        ("Upgrade: WebSocket\r\n", 101),
        ("Upgrade: other\r\n", 502),
        ("Upgrade: h2c\r\n", 502),
        ("Upgrade: websocket, h2c\r\n", 502),
        ("", 502),
    ] {
        let peer = Peer::bind().await;
        let gateway = Gateway::start(Table::to(peer.address)).await;
        let (mut client, mut upstream, _) = gateway
            .forwarded(
                &peer,
                "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            )
            .await;
        upstream.send(format!("HTTP/1.1 101 Ok\r\n{granted}Connection: upgrade\r\n\r\n")).await;
        assert_eq!(status(&client.head().await), code, "{granted:?}");
    }
}

#[tokio::test]
async fn a_client_that_has_said_all_still_hears_the_rest() {
    use tokio::io::AsyncWriteExt;
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address).upgrades_to("x")).await;
    let (mut client, mut upstream, _) = gateway
        .forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        .await;
    upstream.send("HTTP/1.1 101 Ok\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").await;
    client.head().await;
    client.send("question").await;
    client.tcp.shutdown().await.unwrap();
    assert_eq!(upstream.rest().await, b"question");
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    upstream.send("answer").await;
    drop(upstream);
    assert_eq!(client.rest().await, b"answer");
    assert_eq!(gateway.line().await["status"], 101);
}

#[tokio::test]
async fn a_route_decides_about_websocket_whatever_its_listener_says() {
    let peer = Peer::bind().await;
    let upgrade = |websocket| {
        crate::gateway::any(&portcullis_proto::policy::v1::Upgrade {
            websocket: Some(websocket),
            ..Default::default()
        })
    };
    let ask = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let gateway = Gateway::start(Table::to(peer.address).with(&[upgrade(false)])).await;
    assert_eq!(status(&Wire::connect(gateway.address).await.ask(ask).await.0), 403);
    assert_eq!(gateway.line().await["reason"], "upgrade_failed");
    let mut table = Table::to(peer.address).with(&[upgrade(true)]);
    table
        .http
        .upgrades
        .push(portcullis_proto::table::v1::Upgrade { protocol: "websocket".into(), enabled: false });
    let gateway = Gateway::start(table).await;
    let (_client, _upstream, head) = gateway.forwarded(&peer, ask).await;
    assert_eq!(header(&head, "upgrade"), Some("websocket"));
}

#[tokio::test]
async fn what_the_listener_does_not_allow_is_refused() {
    let peer = Peer::bind().await;
    let mut table = Table::to(peer.address).upgrades_to("x");
    table
        .http
        .upgrades
        .push(portcullis_proto::table::v1::Upgrade { protocol: "websocket".into(), enabled: false });
    let gateway = Gateway::start(table).await;
    for protocol in ["other", "WebSocket", "x, other"] {
        let mut client = Wire::connect(gateway.address).await;
        client
            .send(format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n"))
            .await;
        assert_eq!(status(&client.head().await), 403, "{protocol}");
    }
    assert_eq!(gateway.line().await["reason"], "upgrade_failed");
}

/// The extended CONNECT of RFC 8441.
fn extended(protocol: &'static str) -> http::Request<()> {
    http::Request::builder()
        .method(http::Method::CONNECT)
        .uri("http://a.test/chat?x")
        .header("sec-websocket-version", "13")
        .header("origin", "http://a.test")
        .extension(h2::ext::Protocol::from_static(protocol))
        .body(())
        .unwrap()
}

async fn over_http2(gateway: &Gateway) -> h2::client::SendRequest<bytes::Bytes> {
    let tcp = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let (send, connection) = h2::client::handshake(tcp).await.unwrap();
    tokio::spawn(connection);
    send.ready().await.unwrap()
}

/// Waits until the gateway has said whether it knows it.
async fn knows_extended(send: &mut h2::client::SendRequest<bytes::Bytes>, peer: &Peer) -> bool {
    let ask = http::Request::builder().uri("http://a.test/").body(()).unwrap();
    let (response, _) = send.send_request(ask, true).unwrap();
    peer.accept().await.serve("ok").await;
    response.await.unwrap();
    send.is_extended_connect_protocol_enabled()
}

#[tokio::test]
async fn a_websocket_may_be_a_stream_of_http2() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address).with(&[crate::gateway::timeout(1000)])).await;
    let mut send = over_http2(&gateway).await;
    assert!(knows_extended(&mut send, &peer).await);
    let (response, mut stream) = send.send_request(extended("websocket"), false).unwrap();
    let mut upstream = peer.accept().await;
    let head = upstream.head().await;
    assert!(head.starts_with("GET /chat?x HTTP/1.1\r\nHost: a.test\r\n"), "{head}");
    assert_eq!((header(&head, "upgrade"), header(&head, "connection")), (Some("websocket"), Some("upgrade")));
    assert_eq!(header(&head, "sec-websocket-key").unwrap().len(), 24);
    assert_eq!(header(&head, "sec-websocket-version"), Some("13"));
    assert_eq!((header(&head, "content-length"), header(&head, "transfer-encoding")), (None, None));
    upstream
        .send("HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\nhello")
        .await;
    let mut response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    for name in ["upgrade", "connection"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    assert_eq!(response.body_mut().data().await.unwrap().unwrap(), "hello");
    stream.send_data("ping".into(), false).unwrap();
    assert_eq!(upstream.take(4).await, b"ping");
    stream.send_data("bye".into(), true).unwrap();
    assert_eq!(upstream.rest().await, b"bye");
    drop(upstream);
    // The end may come in a frame of its own.
    while let Some(piece) = response.body_mut().data().await {
        assert!(piece.unwrap().is_empty());
    }
    let line = &gateway.lines(2).await[1];
    assert_eq!((line["status"].as_u64(), line["protocol"].as_str()), (Some(101), Some("HTTP/2")));
    assert_eq!((line["bytes_received"].as_u64(), line["bytes_sent"].as_u64()), (Some(7), Some(5)));
}

#[tokio::test]
async fn an_upstream_may_refuse_the_websocket_of_a_stream() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut send = over_http2(&gateway).await;
    assert!(knows_extended(&mut send, &peer).await);
    let (response, _stream) = send.send_request(extended("websocket"), false).unwrap();
    let mut upstream = peer.accept().await;
    upstream.head().await;
    upstream.send("HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno").await;
    let mut response = response.await.unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(response.body_mut().data().await.unwrap().unwrap(), "no");
    // A client over HTTP/2 would take this for the tunnel.
    let (response, _stream) = send.send_request(extended("websocket"), false).unwrap();
    upstream.serve("no").await;
    assert_eq!(response.await.unwrap().status(), 502);
    let (response, _stream) = send.send_request(extended("other"), false).unwrap();
    assert_eq!(response.await.unwrap().status(), 403);
    assert_eq!(gateway.lines(4).await[3]["reason"], "upgrade_failed");
}

#[tokio::test]
async fn a_listener_without_websockets_does_not_offer_them_over_http2() {
    let peer = Peer::bind().await;
    let mut table = Table::to(peer.address);
    table
        .http
        .upgrades
        .push(portcullis_proto::table::v1::Upgrade { protocol: "websocket".into(), enabled: false });
    let gateway = Gateway::start(table).await;
    let mut send = over_http2(&gateway).await;
    assert!(!knows_extended(&mut send, &peer).await);
}

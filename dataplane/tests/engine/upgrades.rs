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

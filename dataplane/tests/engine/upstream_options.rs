//! What an upstream says about its connections and about HTTP on them.

use std::time::Duration;

use portcullis_proto::table::v1 as proto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use crate::gateway::{endpoint, timeout, to};
use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// Everything to one upstream of these options.
async fn gateway(peer: &Peer, with: proto::Upstream) -> Gateway {
    let upstream = proto::Upstream {
        name: "up".into(),
        endpoints: vec![endpoint(peer.address)],
        connect_timeout_ms: 5000,
        ..with
    };
    Gateway::start(Table::default().add_upstream(upstream).route("/", to("up"), &[])).await
}

fn connections(connections: proto::Connections) -> proto::Upstream {
    proto::Upstream { connections: Some(connections), ..Default::default() }
}

fn http(http: proto::UpstreamHttp) -> proto::Upstream {
    proto::Upstream { http: Some(http), ..Default::default() }
}

async fn line(wire: &mut Wire) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend(wire.take(1).await);
    }
    String::from_utf8(line).unwrap()
}

#[tokio::test]
async fn each_client_has_connections_of_its_own_that_begin_with_its_addresses() {
    let peer = Peer::bind().await;
    let with = proto::Connections { proxy_protocol: proto::ProxyVersion::V1 as i32, ..Default::default() };
    let gateway = gateway(&peer, connections(with)).await;
    let mut first = Wire::connect(gateway.address).await;
    let mut second = Wire::connect(gateway.address).await;
    let mut upstreams = Vec::new();
    for client in [&mut first, &mut second] {
        client.send(GET).await;
        let mut upstream = peer.accept().await;
        let (from, to) = (client.tcp.local_addr().unwrap(), gateway.address);
        let wanted = format!("PROXY TCP4 {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port());
        assert_eq!(line(&mut upstream).await, wanted);
        upstream.serve("one").await;
        assert_eq!(client.answer().await.1, "one");
        upstreams.push(upstream);
    }
    // The connections are kept, each for its client.
    for (client, upstream) in [(&mut second, 1), (&mut first, 0)] {
        client.send(GET).await;
        assert!(upstreams[upstream].serve("two").await.starts_with("GET / HTTP/1.1\r\n"));
        assert_eq!(client.answer().await.1, "two");
    }
    assert!(peer.is_quiet());
}

#[tokio::test]
async fn a_connection_for_nobody_says_so_in_version_2() {
    let peer = Peer::bind().await;
    let with = proto::Connections { proxy_protocol: proto::ProxyVersion::V2 as i32, ..Default::default() };
    let checked = proto::HealthCheck {
        timeout_ms: 5000,
        interval_ms: 60_000,
        unhealthy_threshold: 1,
        healthy_threshold: 1,
        checker: Some(proto::health_check::Checker::Tcp(proto::TcpCheck::default())),
        ..Default::default()
    };
    let _gateway = gateway(&peer, proto::Upstream { health_check: Some(checked), ..connections(with) }).await;
    let mut upstream = peer.accept().await;
    assert_eq!(upstream.take(16).await, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
}

fn through(authority: &str) -> proto::Upstream {
    connections(proto::Connections {
        http_connect: Some(proto::HttpConnect {
            authority: authority.into(),
            headers: vec![proto::ConnectHeader { name: "x-pass".into(), value: "hunter2".into() }],
            tls: None,
        }),
        ..Default::default()
    })
}

#[tokio::test]
async fn requests_go_through_a_tunnel_that_a_proxy_opens() {
    let peer = Peer::bind().await;
    let gateway = gateway(&peer, through("inside.test:80")).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send(GET).await;
    let mut proxy = peer.accept().await;
    let head = proxy.head().await;
    assert_eq!(head, "CONNECT inside.test:80 HTTP/1.1\r\nHost: inside.test:80\r\nx-pass: hunter2\r\n\r\n");
    proxy.send("HTTP/1.1 200 OK\r\n\r\n").await;
    for body in ["one", "two"] {
        let head = proxy.serve(body).await;
        assert!(head.starts_with("GET / HTTP/1.1\r\n") && !head.contains("hunter2"), "{head}");
        assert_eq!(client.answer().await.1, body);
        if body == "one" {
            client.send(GET).await;
        }
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_is_a_failure_to_connect() {
    let peer = Peer::bind().await;
    let gateway = gateway(&peer, through("inside.test:80")).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send(GET).await;
    let mut proxy = peer.accept().await;
    proxy.head().await;
    proxy.send("HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(status(&client.answer().await.0), 503);
    let line = gateway.line().await;
    assert_eq!((line["reason"].as_str(), line["flags"].as_str()), (Some("connect_failed"), Some("UF")));
    assert_eq!(line["detail"], "the proxy answers CONNECT by 407");
}

#[tokio::test]
async fn answers_have_no_more_fields_than_the_upstream_may_send() {
    let peer = Peer::bind().await;
    let gateway = gateway(&peer, http(proto::UpstreamHttp { header_fields: 2, ..Default::default() })).await;
    for (field, wanted) in [("", 200), ("a: 1\r\n", 502)] {
        let mut client = Wire::connect(gateway.address).await;
        client.send(GET).await;
        let mut upstream = peer.accept().await;
        upstream.head().await;
        upstream
            .send(format!("HTTP/1.1 200 OK\r\n{field}content-length: 0\r\nconnection: close\r\n\r\n"))
            .await;
        assert_eq!(status(&client.answer().await.0), wanted);
    }
}

#[tokio::test]
async fn names_of_fields_are_written_as_the_upstream_wants_them_or_stay_as_it_wrote_them() {
    let peer = Peer::bind().await;
    let proper = proto::HeaderCase::Proper as i32;
    let gateway1 =
        gateway(&peer, http(proto::UpstreamHttp { header_case: proper, ..Default::default() })).await;
    let mut client = Wire::connect(gateway1.address).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nx-own-field: 1\r\ncontent-length: 2\r\n\r\nab").await;
    let mut upstream = peer.accept().await;
    let head = upstream.head().await;
    assert!(head.contains("\r\nX-Own-Field: 1\r\n") && head.contains("\r\nContent-Length: 2\r\n"), "{head}");
    assert!(head.contains("\r\nX-Request-Id: "), "{head}");

    let keep = proto::HeaderCase::Preserve as i32;
    let gateway2 =
        gateway(&peer, http(proto::UpstreamHttp { header_case: keep, ..Default::default() })).await;
    let mut client = Wire::connect(gateway2.address).await;
    client.send(GET).await;
    let mut upstream = peer.accept().await;
    assert!(upstream.head().await.contains("\r\nx-request-id: "));
    upstream.send("HTTP/1.1 200 OK\r\nX-oWn: 1\r\nContent-LENGTH: 2\r\n\r\nok").await;
    let (head, _) = client.answer().await;
    assert!(head.contains("\r\nX-oWn: 1\r\n") && head.contains("\r\nContent-LENGTH: 2\r\n"), "{head}");
    assert!(head.contains("\r\nserver: "), "{head}");
}

#[tokio::test]
async fn a_try_ends_when_the_upstream_allows_it_no_more_time() {
    let peer = Peer::bind().await;
    let limited = http(proto::UpstreamHttp { max_stream_ms: 50, ..Default::default() });
    let gateway = gateway(&peer, limited).await;
    let (mut client, _upstream, _) = gateway.forwarded(&peer, GET).await;
    let (head, body) = client.answer().await;
    assert_eq!((status(&head), body.as_str()), (408, "upstream max stream duration reached"));
    let line = gateway.line().await;
    assert_eq!(
        (line["reason"].as_str(), line["flags"].as_str()),
        (Some("upstream_max_duration"), Some("UMSDR"))
    );

    let (mut client, mut upstream, _) = gateway.forwarded(&peer, GET).await;
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab").await;
    assert_eq!(status(&client.head().await), 200);
    assert_eq!(client.rest().await, b"ab", "the answer is cut");
}

#[tokio::test]
async fn an_idle_connection_is_not_used_longer_than_the_upstream_says() {
    let peer = Peer::bind().await;
    let with = proto::Connections { idle_timeout_ms: Some(1), ..Default::default() };
    let gateway = gateway(&peer, connections(with)).await;
    let mut client = Wire::connect(gateway.address).await;
    for body in ["one", "two"] {
        client.send(GET).await;
        peer.accept().await.serve(body).await;
        assert_eq!(client.answer().await.1, body);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn connections_are_made_in_advance_where_that_is_wanted() {
    let peer = Peer::bind().await;
    let with = proto::Connections {
        preconnect: Some(proto::Preconnect { per_endpoint: 3.0, ahead: 0.0 }),
        ..Default::default()
    };
    let gateway = gateway(&peer, connections(with)).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send(GET).await;
    // One for the request, and two that nobody has asked for yet.
    let mut open = [peer.accept().await, peer.accept().await, peer.accept().await];
    open[0].serve("one").await;
    assert_eq!(client.answer().await.1, "one");
    assert!(peer.is_quiet());
}

#[tokio::test]
async fn connections_in_advance_go_to_endpoints_that_have_none() {
    let peers = [Peer::bind().await, Peer::bind().await];
    let with = proto::Connections {
        preconnect: Some(proto::Preconnect { per_endpoint: 0.0, ahead: 2.0 }),
        ..Default::default()
    };
    let upstream = proto::Upstream {
        name: "up".into(),
        endpoints: peers.iter().map(|peer| endpoint(peer.address)).collect(),
        ..connections(with)
    };
    let gateway = Gateway::start(Table::default().add_upstream(upstream).route("/", to("up"), &[])).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send(GET).await;
    let (_a, _b) = (peers[0].accept().await, peers[1].accept().await);
}

#[tokio::test]
async fn a_unix_socket_is_an_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("up.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let pipe = path.to_str().unwrap().to_owned();
    let upstream = proto::Upstream {
        name: "up".into(),
        endpoints: vec![proto::Endpoint { pipe: pipe.clone(), ..Default::default() }],
        ..Default::default()
    };
    let table = Table::default().add_upstream(upstream).route("/", to("up"), &[timeout(5000)]);
    let gateway = Gateway::start(table).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send(GET).await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    for body in ["one", "two"] {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert!(upstream.read_buf(&mut head).await.unwrap() > 0);
        }
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        upstream.write_all(answer.as_bytes()).await.unwrap();
        assert_eq!(client.answer().await.1, body);
        if body == "one" {
            client.send(GET).await;
        }
    }
    assert_eq!(gateway.lines(2).await[1]["endpoint"], pipe.as_str());
    drop((listener, upstream));
    std::fs::remove_file(&path).unwrap();
    client.send(GET).await;
    let (head, _) = client.answer().await;
    assert_eq!((status(&head), header(&head, "server").is_some()), (503, true));
}

/// The frames of a side's beginning: settings by their numbers, and the window of the connection.
async fn beginning(wire: &mut Wire) -> (Vec<(u16, u32)>, u32) {
    assert_eq!(wire.take(24).await, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let mut settings = Vec::new();
    loop {
        let frame = wire.take(9).await;
        let length = usize::from(frame[1]) << 8 | usize::from(frame[2]);
        let payload = wire.take(length).await;
        let number = |bytes: &[u8]| bytes.iter().fold(0u32, |all, byte| all << 8 | u32::from(*byte));
        match frame[3] {
            4 => {
                settings =
                    payload.chunks(6).map(|one| (number(&one[..2]) as u16, number(&one[2..]))).collect()
            }
            8 => return (settings, 65_535 + number(&payload)),
            _ => {}
        }
    }
}

#[tokio::test]
async fn windows_of_http2_are_what_the_upstream_says() {
    let peer = Peer::bind().await;
    let windows =
        proto::UpstreamHttp { stream_window: 70_000, connection_window: 200_000, ..Default::default() };
    let gateway = gateway(&peer, proto::Upstream { http2: true, ..http(windows) }).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send(GET).await;
    let mut upstream = peer.accept().await;
    // Settings of the other side come first.
    upstream.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
    let (settings, window) = beginning(&mut upstream).await;
    assert!(settings.contains(&(4, 70_000)), "{settings:?}");
    assert_eq!(window, 200_000);
}

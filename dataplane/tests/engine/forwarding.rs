//! HTTP/1 in, HTTP/1 out: what the upstream sees, what the client gets.

use portcullis_proto::policy::v1 as policy;

use crate::gateway::{any, destinations, prefix, to};
use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

#[tokio::test]
async fn a_request_arrives_as_envoy_would_send_it() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET /a/./b?x=1 HTTP/1.1\r\nHost: a.test:80\r\nX-One: 1\r\nAccept: */*\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    let head = upstream.serve("hi").await;
    assert!(head.starts_with("GET /a/b?x=1 HTTP/1.1\r\nHost: a.test:80\r\n"), "{head}");
    assert_eq!(header(&head, "x-one"), Some("1"));
    assert_eq!(header(&head, "x-forwarded-proto"), Some("http"));
    assert_eq!(header(&head, "x-envoy-expected-rq-timeout-ms"), Some("15000"));
    assert_eq!(header(&head, "x-request-id").unwrap().len(), 36);
    assert_eq!(header(&head, "x-forwarded-for"), None, "useRemoteAddress is false");
    assert_eq!(header(&head, "connection"), None);
    let (head, body) = client.answer().await;
    assert_eq!((status(&head), body.as_str()), (200, "hi"));
    assert_eq!(header(&head, "server"), Some("portcullis"));
    assert!(header(&head, "x-envoy-upstream-service-time").is_some());
    assert!(header(&head, "date").is_some());
}

#[tokio::test]
async fn what_the_client_says_of_itself_is_believed_and_what_steers_is_not() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut client = Wire::connect(gateway.address).await;
    client
        .send(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nX-Forwarded-Proto: https\r\nX-Request-Id: me\r\n\
             X-Forwarded-For: 1.2.3.4\r\nx-envoy-retry-on: 5xx\r\nx-envoy-original-path: /zz\r\nTE: gzip, trailers\r\n\
             Keep-Alive: 5\r\nProxy-Connection: x\r\nConnection: x-a, keep-alive\r\nX-A: 1\r\n\r\n",
        )
        .await;
    let head = peer.accept().await.serve("").await;
    for (name, value) in [
        ("content-length", Some("0")),
        ("x-forwarded-proto", Some("https")),
        ("x-request-id", Some("me")),
        ("x-forwarded-for", Some("1.2.3.4")),
        ("x-envoy-original-path", Some("/zz")),
        ("te", Some("trailers")),
        ("x-envoy-retry-on", None),
        ("keep-alive", None),
        ("proxy-connection", None),
        ("connection", None),
        ("x-a", None),
    ] {
        assert_eq!(header(&head, name), value, "{name} in {head}");
    }
}

#[tokio::test]
async fn fields_of_one_hop_do_not_reach_the_client() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream
        .send("HTTP/1.1 200 OK\r\nServer: secret/1.0\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-Keep: 1\r\nContent-Length: 0\r\n\r\n")
        .await;
    let (head, _) = client.answer().await;
    assert_eq!(header(&head, "x-hop"), None);
    assert_eq!(header(&head, "keep-alive"), None);
    assert_eq!(header(&head, "x-keep"), Some("1"));
    assert_eq!(header(&head, "server"), Some("portcullis"));
}

#[tokio::test]
async fn keep_alive_and_pipelining_serve_one_after_the_other_on_one_connection() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    assert!(upstream.serve("one").await.starts_with("GET /1"));
    assert!(upstream.head().await.starts_with("HEAD /2"));
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 77\r\n\r\n").await;
    assert!(upstream.serve("three").await.starts_with("GET /3"));
    assert_eq!(client.answer().await.1, "one");
    let head = client.head().await;
    assert_eq!(header(&head, "content-length"), Some("77"), "HEAD has a length and no body");
    assert_eq!(client.answer().await.1, "three");
    // A request that comes while another one runs.
    client.send("GET /4 HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(upstream.head().await.starts_with("GET /4"));
    client.send("GET /5 HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n4").await;
    assert!(upstream.serve("5").await.starts_with("GET /5"));
    assert_eq!(client.answer().await.1, "4");
    assert_eq!(client.answer().await.1, "5");
    assert!(peer.is_quiet(), "one upstream connection is enough");
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_usable() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut client = Wire::connect(gateway.address).await;
    let mut upstream: Option<Wire> = None;
    for answer in [
        "204 No Content\r\n",
        "304 Not Modified\r\ncontent-length: 100\r\n",
        "200 OK\r\ncontent-length: 0\r\n",
    ] {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        if upstream.is_none() {
            upstream = Some(peer.accept().await);
        }
        let upstream = upstream.as_mut().unwrap();
        upstream.head().await;
        upstream.send(format!("HTTP/1.1 {answer}\r\n")).await;
        let head = client.head().await;
        assert_eq!(head[9..12], answer[..3]);
    }
}

#[tokio::test]
async fn an_http_1_0_client_is_served_and_chunks_are_undone_for_it() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address).http_1_0()).await;
    let (mut client, mut upstream, head) = gateway.forwarded(&peer, "GET / HTTP/1.0\r\n\r\n").await;
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "host"), Some(gateway.address.to_string().as_str()));
    upstream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!(header(&head, "transfer-encoding"), None);
    assert_eq!(header(&head, "connection"), Some("close"));
    assert_eq!(client.rest().await, b"hello");
    // With keep-alive and a length the connection stays.
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n").await;
    upstream.serve("one").await;
    assert_eq!(client.answer().await.1, "one");
    client.send("GET / HTTP/1.0\r\nHost: h\r\n\r\n").await;
    upstream.serve("two").await;
    assert_eq!(client.answer().await.1, "two");
    client.ends().await;
}

#[tokio::test]
async fn an_old_upstream_that_ends_by_closing_becomes_chunks() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream.send("HTTP/1.0 200 OK\r\n\r\nhello").await;
    drop(upstream);
    let head = client.head().await;
    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
    assert_eq!(client.chunked().await, b"hello");
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    peer.accept().await.serve("again").await;
    assert_eq!(client.answer().await.1, "again");
}

#[tokio::test]
async fn routes_go_in_order_and_weights_are_kept() {
    let (a, b) = (Peer::always("a").await, Peer::always("b").await);
    let header_match = portcullis_proto::table::v1::HeaderMatch {
        name: "x-kind".into(),
        value: Some(portcullis_proto::table::v1::header_match::Value::Exact("b".into())),
        invert: false,
    };
    let gateway = Gateway::start(
        Table::default()
            .upstream("a", &[a], false)
            .upstream("b", &[b], false)
            .match_route(
                portcullis_proto::table::v1::Match { headers: vec![header_match], ..prefix("/") },
                to("b"),
                &[],
            )
            .route("/split", destinations(&[("a", 90), ("b", 10)]), &[])
            .route("/none", destinations(&[("a", 100), ("b", 0)]), &[])
            .route("/", to("a"), &[]),
    )
    .await;
    let mut client = Wire::connect(gateway.address).await;
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.1, "a");
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: h\r\nX-Kind: b\r\n\r\n").await.1, "b");
    let mut to_b = 0;
    for _ in 0..500 {
        to_b += usize::from(client.ask("GET /split HTTP/1.1\r\nHost: h\r\n\r\n").await.1 == "b");
        assert_eq!(client.ask("GET /none HTTP/1.1\r\nHost: h\r\n\r\n").await.1, "a");
    }
    assert!((20..=90).contains(&to_b), "{to_b} of 500 went to the tenth");
}

#[tokio::test]
async fn paths_and_hosts_are_rewritten_and_the_client_s_are_noted() {
    let peer = Peer::bind().await;
    let path = policy::PathRewrite { rewrite: Some(policy::path_rewrite::Rewrite::Prefix("/new/".into())) };
    let host = policy::HostRewrite {
        rewrite: Some(policy::host_rewrite::Rewrite::Literal("inner.test".into())),
        append_x_forwarded_host: true,
    };
    let table = Table::default().upstream("up", &[peer.address], false).route(
        "/old/",
        to("up"),
        &[any(&path), any(&host)],
    );
    let gateway = Gateway::start(table).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET /old/x?q=/old/ HTTP/1.1\r\nHost: outer.test\r\n\r\n").await;
    let head = peer.accept().await.serve("").await;
    assert!(head.starts_with("GET /new/x?q=/old/ HTTP/1.1\r\nHost: inner.test\r\n"), "{head}");
    assert_eq!(header(&head, "x-envoy-original-path"), Some("/old/x?q=/old/"));
    assert_eq!(header(&head, "x-forwarded-host"), Some("outer.test"));
}

#[tokio::test]
async fn the_cluster_header_names_the_upstream() {
    let a = Peer::always("a").await;
    let target = portcullis_proto::table::v1::forward::Target::ClusterHeader("x-cluster".into());
    let forward = portcullis_proto::table::v1::Forward { target: Some(target) };
    let gateway = Gateway::start(Table::default().upstream("a", &[a], false).route(
        "/",
        portcullis_proto::table::v1::route::Action::Forward(forward),
        &[],
    ))
    .await;
    let mut client = Wire::connect(gateway.address).await;
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: h\r\nx-cluster: a\r\n\r\n").await.1, "a");
    for request in ["GET / HTTP/1.1\r\nHost: h\r\nx-cluster: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"]
    {
        assert_eq!(status(&client.ask(request).await.0), 503);
    }
    assert_eq!(gateway.lines(3).await[1]["reason"], "no_cluster");
}

#[tokio::test]
async fn early_hints_are_relayed_and_continue_is_answered_once() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 100"));
    client.send("abc").await;
    let mut upstream = peer.accept().await;
    let head = upstream.head().await;
    assert_eq!(header(&head, "expect"), None);
    assert_eq!(upstream.take(3).await, b"abc");
    upstream.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n").await;
    let hints = client.head().await;
    assert!(hints.starts_with("HTTP/1.1 103"), "{hints}");
    assert_eq!(header(&hints, "link"), Some("</x>"));
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.1, "ok");
}

#[tokio::test]
async fn answers_that_could_end_in_two_places_are_refused() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    for answer in [
        "200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "200 OK\r\ntransfer-encoding: identity\r\n\r\n",
        "200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "600 What\r\ncontent-length: 0\r\n\r\n",
        "999 What\r\ncontent-length: 0\r\n\r\n",
    ] {
        let (mut client, mut upstream, _) =
            gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        upstream.send(format!("HTTP/1.1 {answer}")).await;
        assert_eq!(status(&client.answer().await.0), 502, "{answer}");
    }
}

#[tokio::test]
async fn fields_of_an_answer_that_are_for_one_hop_stay_there() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\nTrailer: x\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    assert_eq!(header(&upstream.head().await, "trailer"), None);
    upstream
        .send(
            "HTTP/1.1 103 Early\r\ncontent-length: 5\r\nlink: a\r\n\r\nHTTP/1.1 204 No\r\ncontent-length: 0\r\n\
             te: x\r\ntrailer: y\r\nproxy-authenticate: z\r\nproxy-connection: close\r\nupgrade: w\r\nx-a: b\r\n\r\n",
        )
        .await;
    let early = client.head().await;
    assert_eq!((status(&early), header(&early, "content-length")), (103, None));
    assert_eq!(header(&early, "link"), Some("a"));
    let head = client.head().await;
    assert_eq!((status(&head), header(&head, "x-a")), (204, Some("b")));
    for name in [
        "content-length",
        "te",
        "trailer",
        "proxy-authenticate",
        "proxy-connection",
        "upgrade",
        "transfer-encoding",
    ] {
        assert_eq!(header(&head, name), None, "{name}");
    }
}

#[tokio::test]
async fn an_upstream_that_only_informs_is_given_up() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address).http_1_0()).await;
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, "GET / HTTP/1.0\r\nHost: h\r\n\r\n").await;
    upstream.send("HTTP/1.1 103 Early\r\n\r\n".repeat(17)).await;
    assert_eq!(status(&client.answer().await.0), 502);
}

//! What the gateway answers by itself.

use portcullis_proto::table::v1 as table;

use crate::gateway::to;
use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

fn redirect(redirect: table::Redirect) -> table::route::Action {
    table::route::Action::Redirect(redirect)
}

#[tokio::test]
async fn no_host_and_no_route_are_404_without_a_body() {
    let mut table = Table::to(Peer::nowhere().await);
    table.routes[0].r#match = Some(crate::gateway::prefix("/only"));
    table.domains = vec!["a.test".into()];
    let gateway = Gateway::start(table).await;
    let mut client = Wire::connect(gateway.address).await;
    for (host, reason) in [("b.test", "no_virtual_host"), ("a.test", "no_route"), ("A.TEST", "no_route")] {
        let (head, body) = client.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!((status(&head), body.as_str()), (404, ""));
        assert_eq!(header(&head, "connection"), None);
        assert_eq!(header(&head, "server"), Some("portcullis"));
        let count = if reason == "no_virtual_host" { 1 } else { 2 };
        let lines = gateway.lines(count).await;
        let line = lines.last().unwrap();
        assert_eq!((line["reason"].as_str(), line["flags"].as_str()), (Some(reason), Some("NR")));
    }
    // The port belongs to the name.
    assert_eq!(status(&client.ask("GET /only HTTP/1.1\r\nHost: a.test:80\r\n\r\n").await.0), 404);
    let metrics = gateway.metrics();
    assert!(metrics.contains("portcullis_local_replies_total{reason=\"no_route\"} 2"), "{metrics}");
    assert!(metrics.contains("portcullis_local_replies_total{reason=\"no_virtual_host\"} 2"), "{metrics}");
}

#[tokio::test]
async fn a_direct_response_is_the_route_s() {
    let direct = table::DirectResponse { status: 418, body: "short and stout".into() };
    let gateway =
        Gateway::start(Table::default().route("/", table::route::Action::DirectResponse(direct), &[])).await;
    let mut client = Wire::connect(gateway.address).await;
    let (head, body) = client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!((status(&head), body.as_str()), (418, "short and stout"));
    assert_eq!(header(&head, "content-type"), Some("text/plain"));
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!(header(&head, "content-length"), Some("15"));
    // A body that nobody reads is taken away before the next request.
    let (head, _) = client.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc").await;
    assert_eq!(status(&head), 418);
    assert_eq!(gateway.lines(3).await[2]["reason"], "direct_response");
}

#[tokio::test]
async fn an_upload_to_a_direct_response_does_not_lose_the_answer() {
    let direct = table::DirectResponse { status: 403, body: "no".into() };
    let gateway =
        Gateway::start(Table::default().route("/", table::route::Action::DirectResponse(direct), &[])).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n").await;
    client.send(vec![b'x'; 1_000_000]).await;
    let (head, body) = client.answer().await;
    assert_eq!((status(&head), body.as_str()), (403, "no"));
    assert_eq!(header(&head, "connection"), Some("close"));
}

#[tokio::test]
async fn redirects_keep_what_they_do_not_change() {
    let gateway = Gateway::start(
        Table::default()
            .route("/secure", redirect(table::Redirect { https: true, code: 4, ..Default::default() }), &[])
            .route(
                "/old",
                redirect(table::Redirect {
                    host: "new.test".into(),
                    path_rewrite: Some(table::redirect::PathRewrite::Prefix("/new".into())),
                    code: 1,
                    ..Default::default()
                }),
                &[],
            ),
    )
    .await;
    let mut client = Wire::connect(gateway.address).await;
    for (request, code, location) in [
        ("GET /secure/x?y=1", 308, "https://a.test/secure/x?y=1"),
        ("GET /old/x?y=1", 302, "http://new.test/new/x?y=1"),
    ] {
        let (head, body) = client.ask(&format!("{request} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
        assert_eq!((status(&head), body.as_str()), (code, ""));
        assert_eq!(header(&head, "location"), Some(location));
    }
    assert_eq!(gateway.lines(2).await[0]["reason"], "redirect");
}

#[tokio::test]
async fn a_host_that_wants_tls_sends_plain_requests_there() {
    let mut table = Table::to(Peer::always("ok").await);
    table.require_tls = true;
    let gateway = Gateway::start(table).await;
    let mut client = Wire::connect(gateway.address).await;
    let (head, _) = client.ask("GET /a?b HTTP/1.1\r\nHost: a.test:80\r\n\r\n").await;
    assert_eq!((status(&head), header(&head, "location")), (301, Some("https://a.test/a?b")));
    // The hop before terminated TLS.
    let (_, body) = client.ask("GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: https\r\n\r\n").await;
    assert_eq!(body, "ok");
    assert_eq!(gateway.lines(2).await[0]["reason"], "tls_required");
}

#[tokio::test]
async fn a_rejected_virtual_host_is_closed() {
    let unknown = prost_types::Any { type_url: "type.googleapis.com/x.Y".into(), value: vec![] };
    let mut table = Table::to(Peer::nowhere().await).with(&[unknown]);
    table.domains = vec!["a.test".into()];
    let gateway = Gateway::start(table).await;
    let mut client = Wire::connect(gateway.address).await;
    let (head, _) = client.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(status(&head), 503);
    assert_eq!(gateway.line().await["reason"], "config_rejected");
}

#[tokio::test]
async fn one_request_sees_one_runtime() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    gateway.runtime.store(Default::default());
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.1, "ok");
    assert_eq!(status(&client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.0), 404);
}

#[tokio::test]
async fn an_upstream_that_is_not_in_the_table_is_503_without_a_body() {
    let gateway = Gateway::start(Table::default().route("/", to("gone"), &[])).await;
    let mut client = Wire::connect(gateway.address).await;
    let (head, body) = client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!((status(&head), body.as_str()), (503, ""));
    let line = gateway.line().await;
    assert_eq!((line["reason"].as_str(), line["flags"].as_str()), (Some("no_cluster"), Some("NC")));
}

#[tokio::test]
async fn a_small_body_that_nobody_wants_does_not_cost_the_connection() {
    let direct = table::DirectResponse { status: 403, body: "no".into() };
    let gateway =
        Gateway::start(Table::default().route("/", table::route::Action::DirectResponse(direct), &[])).await;
    let mut client = Wire::connect(gateway.address).await;
    // All at once, in two pieces, and in chunks.
    for (request, later) in [
        ("Content-Length: 3\r\n\r\nabc", ""),
        ("Content-Length: 3\r\n\r\n", "abc"),
        ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", ""),
    ] {
        let (head, _) = client.ask(&format!("POST / HTTP/1.1\r\nHost: h\r\n{request}")).await;
        assert_eq!((status(&head), header(&head, "connection")), (403, None), "{request}");
        client.send(later).await;
    }
    // Whether this body comes is the client's choice.
    let expects = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    let (head, _) = client.ask(expects).await;
    assert_eq!((status(&head), header(&head, "connection")), (403, Some("close")));
    client.ends().await;
}

#[tokio::test]
async fn a_client_is_not_asked_for_a_body_that_cannot_be_sent() {
    let gateway = Gateway::start(Table::to(Peer::nowhere().await)).await;
    let mut client = Wire::connect(gateway.address).await;
    let expects = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(status(&client.ask(expects).await.0), 503);
}
